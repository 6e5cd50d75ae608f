/** The messages that open a session (IPMI 2.0, 13.17 to 13.24) and the codes that prove them: Open Session, then RAKP 1
 *  to 4. The console and the BMC each send a random number and prove that they know the password. */
import { AES_CBC_128, codeOf, hmac, type Suite } from './suite.ts'

export const NONCE_BYTES = 16
const GUID_BYTES = 16
/** RAKP 1: the user is looked up by its name alone, as ipmitool does. */
const BY_NAME_ALONE = 0x10

export interface IpmiUser {
  readonly username: string
  readonly password: string
  /** K_g, where the BMC has one of its own; absent: the password takes its place. */
  readonly kg?: Buffer | undefined
  readonly privilege: number
}

/** What both sides know after RAKP 2. */
export interface Negotiated {
  readonly consoleId: number
  readonly bmcId: number
  readonly consoleNonce: Buffer
  readonly bmcNonce: Buffer
  readonly guid: Buffer
}

const id = (value: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

const passwordOf = ({ password }: IpmiUser) => Buffer.from(password)

/** Role, and the user's name with its length: the end of RAKP 1, and a part of all codes. */
function userOf({ username, privilege }: IpmiUser): Buffer {
  const name = Buffer.from(username)
  return Buffer.concat([Buffer.from([BY_NAME_ALONE | privilege, name.length]), name])
}

/** No privilege is named (0): the BMC takes the highest that it has for these algorithms. */
export function openRequest(tag: number, consoleId: number, suite: Suite): Buffer {
  const algorithm = (kind: number, number: number) => Buffer.from([kind, 0, 0, 8, number, 0, 0, 0])
  return Buffer.concat([
    Buffer.from([tag, 0, 0, 0]),
    id(consoleId),
    algorithm(0, suite.authentication),
    algorithm(1, suite.integrity),
    algorithm(2, AES_CBC_128),
  ])
}

export interface SetupAnswer {
  readonly tag: number
  /** Table 13-15; 0: no error. */
  readonly status: number
  readonly consoleId: number
}

/** Of Open Session Response, RAKP 2 and RAKP 4. One that tells an error may end after the session, or before. */
export function readSetupAnswer(payload: Buffer): SetupAnswer | undefined {
  const [tag, status] = payload
  if (tag === undefined || status === undefined || (status === 0 && payload.length < 8)) return undefined
  return { tag, status, consoleId: payload.length < 8 ? 0 : payload.readUInt32LE(4) }
}

export interface OpenAnswer {
  /** The BMC's number of the session. */
  readonly bmcId: number
  /** The algorithms are those that were asked for. Some BMCs name others that they would rather have. */
  readonly isAsked: boolean
}

/** Undefined: it is cut off, or names no session. */
export function readOpened(payload: Buffer, suite: Suite): OpenAnswer | undefined {
  if (payload.length < 36) return undefined
  const isAsked = payload[16] === suite.authentication && payload[24] === suite.integrity && payload[32] === AES_CBC_128
  const bmcId = payload.readUInt32LE(8)
  return bmcId === 0 ? undefined : { bmcId, isAsked }
}

export function rakp1(tag: number, { bmcId, consoleNonce }: Pick<Negotiated, 'bmcId' | 'consoleNonce'>, who: IpmiUser) {
  const user = userOf(who)
  return Buffer.concat([
    Buffer.from([tag, 0, 0, 0]),
    id(bmcId),
    consoleNonce,
    user.subarray(0, 1),
    Buffer.from([0, 0]),
    user.subarray(1),
  ])
}

export interface Rakp2 {
  readonly bmcNonce: Buffer
  readonly guid: Buffer
  readonly code: Buffer
}

export function readRakp2(payload: Buffer, suite: Suite): Rakp2 | undefined {
  const [nonceAt, guidAt, codeAt] = [8, 8 + NONCE_BYTES, 8 + NONCE_BYTES + GUID_BYTES]
  if (payload.length < codeAt + suite.hashBytes) return undefined
  return {
    bmcNonce: payload.subarray(nonceAt, guidAt),
    guid: payload.subarray(guidAt, codeAt),
    code: payload.subarray(codeAt, codeAt + suite.hashBytes),
  }
}

export const rakp2Code = (suite: Suite, of: Negotiated, who: IpmiUser): Buffer =>
  hmac(suite, passwordOf(who), id(of.consoleId), id(of.bmcId), of.consoleNonce, of.bmcNonce, of.guid, userOf(who))

export const rakp3Code = (suite: Suite, of: Negotiated, who: IpmiUser): Buffer =>
  hmac(suite, passwordOf(who), of.bmcNonce, id(of.consoleId), userOf(who))

/** `code`: empty together with a status that is an error, after which the BMC forgets the session. */
export const rakp3 = (tag: number, bmcId: number, { status, code }: { status: number; code: Buffer }): Buffer =>
  Buffer.concat([Buffer.from([tag, status, 0, 0]), id(bmcId), code])

/** SIK. */
export const sessionKey = (suite: Suite, of: Negotiated, who: IpmiUser): Buffer =>
  hmac(suite, who.kg ?? passwordOf(who), of.consoleNonce, of.bmcNonce, userOf(who))

export const rakp4Code = (suite: Suite, of: Negotiated, key: Buffer): Buffer =>
  codeOf(suite, key, of.consoleNonce, id(of.bmcId), of.guid)
