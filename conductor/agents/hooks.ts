/** What Ironic's inspection hooks add to an inventory: its valid interfaces and their MACs, what switches announced,
 *  and the link of each card. Pure. */
import { LldpField } from '../api/agent-wire.ts'
import { linkOf, parseLldp, type ParsedLldp } from './lldp.ts'

type Interface = Readonly<Record<string, unknown>>

export interface HookData {
  readonly pluginData: Readonly<Record<string, unknown>>
  /** MAC -> what is known of the switch port behind it. */
  readonly links: ReadonlyMap<string, Readonly<Record<string, string>>>
}

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/
/** Ironic's limit for interfaces whose announcements are looked at. */
const MAX_LLDP_INTERFACES = 64
const MAX_LLDP_FIELDS = 256

/** `inventory` is of Ironic's form. `plugin`: what the agent sent beside it. */
export function hookData(
  inventory: {
    readonly interfaces: readonly Interface[]
    readonly boot?: { readonly pxe_interface?: unknown; readonly [name: string]: unknown } | undefined
  },
  plugin: Readonly<Record<string, unknown>>,
): HookData {
  const bootMac = pxeMac(inventory.boot?.pxe_interface)
  const all: [name: string, found: Interface & { mac_address: string }][] = []
  for (const one of inventory.interfaces) {
    const mac = String(one.mac_address).toLowerCase()
    const name = one.name
    if (typeof name !== 'string' || name === '' || name === 'lo' || !MAC.test(mac)) continue
    const ipv6 = typeof one.ipv6_address === 'string' ? one.ipv6_address.split('%')[0] : one.ipv6_address
    all.push([name, { ...one, mac_address: mac, ipv6_address: ipv6, pxe_enabled: mac === bootMac }])
  }

  const parsed: [string, ParsedLldp][] = []
  const links = new Map<string, Record<string, string>>()
  for (const [name, { mac_address: mac, lldp }] of all.slice(0, MAX_LLDP_INTERFACES)) {
    const fields = fieldsOf(rawOf(plugin.lldp_raw, name) ?? lldp)
    if (fields.length === 0) continue
    parsed.push([name, parseLldp(fields)])
    links.set(mac, linkOf(fields))
  }
  return {
    pluginData: {
      ...plugin,
      all_interfaces: Object.fromEntries(all),
      valid_interfaces: Object.fromEntries(all),
      macs: all.map(([, { mac_address: mac }]) => mac),
      ...(parsed.length > 0 ? { parsed_lldp: Object.fromEntries(parsed) } : {}),
    },
    links,
  }
}

const rawOf = (raw: unknown, name: string): unknown =>
  typeof raw === 'object' && raw !== null && Object.hasOwn(raw, name)
    ? (raw as Record<string, unknown>)[name]
    : undefined

/** Fields that are none are left out. */
const fieldsOf = (lldp: unknown): LldpField[] =>
  (Array.isArray(lldp) ? lldp.slice(0, MAX_LLDP_FIELDS) : []).flatMap((field) => {
    const checked = LldpField.safeParse(field)
    return checked.success ? [checked.data] : []
  })

/** `01-52-54-00-00-00-01` (pxelinux) or a MAC. */
function pxeMac(text: unknown): string | undefined {
  if (typeof text !== 'string') return undefined
  return (text.includes('-') ? text.split('-').slice(1).join(':') : text).toLowerCase()
}
