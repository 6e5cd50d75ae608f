/** Software RAID of the raid interface `agent`: what of Ironic's schema it can do, which volumes a step makes, and what
 *  raid_config says of them. Pure. */
import * as z from 'zod'
import { isoTime } from '../../../kit/clock.ts'
import { sha256Hex } from '../../../kit/digest.ts'
import { Fault } from '../../../kit/fault.ts'
import {
  LEAST_DISKS,
  MAX_MEMBERS,
  MAX_VOLUMES,
  SOFTWARE_LEVELS,
  VolumeWish,
  type SoftwareLevel,
  type Volume,
} from '../../api/agent-raid.ts'
import { checkInput } from '../../api/check-input.ts'
import type { NodeRecord } from '../record.ts'
import { checkHardwareRaid } from './hardware-raid.ts'
import { interfaceOf } from './interfaces.ts'
import { RaidConfig, raidOf, type LogicalDisk } from './raid.ts'
import type { PlannedStep, StepCatalog } from './steps.ts'

const GIB = 1024 ** 3
const NAME = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,27}$/

const Which = {
  create_root_volume: z.boolean().default(true).describe('Whether the root volume is made.'),
  create_nonroot_volumes: z.boolean().default(true).describe('Whether the other volumes are made.'),
}
const deletes = (byDefault: boolean) =>
  z.boolean().default(byDefault).describe('Whether the software RAID that is there is removed first.')
const Create = z.strictObject({ ...Which, delete_existing: deletes(false) })
// Ironic's agent replaces what is there where a deploy template says what shall be.
const Apply = z.strictObject({
  ...Which,
  delete_existing: deletes(true),
  raid_config: RaidConfig.describe('The volumes, in the form of target_raid_config.'),
})

export const SOFTWARE_RAID_STEPS: StepCatalog = {
  'raid.create_configuration': {
    in: { clean: 0 },
    by: 'agent',
    args: Create,
    says: 'volumes are made of target_raid_config by mdadm',
  },
  'raid.apply_configuration': {
    in: { deploy: 0 },
    by: 'agent',
    args: Apply,
    says: 'volumes are made of the argument raid_config by mdadm',
  },
  'raid.delete_configuration': {
    in: { clean: 0, deploy: 0 },
    by: 'agent',
    says: 'software RAID is stopped, and its superblocks and partition tables are erased',
  },
}

/** None on a node with another raid interface. */
export const softwareRaidSteps = (node: NodeRecord): StepCatalog =>
  interfaceOf(node, 'raid') === 'agent' ? SOFTWARE_RAID_STEPS : {}

export const isSoftwareRaidStep = (step: PlannedStep): boolean => step.interface === 'raid' && step.by === 'agent'

/** One volume in raid_config: Ironic's keys, and what makes the same volume again. */
const Kept = z.object({
  id: z.string(),
  name: z.string(),
  controller: z.literal('software'),
  raid_level: z.enum(SOFTWARE_LEVELS),
  target_size_gb: z.union([z.literal('MAX'), z.number()]),
  is_root_volume: z.boolean(),
  physical_disks: z.array(z.record(z.string(), z.unknown())),
})

/** The software RAID that a node has: wishes that make the same volumes, with the same UUIDs, of the same disks. */
export function keptVolumes(node: Pick<NodeRecord, 'raidConfig'>): VolumeWish[] {
  const disks: unknown = node.raidConfig.logical_disks
  if (!Array.isArray(disks)) return []
  return disks.flatMap((disk): VolumeWish[] => {
    const { data } = Kept.safeParse(disk)
    if (!data) return []
    const { id, name, raid_level: level, target_size_gb: size, is_root_volume: isRoot } = data
    return [{ id, name, level, size, isRoot, disks: data.physical_disks }]
  })
}

/** Those that a cleaning makes again: what properties/skip_block_devices keeps by its volume_name, and what shares a
 *  disk with that, stays as it is. */
export function rebuiltVolumes(node: Pick<NodeRecord, 'raidConfig' | 'properties'>): VolumeWish[] {
  const volumes = keptVolumes(node)
  const skip = (node.properties.skip_block_devices as Record<string, unknown>[] | undefined) ?? []
  const disksOf = (volume: VolumeWish) => (volume.disks ?? []).map((hint) => JSON.stringify(hint))
  const skipped = volumes.filter(({ name }) => skip.some((hints) => hints.volume_name === name))
  const keptDisks = new Set(skipped.flatMap(disksOf))
  return volumes.filter((volume) => !disksOf(volume).some((disk) => keptDisks.has(disk)))
}

