/** Port groups -> the bond that the ramdisk makes of their cards, and the VLAN that it sends in. Pure. Throws
 *  `node.network-data`, which names the field. */
import { Fault } from '../../kit/fault.ts'
import type { ObjectRecord } from '../store/port.ts'

/** In the order of their numbers, which the kernel takes as well (Documentation/networking/bonding.rst). */
const BOND_MODES = [
  'balance-rr',
  'active-backup',
  'balance-xor',
  'broadcast',
  '802.3ad',
  'balance-tlb',
  'balance-alb',
] as const

/** Options that the ramdisk sets; others, such as addresses to ask by ARP, are those of the installed system. */
const BOND_OPTIONS: ReadonlySet<string> = new Set([
  'ad_select',
  'all_slaves_active',
  'downdelay',
  'fail_over_mac',
  'lacp_rate',
  'lp_interval',
  'miimon',
  'min_links',
  'num_grat_arp',
  'packets_per_slave',
  'primary_reselect',
  'resend_igmp',
  'tlb_dynamic_lb',
  'updelay',
  'use_carrier',
  'xmit_hash_policy',
])
/** Without it a bond keeps to a card whose cable is out. */
const MIIMON = 'miimon=100'
/** As many as a card of the ramdisk's command line can name. */
const MAX_MEMBERS = 16
const MAX_VLAN = 4094
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/

export interface Bond {
  readonly mode: string
  /** MAC addresses of the cards. */
  readonly members: readonly string[]
  /** "miimon=100" */
  readonly options: readonly string[]
  /** Its MAC address; null: that of its first card. */
  readonly address: string | null
}

/** The bundle that a port belongs to, as it boots. */
export interface BootGroup {
  readonly uuid: string
  readonly bond: Bond
}

interface Bundled {
  readonly address: string
  readonly portgroupUuid: string | null
  readonly extra: Readonly<Record<string, unknown>>
}

const refuse = (why: string) => new Fault('node.network-data', why)
const text = (value: unknown): string => JSON.stringify(String(value).slice(0, 40))

export function bondOf(
  given: { readonly mode: unknown; readonly properties: unknown; readonly address: unknown; readonly where: string },
  members: readonly string[],
): Bond {
  const { where } = given
  const mode = modeOf(given.mode)
  if (mode === undefined) throw refuse(`${where}: the mode ${text(given.mode)} is none of ${BOND_MODES.join(', ')}`)
  if (members.length === 0 || members.length > MAX_MEMBERS)
    throw refuse(`${where} has ${members.length} cards: a bond of the ramdisk has 1 to ${MAX_MEMBERS}`)
  const odd = members.find((mac) => !MAC.test(mac))
  if (odd !== undefined) throw refuse(`${where}: ${text(odd)} is not a MAC address such as 52:54:00:00:00:01`)
  const address = given.address === null || given.address === undefined ? null : String(given.address).toLowerCase()
  if (address !== null && !MAC.test(address)) throw refuse(`${where}: ${text(address)} is not a MAC address`)
  return { mode, members, options: optionsOf(given.properties, where), address }
}

const modeOf = (mode: unknown): string | undefined =>
  BOND_MODES.find((name, number) => name === mode || String(number) === String(mode))

/** "bond_" before their names is left out, as Nova writes it before all of them. */
function optionsOf(properties: unknown, where: string): string[] {
  const given = typeof properties === 'object' && properties !== null ? Object.entries(properties) : []
  const options = given
    .map(([name, value]) => ({ name: name.replace(/^bond_/, ''), value: String(value) }))
    .filter(({ name }) => BOND_OPTIONS.has(name))
    .map(({ name, value }) => {
      if (!/^[a-z0-9+_-]{1,32}$/.test(value)) throw refuse(`${where}: ${name} cannot be ${text(value)}`)
      return `${name}=${value}`
    })
    .sort()
  return options.some((option) => option.startsWith('miimon=')) ? options : [...options, MIIMON]
}

/** The number of a VLAN; null: frames go untagged. */
export function vlanOf(value: unknown, where: string): number | null {
  if (value === undefined || value === null) return null
  const number = Number(value)
  if (!Number.isInteger(number) || number < 1 || number > MAX_VLAN || typeof value === 'boolean')
    throw refuse(`${where}: ${text(value)} is not the number of a VLAN, 1 to ${MAX_VLAN}`)
  return number
}

/** What a port boots with, of its port group and of its own `extra`. */
export function bundleOf(
  port: Bundled,
  { ports, groups }: { readonly ports: readonly Bundled[]; readonly groups: readonly ObjectRecord[] },
): { readonly group: BootGroup | null; readonly vlan: number | null; readonly standalone: boolean } {
  const record = groups.find(({ uuid }) => uuid === port.portgroupUuid)
  const own = vlanOf(port.extra.vlan_id, `port ${port.address}: extra/vlan_id`)
  if (!record) return { group: null, vlan: own, standalone: true }
  const where = `port group ${record.name ?? record.uuid}`
  const { mode, properties, address, extra } = record.body
  const members = ports.filter(({ portgroupUuid }) => portgroupUuid === record.uuid).map((one) => one.address)
  const vlan = vlanOf((extra as Record<string, unknown> | undefined)?.vlan_id, `${where}: extra/vlan_id`)
  return {
    group: { uuid: record.uuid, bond: bondOf({ mode, properties, address, where }, members.toSorted()) },
    vlan: own ?? vlan,
    standalone: record.body.standalone_ports_supported !== false,
  }
}

/** The address that a port is fixed to, which the cards of a bundle share. */
export function fixedAddressOf(port: Bundled, ports: readonly Bundled[]): string | null {
  const bundle = port.portgroupUuid === null ? [] : ports.filter((one) => one.portgroupUuid === port.portgroupUuid)
  const fixed = [port, ...bundle].map(({ extra }) => extra.ipv4_address).find((ip) => typeof ip === 'string')
  return typeof fixed === 'string' ? fixed : null
}
