/** Hardware interfaces: which implementations each driver has, the default first (Ironic's names). What is not here
 *  cannot be chosen. */
import { Fault } from '../../../kit/fault.ts'
import { DRIVERS, type Driver } from './drivers.ts'
import type { NodeRecord } from '../record.ts'
import { bootPlanOf } from '../workflow/boot-plans.ts'

export const INTERFACES = [
  'bios',
  'boot',
  'console',
  'deploy',
  'firmware',
  'inspect',
  'management',
  'network',
  'power',
  'raid',
  'rescue',
  'storage',
  'vendor',
] as const
export type InterfaceName = (typeof INTERFACES)[number]

const NONE = {
  bios: ['no-bios'],
  console: ['no-console'],
  firmware: ['no-firmware'],
  network: ['noop'],
  raid: ['no-raid', 'agent'],
  storage: ['noop'],
  vendor: ['no-vendor'],
}

export const DRIVER_INTERFACES: Readonly<Record<Driver, Readonly<Record<InterfaceName, readonly string[]>>>> = {
  ipmi: {
    ...NONE,
    boot: ['ipxe', 'pxe'],
    deploy: ['direct', 'custom-agent', 'ramdisk'],
    inspect: ['agent', 'no-inspect'],
    // The boot order of the firmware is left as it is: the network first, then the disk.
    management: ['ipmitool', 'noop'],
    power: ['ipmitool'],
    rescue: ['agent', 'no-rescue'],
    vendor: ['no-vendor', 'ipmitool'],
  },
  redfish: {
    ...NONE,
    bios: ['redfish', 'no-bios'],
    firmware: ['redfish', 'no-firmware'],
    boot: ['ipxe', 'pxe', 'redfish-virtual-media', 'redfish-https'],
    deploy: ['direct', 'custom-agent', 'ramdisk'],
    inspect: ['agent', 'redfish', 'no-inspect'],
    management: ['redfish', 'noop'],
    power: ['redfish'],
    raid: ['no-raid', 'agent', 'redfish'],
    rescue: ['agent', 'no-rescue'],
    vendor: ['redfish', 'no-vendor'],
  },
  // Ironic's names for Dell; the same Redfish behind both.
  idrac: {
    ...NONE,
    bios: ['idrac-redfish', 'redfish', 'no-bios'],
    firmware: ['redfish', 'no-firmware'],
    boot: ['ipxe', 'pxe', 'idrac-redfish-virtual-media', 'redfish-virtual-media', 'redfish-https'],
    deploy: ['direct', 'custom-agent', 'ramdisk'],
    inspect: ['agent', 'idrac-redfish', 'redfish', 'no-inspect'],
    management: ['idrac-redfish', 'redfish', 'noop'],
    power: ['idrac-redfish', 'redfish'],
    raid: ['no-raid', 'agent', 'idrac-redfish', 'redfish'],
    rescue: ['agent', 'no-rescue'],
    vendor: ['idrac-redfish', 'redfish', 'no-vendor'],
  },
  'fake-hardware': {
    ...NONE,
    bios: ['fake', 'no-bios'],
    console: ['fake', 'no-console'],
    firmware: ['fake', 'no-firmware'],
    raid: ['fake', 'no-raid'],
    vendor: ['fake', 'no-vendor'],
    boot: ['fake'],
    // Names that tools choose for simulated servers too; they are the fake ones.
    deploy: ['fake', 'direct', 'custom-agent', 'ramdisk'],
    inspect: ['fake', 'agent', 'no-inspect'],
    management: ['fake'],
    power: ['fake'],
    rescue: ['fake', 'no-rescue'],
  },
}

/** Names that are taken for another implementation: what is really done when one of them is chosen. */
export const ALIASES: Partial<Record<InterfaceName, Readonly<Record<string, string>>>> = { boot: { pxe: 'ipxe' } }

