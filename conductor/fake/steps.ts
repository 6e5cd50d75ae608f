/** The steps that fake interfaces carry out: which there are, what they take, and what they make of a node's record.
 *  Pure. */
import * as z from 'zod'
import { isoTime } from '../../kit/clock.ts'
import { checkInput } from '../api/node-input.ts'
import { interfaceOf, type InterfaceName } from '../node/policy/interfaces.ts'
import { raidOf, RaidConfig } from '../node/policy/raid.ts'
import type { NodeRecord } from '../node/record.ts'
import type { PlannedStep, StepCatalog } from '../node/policy/steps.ts'
import { BiosSettings, FirmwareUpdates } from '../node/policy/step-args.ts'
import { applyBios, defaultBios, resetBios } from './bios.ts'
import { updateFirmware } from './firmware.ts'
import { createRaid, type RaidDisk } from './raid.ts'
import { freshHardware, type FakeHardware } from './state.ts'
import { callVendor } from './vendor.ts'

const Volumes = {
  create_root_volume: z.boolean().default(true).describe('whether the root volume is made'),
  create_nonroot_volumes: z.boolean().default(true).describe('whether the other volumes are made'),
  delete_existing: z.boolean().default(false).describe('whether the volumes that are there are removed first'),
}
const Create = z.strictObject(Volumes)
const Apply = z.strictObject({
  ...Volumes,
  raid_config: RaidConfig.describe('the volumes to make, as target_raid_config'),
})

const ALL_KINDS = { clean: 0, deploy: 0, service: 0 } as const

/** By `interface.step`; each stands there only on nodes whose interface is the fake one. */
export const FAKE_STEPS: StepCatalog = {
  'bios.apply_configuration': {
    in: ALL_KINDS,
    by: 'interface',
    args: BiosSettings,
    says: 'BIOS settings are changed',
  },
  'bios.factory_reset': { in: ALL_KINDS, by: 'interface', says: 'BIOS settings get their defaults' },
  'bios.cache_bios_settings': { in: { clean: 0 }, by: 'interface', says: 'BIOS settings are read anew' },
  'firmware.update': {
    in: ALL_KINDS,
    by: 'interface',
    args: FirmwareUpdates,
    says: 'components get other firmware',
  },
  'raid.create_configuration': {
    in: { clean: 0 },
    by: 'interface',
    args: Create,
    says: 'logical disks are made of target_raid_config',
  },
  'raid.apply_configuration': {
    in: { deploy: 0, service: 0 },
    by: 'interface',
    args: Apply,
    says: 'logical disks are made of the argument',
  },
  'raid.delete_configuration': { in: ALL_KINDS, by: 'interface', says: 'logical disks are removed' },
  'vendor.log_passthrough': {
    in: { clean: 0, service: 0 },
    by: 'interface',
    args: z.looseObject({}),
    says: 'arguments are noted',
  },
}

/** Those that a node has. */
export const stepsOfFake = (node: NodeRecord): StepCatalog =>
  Object.fromEntries(
    Object.entries(FAKE_STEPS).filter(([name]) => interfaceOf(node, name.split('.')[0] as InterfaceName) === 'fake'),
  )

export const hardwareOf = (node: NodeRecord, nowMs: number): FakeHardware =>
  node.fake ?? freshHardware(nowMs, defaultBios())

/** What a step changes of the record. Throws `input.*` with what does not do. */
export function fakeStep(
  node: NodeRecord,
  { interface: at, step, args }: PlannedStep,
  nowMs: number,
): Partial<NodeRecord> {
  const fake = hardwareOf(node, nowMs)
  switch (`${at}.${step}`) {
    case 'bios.apply_configuration':
      return { fake: { ...fake, bios: applyBios(fake.bios, checkInput(BiosSettings, args).settings, nowMs) } }
    case 'bios.factory_reset':
      return { fake: { ...fake, bios: resetBios(fake.bios, nowMs) } }
    case 'bios.cache_bios_settings':
      return { fake }
    case 'firmware.update':
      return {
        fake: { ...fake, firmware: updateFirmware(fake.firmware, checkInput(FirmwareUpdates, args).settings, nowMs) },
      }
    case 'raid.create_configuration':
      return raided(node, { ...checkInput(Create, args), raid_config: node.targetRaidConfig }, nowMs)
    case 'raid.apply_configuration':
      return raided(node, checkInput(Apply, args), nowMs)
    case 'raid.delete_configuration':
      return { raidConfig: { logical_disks: [], last_updated: isoTime(nowMs) } }
    case 'vendor.log_passthrough':
      return { fake: callVendor(fake, 'log_passthrough', args).hardware }
    default:
      return {}
  }
}

function raided(
  node: NodeRecord,
  args: z.infer<typeof Create> & { raid_config: unknown },
  nowMs: number,
): Partial<NodeRecord> {
  const wanted = raidOf(args.raid_config).filter((disk) =>
    disk.is_root_volume ? args.create_root_volume : args.create_nonroot_volumes,
  )
  const there = args.delete_existing ? [] : ((node.raidConfig.logical_disks as RaidDisk[] | undefined) ?? [])
  const made = createRaid(wanted, there)
  const root = made.find((disk) => disk.is_root_volume)
  const properties = root
    ? { ...node.properties, local_gb: root.size_gb - 1, root_device: root.root_device_hint }
    : node.properties
  return { raidConfig: { logical_disks: made, last_updated: isoTime(nowMs) }, properties }
}
