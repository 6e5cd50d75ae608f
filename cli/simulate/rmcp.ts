/** Datagrams of IPMI over LAN as a BMC reads and writes them (IPMI 2.0, chapter 13): the IPMI 1.5 wrapper before a
 *  session, and RMCP+ with its integrity and encryption within one. */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'

export interface Suite {
  readonly id: number
  /** Numbers of the algorithms (tables 13-17 to 13-19). */
  readonly auth: number
  readonly integrity: number
  readonly confidentiality: number
  readonly hash: 'sha1' | 'sha256'
  /** Bytes of a code of integrity. */
  readonly codeBytes: number
}

export const SUITES: readonly Suite[] = [
  { id: 3, auth: 1, integrity: 1, confidentiality: 1, hash: 'sha1', codeBytes: 12 },
  { id: 17, auth: 3, integrity: 4, confidentiality: 1, hash: 'sha256', codeBytes: 16 },
]

/** Types of payloads (table 13-16). */
export const PAYLOAD = {
  ipmi: 0,
  open: 0x10,
  opened: 0x11,
  rakp1: 0x12,
  rakp2: 0x13,
  rakp3: 0x14,
  rakp4: 0x15,
} as const

const RMCP = Buffer.from([0x06, 0x00, 0xff, 0x07])
const FORMAT_15 = 0x00
const FORMAT_20 = 0x06
const ENCRYPTED = 0x80
const AUTHENTICATED = 0x40
const AT = { format: 4, type: 5, session: 6, sequence: 10, length: 14, payload: 16 } as const
const BLOCK_BYTES = 16
const NEXT_HEADER = 0x07

export interface Keys {
  readonly suite: Suite
  readonly sik: Buffer
  readonly integrity: Buffer
  readonly encryption: Buffer
}

export interface Datagram {
  /** Wrapped as IPMI 1.5 has it, outside of a session. */
  readonly isOld: boolean
  readonly type: number
  readonly session: number
  readonly isSealed: boolean
  /** Encrypted where it came so. */
  readonly payload: Buffer
}

export const hmac = (hash: string, key: Buffer, ...parts: readonly Buffer[]): Buffer =>
  createHmac(hash, key).update(Buffer.concat(parts)).digest()

/** The keys of a session (13.31, 13.32). */
export function sessionKeys(suite: Suite, sik: Buffer): Keys {
  const key = (constant: number) => hmac(suite.hash, sik, Buffer.alloc(20, constant))
  return { suite, sik, integrity: key(1), encryption: key(2).subarray(0, BLOCK_BYTES) }
}

/** Undefined for anything that is no IPMI message over LAN. */
export function readDatagram(bytes: Buffer): Datagram | undefined {
  if (bytes.length < AT.length || bytes[0] !== RMCP[0] || bytes[3] !== RMCP[3]) return undefined
  if (bytes[AT.format] === FORMAT_15) {
    const length = bytes[13] as number
    if (bytes.length < AT.length + length) return undefined
    const payload = bytes.subarray(AT.length, AT.length + length)
    return { isOld: true, type: PAYLOAD.ipmi, session: bytes.readUInt32LE(9), isSealed: false, payload }
  }
  if (bytes[AT.format] !== FORMAT_20 || bytes.length < AT.payload) return undefined
  const length = bytes.readUInt16LE(AT.length)
  if (bytes.length < AT.payload + length) return undefined
  const flags = bytes[AT.type] as number
  const sealed = ENCRYPTED | AUTHENTICATED
  return {
    isOld: false,
    type: flags & 0x3f,
    session: bytes.readUInt32LE(AT.session),
    isSealed: (flags & sealed) === sealed,
    payload: bytes.subarray(AT.payload, AT.payload + length),
  }
}