/** Throws `input.invalid` with the logical disk that the agent could not make on any machine. */
export function checkSoftwareRaid(disks: readonly LogicalDisk[]): void {
  if (disks.length > MAX_VOLUMES)
    throw new Fault('input.invalid', `logical_disks: software RAID has at most ${MAX_VOLUMES} of them`)
  const names = new Set<string>()
  for (const [i, disk] of disks.entries()) {
    const bad = (key: string, why: string) => new Fault('input.invalid', `logical_disks/${i}/${key}: ${why}`)
    const level = disk.raid_level as SoftwareLevel
    if (disk.controller !== 'software')
      throw bad('controller', 'the raid interface agent makes volumes of the controller "software" alone')
    if (!SOFTWARE_LEVELS.includes(level))
      throw bad('raid_level', `software RAID has the levels ${SOFTWARE_LEVELS.join(', ')}`)
    if (disk.is_root_volume && level !== '1')
      throw bad('raid_level', 'the root volume has level 1: each of its disks must be able to start the machine alone')
    if (disk.size_gb === 0) throw bad('size_gb', 'a volume has at least 1 GiB')
    if (disk.interface_type !== undefined)
      throw bad('interface_type', 'software RAID chooses disks by physical_disks or disk_type')
    const name = nameOf(disk, i)
    if (!NAME.test(name))
      throw bad('volume_name', 'it has 1 to 28 letters, digits, dots, dashes and underscores, a letter or digit first')
    if (names.has(name) || name === 'esp') throw bad('volume_name', `${JSON.stringify(name)} is taken`)
    names.add(name)
    checkCount(disk, level, bad)
  }
  const rest = disks.filter((disk) => disk.size_gb === 'MAX' && disk.physical_disks === undefined)
  if (rest.length > 1) throw new Fault('input.invalid', 'logical_disks: one of them at most takes the rest (MAX)')
}

/** A wanted configuration against the raid interface of its node; `{}` wants nothing. */
export function checkTargetRaid(
  node: Pick<NodeRecord, 'driver' | 'interfaces'>,
  config: Readonly<Record<string, unknown>>,
): void {
  if (Object.keys(config).length === 0) return
  const raidInterface = interfaceOf(node, 'raid')
  if (raidInterface === 'agent') checkSoftwareRaid(raidOf(config))
  if (raidInterface === 'redfish' || raidInterface === 'idrac-redfish') checkHardwareRaid(raidOf(config))
}

function checkCount(disk: LogicalDisk, level: SoftwareLevel, bad: (key: string, why: string) => Fault): void {
  const named = disk.physical_disks?.length
  const count = disk.number_of_physical_disks
  const least = LEAST_DISKS[level]
  if (named !== undefined && (named < least || named > MAX_MEMBERS))
    throw bad('physical_disks', `RAID ${level} takes ${least} to ${MAX_MEMBERS} disks`)
  if (count !== undefined && (count < least || count > MAX_MEMBERS))
    throw bad('number_of_physical_disks', `RAID ${level} takes ${least} to ${MAX_MEMBERS} disks`)
  if (named !== undefined && count !== undefined && named !== count)
    throw bad('number_of_physical_disks', `physical_disks names ${named}`)
}

const nameOf = (disk: LogicalDisk, i: number): string => disk.volume_name ?? `volume-${i}`

/** What a step has the agent do. */
export interface SoftwareRaidOrder {
  readonly remove: boolean
  readonly create: readonly VolumeWish[]
}

/** Throws `input.*` for arguments, or a configuration, that will not do. The same request makes the same UUIDs, however
 *  often the node is booted for it. */
export function softwareRaidOrder(node: NodeRecord, { step, args }: PlannedStep): SoftwareRaidOrder {
  if (step === 'delete_configuration') return { remove: true, create: [] }
  const asked =
    step === 'apply_configuration'
      ? checkInput(Apply, args)
      : { ...checkInput(Create, args), raid_config: node.targetRaidConfig }
  const disks = raidOf(asked.raid_config)
  checkSoftwareRaid(disks)
  const marked = disks.some((disk) => disk.is_root_volume)
  const wishes = disks.flatMap((disk, i): VolumeWish[] => {
    const isRoot = disk.is_root_volume ?? (!marked && i === 0 && disk.raid_level === '1')
    return (isRoot ? asked.create_root_volume : asked.create_nonroot_volumes) ? [wishOf(node, disk, { i, isRoot })] : []
  })
  if (!asked.delete_existing) checkBeside(keptVolumes(node), wishes)
  return { remove: asked.delete_existing, create: wishes }
}

