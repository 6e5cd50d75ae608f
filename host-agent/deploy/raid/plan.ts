/** From wanted volumes and the disks of the machine to partition tables and arrays. Pure; throws `raid.disks` for what
 *  cannot be made.
 *
 *  Every member disk has a GPT. Disks of the root volume begin with a BIOS boot partition and an EFI system partition,
 *  so that each of them can start the machine alone; the EFI system partitions are an array too. Partitions of volumes
 *  of a fixed size follow, then the one of the volume that takes the rest. */
import { LEAST_DISKS, MAX_MEMBERS, type SoftwareLevel, type VolumeWish } from '../../../conductor/api/agent-raid.ts'
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import { Fault } from '../../../kit/fault.ts'
import { assignDisks } from './assign.ts'

const GIB_MIB = 1024
const MIB = 1024 * 1024
/** Smaller disks are USB sticks and SD cards that a BMC shows. */
const MIN_DISK_BYTES = 4 * GIB_MIB * MIB
const FIRST_MIB = 1
/** The backup GPT. */
const TAIL_MIB = 1
export const BIOS_MIB = 8
/** Ironic's size of an EFI system partition beside software RAID. */
export const ESP_MIB = 551

export const BIOS_PARTITION = 1
export const ESP_PARTITION = 2
const TYPES = {
  bios: '21686148-6449-6E6F-744E-656564454649',
  esp: 'C12A7328-F81F-11D2-BA4B-00A0C93EC93B',
  raid: 'A19D880F-05FC-4D3B-A006-743F0F84911E',
} as const

export interface PlannedPartition {
  readonly number: number
  readonly startMib: number
  readonly sizeMib: number
  readonly type: string
  readonly name: string
}

export interface PlannedTable {
  readonly disk: Disk
  readonly partitions: readonly PlannedPartition[]
}

export interface PlannedArray {
  readonly id: string
  readonly name: string
  readonly level: SoftwareLevel
  readonly metadata: Metadata
  readonly members: readonly { readonly disk: Disk; readonly partition: number }[]
}

export interface RaidPlan {
  readonly tables: readonly PlannedTable[]
  /** One for each wish, in their order. */
  readonly volumes: readonly PlannedArray[]
  /** The EFI system partitions of the root volume's disks. */
  readonly esp: PlannedArray | undefined
}

/** The superblock of 1.0 stands at the end: a member begins with what the volume begins with, so that firmware, which
 *  knows no RAID, reads a member of the EFI system partitions. */
type Metadata = '1.0' | '1.2'
const metadataOf = (level: SoftwareLevel): Metadata => (level === '1' ? '1.0' : '1.2')
/** What an array needs of each member for itself: superblock and bitmap; with 1.2 up to 128 MiB of room for a later
 *  reshape before the data. */
const overheadMib = (level: SoftwareLevel): number => (metadataOf(level) === '1.0' ? 2 : 130)

/** Members' worth of data that a volume of `members` disks holds. */
export function dataMembers(level: SoftwareLevel, members: number): number {
  switch (level) {
    case '0':
      return members
    case '1':
      return 1
    case '1+0':
      return members / 2
    case '5':
      return members - 1
    case '6':
      return members - 2
  }
}

/** The array of the EFI system partitions has a UUID of its own that can be told from the root volume's. */
export const espIdOf = (rootId: string): string =>
  rootId
    .split(':')
    .map((word) => ((Number.parseInt(word, 16) ^ 0x45535031) >>> 0).toString(16).padStart(8, '0'))
    .join(':')

interface Chosen {
  readonly wish: VolumeWish
  readonly at: string
  readonly disks: readonly Disk[]
}