/** Where to look instead, for what another implementation of the field would do. */
const INSTEAD: Partial<Record<InterfaceName, string>> = {
  console:
    'the serial console is the WebSocket /rackward/v1/nodes/NODE/console, or the command "rackward node console NODE"',
}
const instead = (name: InterfaceName): string => (INSTEAD[name] ? `; ${INSTEAD[name]}` : '')

export const enabledInterfaces = (driver: string): Readonly<Record<InterfaceName, readonly string[]>> | undefined =>
  Object.hasOwn(DRIVERS, driver) ? DRIVER_INTERFACES[driver as Driver] : undefined

/** The implementation that a node uses. */
export const interfaceOf = (node: Pick<NodeRecord, 'driver' | 'interfaces'>, name: InterfaceName): string | null =>
  node.interfaces[name] ?? enabledInterfaces(node.driver)?.[name][0] ?? null

/** What a management interface can do beside the boot device. */
export interface ManagementAbilities {
  /** Sets boot mode and Secure Boot. */
  readonly firmwareMode: boolean
  /** Lists and switches indicator lamps of the server. */
  readonly indicators: boolean
  /** Reads sensors. */
  readonly sensors: boolean
}

const NO_ABILITIES: ManagementAbilities = { firmwareMode: false, indicators: false, sensors: false }
const REDFISH_ABILITIES: ManagementAbilities = { firmwareMode: true, indicators: true, sensors: true }
/** By name; every other management interface has none of them. Fake hardware keeps its own in its record. */
const MANAGEMENT: Readonly<Record<string, ManagementAbilities>> = {
  redfish: REDFISH_ABILITIES,
  'idrac-redfish': REDFISH_ABILITIES,
}

export const managementOf = (node: Pick<NodeRecord, 'driver' | 'interfaces'>): ManagementAbilities =>
  MANAGEMENT[interfaceOf(node, 'management') ?? ''] ?? NO_ABILITIES

/** The hardware is looked at through the BMC: nothing is booted for it. */
export const inspectsByBmc = (node: Pick<NodeRecord, 'driver' | 'interfaces'>): boolean =>
  ['redfish', 'idrac-redfish'].includes(interfaceOf(node, 'inspect') ?? '')

/** Throws `input.invalid` when a chosen implementation does not exist for the driver. */
export function checkInterfaces(node: Pick<NodeRecord, 'driver' | 'interfaces' | 'disablePowerOff'>): void {
  const enabled = enabledInterfaces(node.driver)
  for (const [name, chosen] of Object.entries(node.interfaces)) {
    const there = enabled?.[name as InterfaceName] ?? []
    if (!there.includes(chosen))
      throw new Fault(
        'input.invalid',
        `${name}_interface: the driver ${node.driver} has no ${JSON.stringify(chosen.slice(0, 64))}; it has ${there.join(', ')}${instead(name as InterfaceName)}`,
      )
  }
  checkBoot(node)
}

/** A boot ISO is put in and taken out while the server is off, and holds our ramdisk alone. */
function checkBoot(node: Pick<NodeRecord, 'interfaces' | 'disablePowerOff'>): void {
  if (!bootPlanOf(node).servesIso) return
  const refuse = (why: string) => new Fault('input.invalid', `boot_interface: ${node.interfaces.boot} ${why}`)
  if (node.disablePowerOff) throw refuse('needs a server that may be switched off (disable_power_off is true)')
  if (node.interfaces.deploy === 'ramdisk')
    throw refuse('boots no instance of deploy_interface ramdisk; that needs ipxe')
}

/** Throws `node.unsupported`, as Ironic's `no-*` interfaces do. */
export const unsupported = (
  node: Pick<NodeRecord, 'uuid' | 'driver' | 'interfaces'>,
  name: InterfaceName,
  what: string,
): Fault =>
  new Fault(
    'node.unsupported',
    `${what}: the ${name} interface ${interfaceOf(node, name)} of node ${node.uuid} cannot do that${instead(name)}`,
  )
