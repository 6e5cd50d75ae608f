/** Management controllers and DPUs, which ask for an address on the wire of the servers: known by their vendor class
 *  (option 60), of which the end is a version. */
import { OPTION, type Options } from './options.ts'

/** For people. */
export const CONTROLLERS = [
  'the management port of a BlueField DPU',
  'the BMC of a BlueField DPU',
  'a BlueField DPU',
  'a Dell iDRAC',
  'an HPE iLO',
] as const
export type Controller = (typeof CONTROLLERS)[number]

const CLASSES: readonly (readonly [beginning: string, Controller])[] = [
  ['NVIDIA/BF/OOB', 'the management port of a BlueField DPU'],
  ['NVIDIA/BF/BMC', 'the BMC of a BlueField DPU'],
  ['NVIDIA/BF', 'a BlueField DPU'],
  ['BF2Client', 'a BlueField DPU'],
  ['iDRAC', 'a Dell iDRAC'],
  ['CPQRIB3', 'an HPE iLO'],
]

export function controllerOf(options: Options): Controller | undefined {
  const vendor = options.get(OPTION.vendorClass)?.toString('latin1')
  return vendor === undefined ? undefined : CLASSES.find(([beginning]) => vendor.startsWith(beginning))?.[1]
}