function checkBeside(there: readonly VolumeWish[], wishes: readonly VolumeWish[]): void {
  const taken = wishes.find(({ name }) => there.some((one) => one.name === name))
  if (taken)
    throw new Fault('input.invalid', `logical_disks: the node has a volume ${taken.name}; delete_existing replaces it`)
  if (there.length + wishes.length > MAX_VOLUMES)
    throw new Fault('input.invalid', `logical_disks: with those that are there, more than ${MAX_VOLUMES}`)
}

function wishOf(node: NodeRecord, disk: LogicalDisk, { i, isRoot }: { i: number; isRoot: boolean }): VolumeWish {
  const name = nameOf(disk, i)
  const hash = sha256Hex(`${node.uuid} ${node.workflow.sinceMs} ${name}`)
  return {
    id: (hash.match(/.{8}/g) ?? []).slice(0, 4).join(':'),
    name,
    level: disk.raid_level as SoftwareLevel,
    size: disk.size_gb,
    isRoot,
    ...(disk.disk_type === undefined ? {} : { diskType: disk.disk_type }),
    ...(disk.number_of_physical_disks === undefined ? {} : { diskCount: disk.number_of_physical_disks }),
    ...(disk.physical_disks === undefined
      ? {}
      : { disks: disk.physical_disks.map((one) => (typeof one === 'string' ? { name: one } : one)) }),
  }
}

/** What a step makes of the record when it succeeds; sizes and disks are known once the agent has reported them. */
export function tryRaidStep(node: NodeRecord, step: PlannedStep): Partial<NodeRecord> {
  const { remove, create } = softwareRaidOrder(node, step)
  const there = remove ? [] : keptVolumes(node)
  const made = create.map((wish) => ({ ...wish, sizeBytes: 0, disks: [] }))
  return { raidConfig: { logical_disks: [...there.map((wish) => ({ ...wish, disks: [] })), ...made].map(keptOf) } }
}

const keptOf = ({
  id,
  name,
  level,
  size,
  isRoot,
  disks,
  ...volume
}: Omit<Volume, 'sizeBytes'> & { sizeBytes?: number }) => ({
  id,
  name,
  controller: 'software',
  raid_level: level,
  size_gb: Math.floor((volume.sizeBytes ?? 0) / GIB),
  target_size_gb: size,
  is_root_volume: isRoot,
  root_device_hint: { volume_name: name },
  physical_disks: disks.map((disk) =>
    disk.serial === null ? (disk.wwn === null ? { name: disk.name } : { wwn: disk.wwn }) : { serial: disk.serial },
  ),
})

/** What the record says once the agent made `volumes`. Throws `raid.failed` when these are not the ones that were
 *  ordered. */
export function raidedBy(
  node: NodeRecord,
  { remove, create }: SoftwareRaidOrder,
  at: { readonly volumes: readonly Volume[]; readonly nowMs: number },
): Pick<NodeRecord, 'raidConfig' | 'properties'> {
  const made = new Set(at.volumes.map(({ id }) => id))
  if (made.size !== create.length || create.some(({ id }) => !made.has(id)))
    throw new Fault('raid.failed', `the agent made ${made.size} of ${create.length} volumes`)
  const before = (node.raidConfig.logical_disks as { id?: unknown; name?: unknown }[] | undefined) ?? []
  const kept = remove ? [] : before.filter(({ id }) => !made.has(String(id)))
  const root = at.volumes.find((volume) => volume.isRoot && isMarked(node, volume.name))
  const { root_device: hint, ...others } = node.properties
  const gone = remove && before.some(({ name }) => name === (hint as Record<string, unknown> | undefined)?.volume_name)
  return {
    raidConfig: { logical_disks: [...kept, ...at.volumes.map(keptOf)], last_updated: isoTime(at.nowMs) },
    properties: root
      ? { ...others, root_device: { volume_name: root.name }, local_gb: Math.floor(root.sizeBytes / GIB) - 1 }
      : gone
        ? others
        : node.properties,
  }
}

/** Whether the present step's configuration calls a volume the root volume; that the first of them can be started from
 *  says nothing yet. */
function isMarked(node: NodeRecord, name: string): boolean {
  const step = node.workflow.steps[node.workflow.stepIndex]
  const config = step?.step === 'apply_configuration' ? step.args.raid_config : node.targetRaidConfig
  const { data } = RaidConfig.safeParse(config)
  return data?.logical_disks.some((disk, i) => disk.is_root_volume === true && nameOf(disk, i) === name) ?? false
}
