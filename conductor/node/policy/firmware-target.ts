/** Boot mode and Secure Boot that an instance wants (instance_info/capabilities), and which nodes can be told. Pure. */
import { Fault } from '../../../kit/fault.ts'
import type { NodeRecord } from '../record.ts'

export interface FirmwareTarget {
  readonly bootMode?: 'uefi' | 'bios'
  readonly secureBoot?: boolean
}

type Node = Pick<NodeRecord, 'driver' | 'interfaces'>

/** Its boot mode and Secure Boot are set through its BMC: by every management interface of these drivers but noop. */
export const setsFirmware = ({ driver, interfaces }: Node): boolean =>
  (driver === 'redfish' || driver === 'idrac') && interfaces.management !== 'noop'

/** What the instance of the node wants. Secure Boot is part of UEFI. */
export function firmwareTargetOf({ instanceInfo }: Pick<NodeRecord, 'instanceInfo'>): FirmwareTarget {
  const { boot_mode: mode, secure_boot: secure } = capabilitiesOf(instanceInfo.capabilities)
  const bootMode = mode === 'uefi' || mode === 'bios' ? mode : undefined
  if (/^(true|1|yes|on|t|y)$/i.test(secure ?? '')) return { bootMode: 'uefi', secureBoot: true }
  return bootMode ? { bootMode } : {}
}

/** An object, JSON of one, or "name:value,name:value": clients send all three. */
function capabilitiesOf(given: unknown): Readonly<Record<string, string>> {
  if (typeof given === 'string' && !given.trimStart().startsWith('{'))
    return Object.fromEntries(given.split(',').map((pair) => pair.split(':').map((part) => part.trim())))
  try {
    const found: unknown = typeof given === 'string' ? JSON.parse(given) : given
    return Object.fromEntries(Object.entries(found ?? {}).map(([name, value]) => [name, String(value)]))
  } catch {
    return {}
  }
}

/** Throws `node.unsupported` where the instance wants Secure Boot, and nothing can switch it on. */
export function checkFirmwareTarget(node: Node & Pick<NodeRecord, 'uuid' | 'instanceInfo'>): void {
  if (!firmwareTargetOf(node).secureBoot || setsFirmware(node)) return
  throw new Fault(
    'node.unsupported',
    `instance_info/capabilities: secure_boot: the driver ${node.driver} of node ${node.uuid} cannot switch Secure Boot, or its management interface is noop`,
  )
}
