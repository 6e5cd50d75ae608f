/** Datagrams of RMCP (IPMI 2.0, 13.1 to 13.6) and IPMI LAN messages (13.8): bytes -> parts and back. What is no such
 *  datagram is undefined, however short or long it is. Pure. */

/** RMCP version 1.0, reserved, no RMCP acknowledgement, class IPMI. */
const RMCP = [0x06, 0x00, 0xff, 0x07]
const V15_NO_AUTHENTICATION = 0x00
const V20 = 0x06
const ENCRYPTED = 0x80
const AUTHENTICATED = 0x40
/** The only value of the byte between the padding and the code (13.28.4). */
const NEXT_HEADER = 0x07

/** Payload types (table 13-16). */
export const PAYLOAD = {
  ipmi: 0x00,
  openRequest: 0x10,
  openResponse: 0x11,
  rakp1: 0x12,
  rakp2: 0x13,
  rakp3: 0x14,
  rakp4: 0x15,
}

export interface SessionlessDatagram {
  readonly version: 1.5
  readonly payload: Buffer
}

export interface SessionDatagram {
  readonly version: 2
  readonly type: number
  readonly isEncrypted: boolean
  readonly isAuthenticated: boolean
  readonly sessionId: number
  readonly sequence: number
  readonly payload: Buffer
  /** What the code at the end was made of. */
  readonly signed: Buffer
  /** Empty: there is none. */
  readonly code: Buffer
}

/** A message outside of every session. */
export function sessionless(message: Buffer): Buffer {
  const session = [V15_NO_AUTHENTICATION, 0, 0, 0, 0, 0, 0, 0, 0, message.length]
  return Buffer.concat([Buffer.from([...RMCP, ...session]), message])
}

/** A message that opens a session. */
export const setup = (type: number, payload: Buffer): Buffer =>
  Buffer.concat([Buffer.from(RMCP), sessionHeader({ type, sessionId: 0, sequence: 0 }, payload.length), payload])

/** A message in a session: encrypted already, and signed by `sign`. */
export function inSession(
  { sessionId, sequence }: { readonly sessionId: number; readonly sequence: number },
  payload: Buffer,
  sign: (bytes: Buffer) => Buffer,
): Buffer {
  const type = PAYLOAD.ipmi | ENCRYPTED | AUTHENTICATED
  const header = sessionHeader({ type, sessionId, sequence }, payload.length)
  // With the two bytes that follow it, it is a multiple of 4.
  const padding = (4 - ((header.length + payload.length + 2) % 4)) % 4
  const trailer = Buffer.from([...Array<number>(padding).fill(0xff), padding, NEXT_HEADER])
  const signed = Buffer.concat([header, payload, trailer])
  return Buffer.concat([Buffer.from(RMCP), signed, sign(signed)])
}

function sessionHeader(
  { type, sessionId, sequence }: { readonly type: number; readonly sessionId: number; readonly sequence: number },
  length: number,
): Buffer {
  const header = Buffer.alloc(12)
  header[0] = V20
  header[1] = type
  header.writeUInt32LE(sessionId, 2)
  header.writeUInt32LE(sequence, 6)
  header.writeUInt16LE(length, 10)
  return header
}

/** `codeBytes`: how long the code of an authenticated datagram is. */
export function readDatagram(bytes: Buffer, codeBytes: number): SessionlessDatagram | SessionDatagram | undefined {
  if (bytes.length < RMCP.length + 1 || bytes[0] !== RMCP[0] || bytes[3] !== RMCP[3]) return undefined
  const session = bytes.subarray(RMCP.length)
  return session[0] === V15_NO_AUTHENTICATION ? readSessionless(session) : readSession(session, codeBytes)
}

function readSessionless(session: Buffer): SessionlessDatagram | undefined {
  const [payload, length] = [session.subarray(10), session[9]]
  // Some add a byte, so that it has no length that certain network cards stumble over (13.6, legacy PAD).
  if (length === undefined || payload.length < length) return undefined
  return { version: 1.5, payload: payload.subarray(0, length) }
}

function readSession(session: Buffer, codeBytes: number): SessionDatagram | undefined {
  if (session[0] !== V20 || session.length < 12) return undefined
  const flags = session[1] as number
  const end = 12 + session.readUInt16LE(10)
  if (session.length < end) return undefined
  const isAuthenticated = (flags & AUTHENTICATED) !== 0
  const signedBytes = session.length - codeBytes
  if (isAuthenticated && signedBytes < end + 2) return undefined
  return {
    version: 2,
    type: flags & 0x3f,
    isEncrypted: (flags & ENCRYPTED) !== 0,
    isAuthenticated,
    sessionId: session.readUInt32LE(2),
    sequence: session.readUInt32LE(6),
    payload: session.subarray(12, end),
    signed: isAuthenticated ? session.subarray(0, signedBytes) : Buffer.alloc(0),
    code: isAuthenticated ? session.subarray(signedBytes) : Buffer.alloc(0),
  }
}

const BMC_ADDRESS = 0x20
/** Of a remote console (table 5-4). */
const CONSOLE_ADDRESS = 0x81

export interface LanMessage {
  readonly netFn: number
  readonly command: number
  /** 6 bits that an answer repeats. */
  readonly sequence: number
  readonly data: Buffer
}

const checksum = (bytes: Buffer): number => -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff

/** A request of a console to a BMC; `netFn` is even. An answer of a BMC has an odd one, and its completion code is the
 *  first byte of `data`. */
export function message({ netFn, command, sequence, data }: LanMessage): Buffer {
  const [to, from] = netFn % 2 === 0 ? [BMC_ADDRESS, CONSOLE_ADDRESS] : [CONSOLE_ADDRESS, BMC_ADDRESS]
  const head = Buffer.from([to, netFn << 2])
  const rest = Buffer.concat([Buffer.from([from, sequence << 2, command]), data])
  return Buffer.concat([head, Buffer.from([checksum(head)]), rest, Buffer.from([checksum(rest)])])
}

export const readMessage = (bytes: Buffer): LanMessage | undefined =>
  checksum(bytes) === 0 && checksum(bytes.subarray(0, 3)) === 0 ? readSignedMessage(bytes) : undefined

/** The checksums are wrong on some BMCs; the code at the end of the datagram says more. */
export function readSignedMessage(bytes: Buffer): LanMessage | undefined {
  if (bytes.length < 7) return undefined
  return {
    netFn: (bytes[1] as number) >> 2,
    command: bytes[5] as number,
    sequence: (bytes[4] as number) >> 2,
    data: bytes.subarray(6, -1),
  }
}
