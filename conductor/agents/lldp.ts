/** Fields of an LLDP announcement -> what Ironic's inspection hooks make of them: names and values (parse-lldp) and the
 *  link of a port (local-link-connection). Pure: every byte comes from whoever is on the wire, and what is malformed is
 *  left out. */
import type { LldpField } from '../api/agent-wire.ts'
import { printable } from '../../kit/text.ts'
import { MAU_TYPES, PHYSICAL_CAPABILITIES, SYSTEM_CAPABILITIES } from './lldp-names.ts'

/** `switch_port_id` and the like; values are texts, numbers, booleans and lists of them. */
export type ParsedLldp = Record<string, unknown>

const MAX_TEXT_LENGTH = 511
const OUI_802_1 = 0x0080c2
const OUI_802_3 = 0x00120f
/** IEEE 802.1AB-2016 tables 8-2 and 8-3: subtypes whose value is an address. All others are texts. */
const CHASSIS_SUBTYPES = { mac: 4, network: 5, last: 7 }
const PORT_SUBTYPES = { mac: 3, network: 4, last: 7 }
/** RFC 3232: numbers of address families. */
const IPV4 = 1
const IPV6 = 2
const MAC = 6

export function parseLldp(fields: readonly LldpField[]): ParsedLldp {
  const parsed: ParsedLldp = {}
  for (const [type, hex] of fields) {
    try {
      field(type, Buffer.from(hex, 'hex'), parsed)
    } catch {
      // Cut short, or no UTF-8: the other fields stand.
    }
  }
  return parsed
}

/** Of Ironic's local_link_connection what an announcement tells. */
export function linkOf(fields: readonly LldpField[]): Record<string, string> {
  const { switch_port_id: portId, switch_system_name: info } = parseLldp(fields)
  const chassis = Buffer.from(fields.find(([type]) => type === 1)?.[1] ?? '', 'hex')
  const isMac = chassis[0] === CHASSIS_SUBTYPES.mac && chassis.length >= 7
  return {
    ...(isMac ? { switch_id: mac(chassis.subarray(1)) } : {}),
    ...(typeof portId === 'string' ? { port_id: portId } : {}),
    ...(typeof info === 'string' ? { switch_info: info } : {}),
  }
}

/** A name keeps its first value; lists grow. */
const set = (parsed: ParsedLldp, name: string, value: unknown) => {
  if (value !== undefined) parsed[name] ??= value
}
const append = (parsed: ParsedLldp, name: string, value: unknown) => {
  if (value === undefined) return
  parsed[name] ??= []
  ;(parsed[name] as unknown[]).push(value)
}

function field(type: number, value: Buffer, parsed: ParsedLldp): void {
  switch (type) {
    case 1:
      return set(parsed, 'switch_chassis_id', identity(value, CHASSIS_SUBTYPES))
    case 2:
      return set(parsed, 'switch_port_id', identity(value, PORT_SUBTYPES))
    case 4:
      return set(parsed, 'switch_port_description', text(value))
    case 5:
      return set(parsed, 'switch_system_name', text(value))
    case 6:
      return set(parsed, 'switch_system_description', text(value))
    case 7:
      if (value.length !== 4) return
      set(parsed, 'switch_capabilities_support', named(value.readUInt16BE(0), SYSTEM_CAPABILITIES))
      return set(parsed, 'switch_capabilities_enabled', named(value.readUInt16BE(2), SYSTEM_CAPABILITIES))
    case 8:
      return append(parsed, 'switch_mgmt_addresses', address(value.readUInt8(1), value.subarray(2)))
    case 127: {
      const oui = value.readUIntBE(0, 3)
      const subtype = value.readUInt8(3)
      if (oui === OUI_802_1) return field8021(subtype, value.subarray(4), parsed)
      if (oui === OUI_802_3) field8023(subtype, value.subarray(4), parsed)
    }
  }
}

