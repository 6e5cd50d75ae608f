/** The steps that a node has beside those that every node has: of its BMC, of software RAID, or of fake hardware. */
import { stepsOfFake } from '../../fake/steps.ts'
import { BiosSettings, CheckedUpdates } from './step-args.ts'
import { interfaceOf, type InterfaceName } from './interfaces.ts'
import type { NodeRecord } from '../record.ts'
import { HARDWARE_RAID_STEPS } from './hardware-raid-steps.ts'
import { SECURE_BOOT_STEPS } from './secure-boot-steps.ts'
import { softwareRaidSteps } from './software-raid.ts'
import type { KnownStep, StepCatalog } from './steps.ts'

/** A step that the BMC carries out, and the implementations of its interface that have it. */
export interface BmcStep extends KnownStep {
  readonly by: 'bmc'
  readonly of: readonly string[]
}

/** By `interface.step`. */
export const BMC_STEPS: Readonly<Record<string, BmcStep>> = {
  ...SECURE_BOOT_STEPS,
  ...HARDWARE_RAID_STEPS,
  'bios.apply_configuration': {
    in: { clean: 0, deploy: 0, service: 0 },
    by: 'bmc',
    of: ['redfish', 'idrac-redfish'],
    args: BiosSettings,
    says: 'BIOS settings are changed: checked, ordered, a restart of the server, and read back',
  },
  'firmware.update': {
    in: { clean: 0, deploy: 0, service: 0 },
    by: 'bmc',
    of: ['redfish'],
    args: CheckedUpdates,
    abortable: false,
    says: 'firmware is installed from a file that was checked, and its version is read back',
  },
  'bios.factory_reset': {
    in: { clean: 0, deploy: 0, service: 0 },
    by: 'bmc',
    of: ['redfish', 'idrac-redfish'],
    says: 'BIOS settings get their defaults at a restart of the server',
  },
}

export const stepsOfNode = (node: NodeRecord): StepCatalog => ({
  ...stepsOfFake(node),
  ...softwareRaidSteps(node),
  ...stepsOfBmc(node),
})

const stepsOfBmc = (node: NodeRecord): StepCatalog =>
  Object.fromEntries(
    Object.entries(BMC_STEPS).filter(([name, { of }]) =>
      of.includes(interfaceOf(node, name.split('.')[0] as InterfaceName) ?? ''),
    ),
  )
