/** Where a node's BMC is, in one spelling: two nodes with the same answer would be switched by the same BMC. Pure;
 *  never resolves names. */
import { isIPv6 } from 'node:net'
import { originOf, type DriverInfo } from './redfish/info.ts'

/** Keys of driver_info that say where the BMC is, by driver; the first is the one that messages name. */
const WHERE: Readonly<
  Record<string, { readonly keys: readonly [string, ...string[]]; readonly read: (info: DriverInfo) => string | null }>
> = {
  ipmi: { keys: ['ipmi_address', 'ipmi_port'], read: ofIpmi },
  redfish: { keys: ['redfish_address'], read: ofRedfish },
  idrac: { keys: ['redfish_address'], read: ofRedfish },
}
/** What tells the blades behind one BMC apart, by ipmi_bridging; other keys are not used, and do not make another
 *  blade. */
const TARGET = ['ipmi_target_channel', 'ipmi_target_address'] as const
const BRIDGES: Readonly<Record<string, readonly string[]>> = {
  single: TARGET,
  dual: ['ipmi_transit_channel', 'ipmi_transit_address', ...TARGET],
}
const IPMI_PORT = '623'

/** Null: the node has no BMC of its own, or driver_info does not say where it is. */
export const bmcAddress = (node: { readonly driver: string; readonly driverInfo: DriverInfo }): string | null =>
  (Object.hasOwn(WHERE, node.driver) && WHERE[node.driver]?.read(node.driverInfo)) || null

/** The keys that a password belongs to: whoever changes one of them sends the password elsewhere. */
export const bmcAddressKeys = (driver: string): readonly string[] =>
  Object.hasOwn(WHERE, driver) ? (WHERE[driver]?.keys ?? []) : []

function ofIpmi(info: DriverInfo): string | null {
  const host = hostOf(info.ipmi_address)
  if (host === null) return null
  return `ipmi:${host}:${Number(text(info.ipmi_port) || IPMI_PORT)}${bridgeOf(info)}`
}

/** A BMC may serve several systems, which their paths tell apart. */
function ofRedfish(info: DriverInfo): string | null {
  try {
    return `redfish:${new URL(originOf(info.redfish_address)).host}${text(info.redfish_system_id).replace(/\/$/, '')}`
  } catch {
    return null
  }
}

/** Addresses on the IPMB are numbers: 0x82, 0X82 and 130 are one blade. */
function bridgeOf(info: DriverInfo): string {
  const kind = text(info.ipmi_bridging).toLowerCase()
  const keys = Object.hasOwn(BRIDGES, kind) ? BRIDGES[kind] : undefined
  return keys ? `/${[kind, ...keys.map((key) => Number(text(info[key])))].join(',')}` : ''
}

const text = (value: unknown): string =>
  typeof value === 'string' || typeof value === 'number' ? String(value).trim() : ''

/** Lower case; IPv6 in its shortest form, and as IPv4 where it means one. Resolvers take an IPv4 address in other forms
 *  too, such as 10.1 and 0x0a000001. */
function hostOf(value: unknown): string | null {
  if (typeof value !== 'string' || value === '') return null
  if (!isIPv6(value)) return URL.canParse(`http://${value}`) ? new URL(`http://${value}`).hostname : value.toLowerCase()
  const [address = '', zone] = value.split('%')
  const short = new URL(`http://[${address}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(short)
  if (!mapped) return zone === undefined ? short : `${short}%${zone}`
  const [high, low] = [Number.parseInt(mapped[1] as string, 16), Number.parseInt(mapped[2] as string, 16)]
  return [high >> 8, high & 255, low >> 8, low & 255].join('.')
}
