/** Steps of the raid interfaces `redfish` and `idrac-redfish`: their arguments, what they have the BMC remove and make,
 *  and what raid_config says of it. Pure. */
import * as z from 'zod'
import { isoTime } from '../../../kit/clock.ts'
import { checkInput } from '../../api/check-input.ts'
import type { StorageSeen, VolumeOrder, VolumeSeen } from '../../bmc/parts/volumes.ts'
import type { NodeRecord } from '../record.ts'
import { checkHardwareRaid, isOrdered, planHardwareRaid } from './hardware-raid.ts'
import { RaidConfig, raidOf, type LogicalDisk } from './raid.ts'
import type { PlannedStep } from './steps.ts'

const GIB = 1024 ** 3

const flag = (byDefault: boolean, says: string) => z.boolean().default(byDefault).describe(says)
const deletes = flag(false, 'Whether all volumes of the controllers are removed first.')
const root = flag(true, 'Whether the root volume is made.')

export const CreateArgs = z.strictObject({
  create_root_volume: root,
  create_nonroot_volumes: flag(true, 'Whether the other volumes are made.'),
  delete_existing: deletes,
})
export const ApplyArgs = z.strictObject({
  raid_config: RaidConfig.describe('The volumes, in the form of target_raid_config.'),
  create_root_volume: root,
  create_nonroot_volumes: flag(false, 'Whether the other volumes are made.'),
  delete_existing: deletes,
})

const BY_BMC = { by: 'bmc', of: ['redfish', 'idrac-redfish'] } as const

export const HARDWARE_RAID_STEPS = {
  'raid.create_configuration': {
    in: { clean: 0 },
    ...BY_BMC,
    args: CreateArgs,
    abortable: false,
    says: 'volumes are made of target_raid_config by the RAID controllers, and read back',
  },
  'raid.apply_configuration': {
    in: { deploy: 0, service: 0 },
    ...BY_BMC,
    args: ApplyArgs,
    abortable: false,
    says: 'volumes are made of the argument raid_config by the RAID controllers, and read back',
  },
  'raid.delete_configuration': {
    in: { clean: 0, deploy: 0, service: 0 },
    ...BY_BMC,
    abortable: false,
    says: 'all volumes of the RAID controllers are removed',
  },
} as const

export interface HardwareRaidPlan {
  /** Ids of volumes. */
  readonly remove: readonly string[]
  readonly create: readonly VolumeOrder[]
  /** The level and the mark of each that is made. */
  readonly wanted: readonly LogicalDisk[]
}

/** The logical disks that a step is to make. Throws `input.*`. */
export function wantedBy(node: NodeRecord, { step, args }: PlannedStep): { wanted: LogicalDisk[]; removes: boolean } {
  if (step === 'delete_configuration') return { wanted: [], removes: true }
  const asked =
    step === 'apply_configuration'
      ? checkInput(ApplyArgs, args)
      : { ...checkInput(CreateArgs, args), raid_config: node.targetRaidConfig }
  const disks = raidOf(asked.raid_config)
  checkHardwareRaid(disks)
  const wanted = disks.filter((disk) => (disk.is_root_volume ? asked.create_root_volume : asked.create_nonroot_volumes))
  return { wanted, removes: asked.delete_existing }
}

/** Throws `raid.disks` with the logical disk that the storage cannot hold. */
export function hardwareRaidPlan(
  node: NodeRecord,
  step: PlannedStep,
  storages: readonly StorageSeen[],
): HardwareRaidPlan {
  const { wanted, removes } = wantedBy(node, step)
  const remove = removes ? storages.flatMap(({ volumes }) => volumes.map(({ id }) => id)) : []
  return { remove, create: planHardwareRaid(wanted, storages, new Set(remove)), wanted }
}

/** What the record says once the volumes are as planned: all that the controllers have, as they show them. */
export function hardwareRaided(
  node: Pick<NodeRecord, 'properties'>,
  { create, wanted, remove }: HardwareRaidPlan,
  { storages, nowMs }: { readonly storages: readonly StorageSeen[]; readonly nowMs: number },
): Pick<NodeRecord, 'raidConfig' | 'properties'> {
  const rootAt = wanted.findIndex((disk) => disk.is_root_volume === true)
  const isRoot = (volume: VolumeSeen) => rootAt >= 0 && isOrdered(create[rootAt] as VolumeOrder, volume)
  const disks = storages.flatMap((storage) =>
    storage.volumes.map((volume) => ({
      id: volume.id,
      name: volume.name,
      controller: storage.id,
      size_gb: Math.floor((volume.sizeBytes ?? 0) / GIB),
      raid_level: levelOf(volume.raidType),
      is_root_volume: isRoot(volume),
      physical_disks: volume.drives.map((id) => storage.drives.find((drive) => drive.id === id)?.name ?? id),
      ...(volume.wwn === null ? {} : { root_device_hint: { wwn: volume.wwn } }),
    })),
  )
  const made = disks.find((disk) => disk.is_root_volume)
  const { root_device: hint, ...others } = node.properties
  const isStale = remove.length > 0 && !made && disks.length === 0
  return {
    raidConfig: { logical_disks: disks, last_updated: isoTime(nowMs) },
    properties: {
      ...(isStale ? others : node.properties),
      ...(made ? { local_gb: Math.max(0, made.size_gb - 1) } : {}),
      ...(made?.root_device_hint ? { root_device: made.root_device_hint } : {}),
      ...(isStale && !isWwn(hint) && hint !== undefined ? { root_device: hint } : {}),
    },
  }
}

const isWwn = (hint: unknown): boolean =>
  typeof hint === 'object' && hint !== null && Object.keys(hint).join() === 'wwn'

/** RAID10 -> 1+0, as Ironic has it. */
const LEVELS: Readonly<Record<string, string>> = { RAID10: '1+0', RAID50: '5+0', RAID60: '6+0' }
const levelOf = (raidType: string | null): string | null =>
  raidType === null ? null : (LEVELS[raidType] ?? raidType.replace(/^RAID/, ''))
