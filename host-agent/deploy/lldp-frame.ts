/** An LLDP frame (IEEE 802.1AB-2016) -> its type-length-value fields, as pairs of type and value in hexadecimal. Pure:
 *  the frame comes from a stranger. */
import type { LldpField } from '../../conductor/api/agent-wire.ts'

/** The nearest bridge of any kind, which forwards frames to this address to nobody. */
export const LLDP_ADDRESS = '01:80:c2:00:00:0e'
const ETHER_TYPE = 0x88cc
const ETHERNET_HEADER_BYTES = 14
const END = 0
const CHASSIS_ID = 1
const PORT_ID = 2
const TTL = 3
const MAX_FIELDS = 256

/** Undefined for what is not LLDP, for a frame without the three fields that each must begin with, and for one that
 *  says goodbye (a TTL of 0). A field that is cut short ends the list before it. */
export function lldpFields(frame: Buffer): LldpField[] | undefined {
  if (frame.length < ETHERNET_HEADER_BYTES || frame.readUInt16BE(12) !== ETHER_TYPE) return undefined
  const fields: LldpField[] = []
  for (let at = ETHERNET_HEADER_BYTES; at + 2 <= frame.length && fields.length < MAX_FIELDS;) {
    const head = frame.readUInt16BE(at)
    const [type, length] = [head >> 9, head & 0x1ff]
    const value = frame.subarray(at + 2, at + 2 + length)
    if (type === END || value.length < length) break
    fields.push([type, value.toString('hex')])
    at += 2 + length
  }
  const [chassis, port, ttl] = fields
  const begins = chassis?.[0] === CHASSIS_ID && port?.[0] === PORT_ID && ttl?.[0] === TTL
  if (!begins || ttl[1].length < 4 || Number.parseInt(ttl[1].slice(0, 4), 16) === 0) return undefined
  return fields
}