/** IEEE 802.1Q-2014 annex D. */
function field8021(subtype: number, value: Buffer, parsed: ParsedLldp): void {
  switch (subtype) {
    case 1:
      return set(parsed, 'switch_port_untagged_vlan_id', value.readUInt16BE(0))
    case 2: {
      const flags = value.readUInt8(0)
      const vlan = value.readUInt16BE(1)
      set(parsed, 'switch_port_protocol_vlan_enabled', (flags & 4) !== 0)
      set(parsed, 'switch_port_protocol_vlan_support', (flags & 2) !== 0)
      return append(parsed, 'switch_port_protocol_vlan_ids', vlan)
    }
    case 3: {
      const length = value.readUInt8(2)
      if (value.length < 3 + length) return
      return append(parsed, 'switch_port_vlans', {
        name: text(value.subarray(3, 3 + length)),
        id: value.readUInt16BE(0),
      })
    }
    case 4: {
      const length = value.readUInt8(0)
      if (value.length < 1 + length) return
      return append(parsed, 'switch_protocol_identities', value.subarray(1, 1 + length).toString('hex'))
    }
    case 6:
      return set(parsed, 'switch_port_management_vlan_id', value.readUInt16BE(0))
    case 7:
      return aggregation(value, parsed)
  }
}

/** IEEE 802.3-2018 section 79. */
function field8023(subtype: number, value: Buffer, parsed: ParsedLldp): void {
  switch (subtype) {
    case 1: {
      const mau = MAU_TYPES[value.readUInt16BE(3)]
      if (value.length !== 5 || mau === undefined) return
      const flags = value.readUInt8(0)
      set(parsed, 'switch_port_autonegotiation_enabled', (flags & 2) !== 0)
      set(parsed, 'switch_port_autonegotiation_support', (flags & 1) !== 0)
      set(parsed, 'switch_port_physical_capabilities', named(value.readUInt16BE(1), PHYSICAL_CAPABILITIES).sort())
      return set(parsed, 'switch_port_mau_type', mau)
    }
    // Moved to 802.1 long ago, and still sent in this place.
    case 3:
      return aggregation(value, parsed)
    case 4:
      return set(parsed, 'switch_port_mtu', value.readUInt16BE(0))
  }
}

function aggregation(value: Buffer, parsed: ParsedLldp): void {
  if (value.length !== 5) return
  const flags = value.readUInt8(0)
  set(parsed, 'switch_port_link_aggregation_enabled', (flags & 2) !== 0)
  set(parsed, 'switch_port_link_aggregation_support', (flags & 1) !== 0)
  set(parsed, 'switch_port_link_aggregation_id', value.readUInt32BE(1))
}

function identity(value: Buffer, subtypes: typeof CHASSIS_SUBTYPES): string | undefined {
  const subtype = value.readUInt8(0)
  const rest = value.subarray(1)
  if (subtype === subtypes.mac) return address(MAC, rest)
  if (subtype === subtypes.network) return address(rest.readUInt8(0), rest.subarray(1))
  return subtype >= 1 && subtype <= subtypes.last ? text(rest) : undefined
}

function address(family: number, bytes: Buffer): string | undefined {
  if (family === IPV4 && bytes.length >= 4) return bytes.subarray(0, 4).join('.')
  if (family === MAC && bytes.length >= 6) return mac(bytes)
  if (family !== IPV6 || bytes.length < 16) return undefined
  const groups = Array.from({ length: 8 }, (_, i) => bytes.readUInt16BE(i * 2).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

const mac = (bytes: Buffer): string =>
  Array.from(bytes.subarray(0, 6), (byte) => byte.toString(16).padStart(2, '0')).join(':')

const utf8 = new TextDecoder('utf-8', { fatal: true })
/** Throws for what is no UTF-8. An empty text says nothing. */
const text = (bytes: Buffer): string | undefined =>
  printable(utf8.decode(bytes).replace(/\0+$/, ''), MAX_TEXT_LENGTH) || undefined

/** The names of the bits that are set; the first name is of the highest bit. */
const named = (bits: number, names: readonly (string | null)[]): string[] =>
  names.flatMap((name, i) => (name !== null && bits & (1 << (15 - i)) ? [name] : []))