/** What a datagram of a session says; undefined where its code of integrity is wrong. */
export function unseal(bytes: Buffer, { payload }: Datagram, keys: Keys): Buffer | undefined {
  const { codeBytes, hash } = keys.suite
  const at = bytes.length - codeBytes
  if (at < AT.payload + payload.length) return undefined
  const code = hmac(hash, keys.integrity, bytes.subarray(AT.format, at)).subarray(0, codeBytes)
  if (!timingSafeEqual(code, bytes.subarray(at))) return undefined
  if (payload.length < 2 * BLOCK_BYTES || payload.length % BLOCK_BYTES !== 0) return undefined
  const cipher = createDecipheriv('aes-128-cbc', keys.encryption, payload.subarray(0, BLOCK_BYTES)).setAutoPadding(
    false,
  )
  const plain = Buffer.concat([cipher.update(payload.subarray(BLOCK_BYTES)), cipher.final()])
  const pad = plain.at(-1) as number
  return pad < plain.length ? plain.subarray(0, plain.length - 1 - pad) : undefined
}

/** An answer of a session. `iv`: 16 random bytes. */
export function seal(
  payload: Buffer,
  at: { readonly session: number; readonly sequence: number; readonly iv: Buffer },
  keys: Keys,
): Buffer {
  const padBytes = (BLOCK_BYTES - ((payload.length + 1) % BLOCK_BYTES)) % BLOCK_BYTES
  const pad = Buffer.from([...Array.from({ length: padBytes }, (_, i) => i + 1), padBytes])
  const cipher = createCipheriv('aes-128-cbc', keys.encryption, at.iv).setAutoPadding(false)
  const body = Buffer.concat([at.iv, cipher.update(Buffer.concat([payload, pad])), cipher.final()])
  const head = header(PAYLOAD.ipmi | ENCRYPTED | AUTHENTICATED, at, body.length)
  // What is covered ends at a multiple of four bytes (13.28.4).
  const fill = (4 - ((AT.payload - AT.format + body.length + 2) % 4)) % 4
  const whole = Buffer.concat([head, body, Buffer.alloc(fill, 0xff), Buffer.from([fill, NEXT_HEADER])])
  const code = hmac(keys.suite.hash, keys.integrity, whole.subarray(AT.format)).subarray(0, keys.suite.codeBytes)
  return Buffer.concat([whole, code])
}

/** An answer before there is a session. */
export function plain(datagram: Pick<Datagram, 'isOld' | 'type'>, payload: Buffer): Buffer {
  if (!datagram.isOld)
    return Buffer.concat([header(datagram.type, { session: 0, sequence: 0 }, payload.length), payload])
  return Buffer.concat([RMCP, Buffer.alloc(9), Buffer.from([payload.length]), payload])
}

function header(type: number, at: { readonly session: number; readonly sequence: number }, length: number): Buffer {
  const bytes = Buffer.alloc(AT.payload)
  RMCP.copy(bytes)
  bytes[AT.format] = FORMAT_20
  bytes[AT.type] = type
  bytes.writeUInt32LE(at.session, AT.session)
  bytes.writeUInt32LE(at.sequence, AT.sequence)
  bytes.writeUInt16LE(length, AT.length)
  return bytes
}

/** A request to the BMC (figure 13-4). */
export interface Command {
  readonly netFn: number
  readonly code: number
  readonly data: Buffer
  /** Where the answer goes, and the number of the request. */
  readonly from: number
  readonly sequence: number
}

export function readCommand(payload: Buffer): Command | undefined {
  if (payload.length < 7) return undefined
  const [, netFn = 0, , from = 0, sequence = 0, code = 0] = payload
  return { netFn: netFn >> 2, code, data: payload.subarray(6, -1), from, sequence }
}

const BMC_ADDRESS = 0x20
const checksum = (...bytes: number[]) => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff

/** `answer`: the completion code, and what follows it. */
export function writeAnswer({ netFn, code, from, sequence }: Command, answer: Buffer): Buffer {
  const head = [from, (netFn + 1) << 2]
  const body = [BMC_ADDRESS, sequence, code, ...answer]
  return Buffer.from([...head, checksum(...head), ...body, checksum(...body)])
}