/** `disks`: those that may be used. */
export function planRaid(wishes: readonly VolumeWish[], disks: readonly Disk[]): RaidPlan {
  const usable = disks
    .filter((disk) => !disk.readOnly && disk.sizeBytes >= MIN_DISK_BYTES)
    .sort((a, b) => a.name.localeCompare(b.name, 'en', { numeric: true }))
  const chosen = wishes.map((wish, i) => choose(wish, { at: `logical_disks/${i} (${wish.name})`, usable }))
  const root = chosen.find(({ wish }) => wish.isRoot)
  const tables = new Map<Disk, PlannedPartition[]>()
  for (const disk of usable) if (chosen.some(({ disks: own }) => own.includes(disk))) tables.set(disk, [])
  for (const disk of root?.disks ?? [])
    tables.set(disk, [
      partition({ number: BIOS_PARTITION, name: 'bios' }, 'bios', { startMib: FIRST_MIB, sizeMib: BIOS_MIB }),
      partition({ number: ESP_PARTITION, name: 'esp' }, 'esp', { startMib: FIRST_MIB + BIOS_MIB, sizeMib: ESP_MIB }),
    ])

  const planned = new Map<VolumeWish, PlannedArray>()
  // The volume that takes the rest comes last.
  for (const one of [...chosen].sort((a, b) => Number(a.wish.size === 'MAX') - Number(b.wish.size === 'MAX')))
    planned.set(one.wish, place(one, tables))

  return {
    tables: [...tables].map(([disk, partitions]) => ({ disk, partitions })),
    volumes: wishes.map((wish) => planned.get(wish) as PlannedArray),
    esp: root && {
      id: espIdOf(root.wish.id),
      name: 'esp',
      level: '1',
      metadata: '1.0',
      members: root.disks.map((disk) => ({ disk, partition: ESP_PARTITION })),
    },
  }
}

const describe = (disks: readonly Disk[]): string =>
  disks.map((disk) => `${disk.name} (${Math.floor(disk.sizeBytes / MIB / GIB_MIB)} GiB)`).join(', ') || 'no disk'

function choose(wish: VolumeWish, { at, usable }: { at: string; usable: readonly Disk[] }): Chosen {
  const typed = usable.filter((disk) => wish.diskType === undefined || disk.rotational === (wish.diskType === 'hdd'))
  const wanted = wish.disks ? assignDisks(wish.disks, typed) : typed.slice(0, wish.diskCount)
  if (!wanted)
    throw new Fault('raid.disks', `${at}: the hints of physical_disks do not each match a disk of ${describe(typed)}`)
  const least = Math.max(LEAST_DISKS[wish.level], wish.diskCount ?? 0)
  if (wanted.length < least)
    throw new Fault('raid.disks', `${at}: RAID ${wish.level} takes ${least} disks, and there is ${describe(typed)}`)
  if (wanted.length > MAX_MEMBERS)
    throw new Fault('raid.disks', `${at}: ${wanted.length} disks are more than the ${MAX_MEMBERS} of a volume`)
  return { wish, at, disks: wanted }
}

function place({ wish, at, disks }: Chosen, tables: Map<Disk, PlannedPartition[]>): PlannedArray {
  const rooms = disks.map((disk) => {
    const last = tables.get(disk)?.at(-1)
    const startMib = last ? last.startMib + last.sizeMib : FIRST_MIB
    return { disk, startMib, freeMib: Math.floor(disk.sizeBytes / MIB) - TAIL_MIB - startMib }
  })
  const freeMib = Math.min(...rooms.map((room) => room.freeMib))
  const overhead = overheadMib(wish.level)
  const sizeMib =
    wish.size === 'MAX' ? freeMib : Math.ceil((wish.size * GIB_MIB) / dataMembers(wish.level, disks.length)) + overhead
  if (sizeMib > freeMib || sizeMib < overhead + GIB_MIB / 4)
    throw new Fault(
      'raid.disks',
      `${at}/size_gb: ${wish.size === 'MAX' ? 'a volume' : `${wish.size} GiB`} of RAID ${wish.level} needs ${sizeMib} MiB of each disk, and ${Math.max(0, freeMib)} MiB are free on ${describe(disks)}`,
    )

  const members = rooms.map(({ disk, startMib }) => {
    const partitions = tables.get(disk) ?? []
    const number = (partitions.at(-1)?.number ?? 0) + 1
    tables.set(disk, [...partitions, partition({ number, name: wish.name }, 'raid', { startMib, sizeMib })])
    return { disk, partition: number }
  })
  return { id: wish.id, name: wish.name, level: wish.level, metadata: metadataOf(wish.level), members }
}

const partition = (
  { number, name }: { readonly number: number; readonly name: string },
  type: keyof typeof TYPES,
  place: { readonly startMib: number; readonly sizeMib: number },
): PlannedPartition => ({ number, ...place, type: TYPES[type], name })
