/** Makes and removes software RAID on the disks of the machine. Every order may be repeated after a crash: volumes have
 *  the UUIDs of the order, so what an earlier try left half done is known as its own, removed, and made again. */
import type { Volume, VolumeWish } from '../../../conductor/api/agent-raid.ts'
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { runOkWith, type Run } from '../../../kit/run.ts'
import { eraseMetadata } from '../clean.ts'
import { rereadTable } from '../finish.ts'
import { readDisk, readDisks, readPartitions } from '../sysfs.ts'
import { Mdadm } from './mdadm.ts'
import { lookAtDisks, notSkipped, type LookedAt } from './skip.ts'
import { planRaid, type PlannedArray, type PlannedTable, type RaidPlan } from './plan.ts'

const TIMEOUT_MS = 60_000
const LINUX_LEVEL = { '0': 'raid0', '1': 'raid1', '5': 'raid5', '6': 'raid6', '1+0': 'raid10' } as const

export interface RaidParts {
  readonly run: Run
  readonly clock: Clock
  readonly onDisk: (done: number, total: number) => void
}

export interface RaidOrder {
  readonly skip: readonly Readonly<Record<string, unknown>>[]
  readonly remove: boolean
  readonly create: readonly VolumeWish[]
}

/** Answers the volumes that it made, as the machine shows them. Throws `raid.disks`, `raid.occupied` or
 *  `raid.failed`. */
export async function configureRaid(order: RaidOrder, parts: RaidParts): Promise<Volume[]> {
  const mdadm = new Mdadm(parts.run)
  await mdadm.stopAll()
  const looked = notSkipped(await lookAtDisks(await readDisks(), mdadm.examine), order.skip)
  // Planned before anything is removed: what cannot be made must not cost what is there.
  const plan = planRaid(
    order.create,
    looked.map(({ disk }) => disk),
  )
  const members = looked.filter(({ arrays }) => arrays.length > 0)
  if (order.remove)
    await eraseMetadata(
      members.map(({ disk }) => disk),
      [],
      parts,
    )
  await clearOwn(plan, order.remove ? [] : members, parts)
  if (order.create.length === 0) return []

  for (const [i, table] of plan.tables.entries()) await writeTable(table, diskIdOf(plan, i), parts)
  try {
    const volumes: Volume[] = []
    if (plan.esp) await make(plan.esp, mdadm)
    for (const [i, array] of plan.volumes.entries())
      volumes.push(await volumeOf(await make(array, mdadm), { array, wish: order.create[i] as VolumeWish, mdadm }))
    return volumes
  } finally {
    // Stopped, the superblocks are clean; whoever needs the volumes next starts them.
    await mdadm.stopAll()
  }
}

/** Disks of the plan must be empty, but for what an earlier try of the same order left. Throws `raid.occupied`. */
async function clearOwn(plan: RaidPlan, members: readonly LookedAt[], parts: RaidParts): Promise<void> {
  const ownIds = new Set([...plan.volumes, ...(plan.esp ? [plan.esp] : [])].map(({ id }) => id))
  const ownTables = new Set(plan.tables.map((_, i) => diskIdOf(plan, i).toLowerCase()))
  const own: Disk[] = []
  for (const { disk } of plan.tables) {
    const { code, stdout } = await parts.run(['sfdisk', '--json', disk.name], { timeoutMs: TIMEOUT_MS })
    const table = code === 0 ? (JSON.parse(stdout) as { partitiontable: { id?: string } }).partitiontable : undefined
    const arrays = members.find((one) => one.disk === disk)?.arrays.map(({ id }) => id) ?? []
    if (table === undefined && arrays.length === 0) continue
    const isOwn = ownTables.has(table?.id?.toLowerCase() ?? '') && arrays.every((id) => ownIds.has(id))
    if (!isOwn)
      throw new Fault(
        'raid.occupied',
        `${disk.name} (serial ${disk.serial ?? 'unknown'}) holds ${arrays.length > 0 ? `a member of the array ${arrays.join(', ')}` : 'a partition table'}`,
      )
    own.push(disk)
  }
  await eraseMetadata(own, [], parts)
}

/** The GUID of a disk's table tells whose it is. */
const diskIdOf = (plan: RaidPlan, disk: number): string => {
  const hex = (plan.volumes[0]?.id ?? '').replaceAll(':', '')
  const tail = ((Number.parseInt(hex.slice(24), 16) + disk + 1) >>> 0).toString(16).padStart(8, '0')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20, 24)}${tail}`
}

async function writeTable({ disk, partitions }: PlannedTable, id: string, parts: RaidParts): Promise<void> {
  const rows = partitions.map(
    ({ number, startMib, sizeMib, type, name }) =>
      `${number}: start=${startMib}MiB, size=${sizeMib}MiB, type=${type}, name="${name}"`,
  )
  await runOkWith(parts.run, ['sfdisk', '--quiet', '--no-reread', '--no-tell-kernel', '--wipe', 'always', disk.name], {
    timeoutMs: TIMEOUT_MS,
    input: `label: gpt\nlabel-id: ${id}\n${rows.join('\n')}\n`,
  })
  await rereadTable({ disk, clock: parts.clock })
}

async function make(array: PlannedArray, mdadm: Mdadm): Promise<string> {
  const members: string[] = []
  for (const { disk, partition } of array.members) {
    const device = (await readPartitions(disk.name)).get(partition)?.device
    if (device === undefined) throw new Fault('raid.failed', `${disk.name} has no partition ${partition}`)
    members.push(device)
  }
  return mdadm.create(array, members)
}

/** The volume as it can be read back. Throws `raid.failed` when it is not what was wanted. */
async function volumeOf(
  device: string,
  { array, wish, mdadm }: { array: PlannedArray; wish: VolumeWish; mdadm: Mdadm },
): Promise<Volume> {
  const facts = await mdadm.detail(device)
  const isSame =
    facts?.id === array.id &&
    facts.level === LINUX_LEVEL[array.level] &&
    facts.name === array.name &&
    facts.members.length === array.members.length
  if (!isSame)
    throw new Fault(
      'raid.failed',
      `the volume ${array.name} reads back as ${facts ? `${facts.level} ${facts.name} of ${facts.members.join(', ')}` : 'nothing'}`,
    )
  const { sizeBytes } = await readDisk('/sys', device.slice('/dev/'.length))
  return {
    id: array.id,
    name: array.name,
    level: array.level,
    size: wish.size,
    isRoot: wish.isRoot,
    sizeBytes,
    disks: array.members.map(({ disk: { name, serial, wwn } }) => ({ name, serial, wwn })),
  }
}
