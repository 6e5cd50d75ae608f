/** TFTP packets (RFC 1350) with options (RFC 2347) <-> values. */
import { Reader, WireError } from '../bytes.ts'

export type TftpPacket =
  | {
      readonly op: 'rrq' | 'wrq'
      readonly file: string
      readonly mode: string
      readonly options: ReadonlyMap<string, string>
    }
  | { readonly op: 'data'; readonly block: number; readonly bytes: Buffer }
  | { readonly op: 'ack'; readonly block: number }
  | { readonly op: 'error'; readonly code: number; readonly message: string }
  | { readonly op: 'oack'; readonly options: ReadonlyMap<string, string> }

/** The opcode of a data packet. */
export const DATA = 3
const OPCODE = { rrq: 1, wrq: 2, data: DATA, ack: 4, error: 5, oack: 6 } as const

/** RFC 1350 appendix, RFC 2347. */
export const TFTP_ERROR = { undefined: 0, notFound: 1, access: 2, illegal: 4, unknownTid: 5, options: 8 } as const

/** Throws WireError for anything else than one of the six packets. */
export function decodeTftp(datagram: Buffer): TftpPacket {
  // Of all packets that come most are these.
  if (datagram.length >= 4 && datagram[0] === 0 && datagram[1] === OPCODE.ack)
    return { op: 'ack', block: datagram.readUInt16BE(2) }
  const reader = new Reader(datagram)
  const opcode = reader.u16('opcode')
  switch (opcode) {
    case OPCODE.rrq:
    case OPCODE.wrq: {
      const file = reader.textZ('file name')
      const mode = reader.textZ('mode').toLowerCase()
      return { op: opcode === OPCODE.rrq ? 'rrq' : 'wrq', file, mode, options: readOptions(reader) }
    }
    case OPCODE.data:
      return { op: 'data', block: reader.u16('block'), bytes: reader.take(reader.left, 'data') }
    case OPCODE.ack:
      // Bytes after the block number are padding: some ROMs send them.
      return { op: 'ack', block: reader.u16('block') }
    case OPCODE.error:
      return {
        op: 'error',
        code: reader.u16('error code'),
        message: reader.left > 0 ? reader.take(reader.left, 'message').toString('latin1').replace(/\0.*$/s, '') : '',
      }
    case OPCODE.oack:
      return { op: 'oack', options: readOptions(reader) }
    default:
      throw new WireError(`opcode: ${opcode} is not TFTP`)
  }
}

export function encodeTftp(packet: TftpPacket): Buffer {
  const head = (...words: number[]) => Buffer.from(words.flatMap((word) => [word >> 8, word & 255]))
  const text = (...parts: string[]) => Buffer.from(parts.map((part) => `${part}\0`).join(''), 'latin1')
  const flat = (options: ReadonlyMap<string, string>) => text(...[...options].flat())
  switch (packet.op) {
    case 'rrq':
    case 'wrq':
      return Buffer.concat([head(OPCODE[packet.op]), text(packet.file, packet.mode), flat(packet.options)])
    case 'data':
      return Buffer.concat([head(OPCODE.data, packet.block), packet.bytes])
    case 'ack':
      return head(OPCODE.ack, packet.block)
    case 'error':
      return Buffer.concat([head(OPCODE.error, packet.code), text(packet.message)])
    case 'oack':
      return Buffer.concat([head(OPCODE.oack), flat(packet.options)])
  }
}

/** Names are compared without case (RFC 2347). A name without a value, as padded requests end, is dropped. */
function readOptions(reader: Reader): Map<string, string> {
  const options = new Map<string, string>()
  while (reader.left > 0) {
    const name = reader.textZ('option name').toLowerCase()
    if (name === '' || reader.left === 0) break
    options.set(name, reader.textZ(`option ${name}`))
  }
  return options
}
