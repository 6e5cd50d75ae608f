/** Cipher suites 3 and 17 of IPMI 2.0 (table 22-20): the keys of a session, the code at the end of a datagram, and what
 *  encrypts its payload. */
import { createCipheriv, createDecipheriv, createHmac, timingSafeEqual } from 'node:crypto'

export interface Suite {
  readonly id: number
  readonly hash: 'sha1' | 'sha256'
  /** Numbers of the authentication and the integrity algorithm; confidentiality is AES-CBC-128 (1). */
  readonly authentication: number
  readonly integrity: number
  /** Of a code in RAKP 2 and 3. */
  readonly hashBytes: number
  /** Of a code in RAKP 4, and at the end of a datagram. */
  readonly codeBytes: number
}

const SUITES: readonly Suite[] = [
  { id: 3, hash: 'sha1', authentication: 1, integrity: 1, hashBytes: 20, codeBytes: 12 },
  { id: 17, hash: 'sha256', authentication: 3, integrity: 4, hashBytes: 32, codeBytes: 16 },
]

export const suiteOf = (id: number): Suite | undefined => SUITES.find((suite) => suite.id === id)

export const AES_CBC_128 = 1
const BLOCK_BYTES = 16
/** K1 and K2 are made of so many bytes of 1 and 2 (13.32), whatever the hash is. */
const CONSTANT_BYTES = 20

export interface Keys {
  /** SIK: proves RAKP 4. */
  readonly session: Buffer
  /** K1. */
  readonly integrity: Buffer
  /** The part of K2 that AES takes. */
  readonly encryption: Buffer
}

export const hmac = (suite: Suite, key: Buffer, ...parts: readonly Buffer[]): Buffer => {
  const made = createHmac(suite.hash, key)
  for (const part of parts) made.update(part)
  return made.digest()
}

/** In constant time. */
export const isSame = (one: Buffer, other: Buffer): boolean =>
  one.length === other.length && timingSafeEqual(one, other)

export function keysOf(suite: Suite, session: Buffer): Keys {
  return {
    session,
    integrity: hmac(suite, session, Buffer.alloc(CONSTANT_BYTES, 1)),
    encryption: hmac(suite, session, Buffer.alloc(CONSTANT_BYTES, 2)).subarray(0, BLOCK_BYTES),
  }
}

export const codeOf = (suite: Suite, key: Buffer, ...parts: readonly Buffer[]): Buffer =>
  hmac(suite, key, ...parts).subarray(0, suite.codeBytes)

/** The padding is 1, 2, 3 ..., and its length follows it (13.29). */
export function encrypt(key: Buffer, iv: Buffer, payload: Buffer): Buffer {
  const padding = (BLOCK_BYTES - ((payload.length + 1) % BLOCK_BYTES)) % BLOCK_BYTES
  const tail = Buffer.from([...Array.from({ length: padding }, (_, i) => i + 1), padding])
  const cipher = createCipheriv('aes-128-cbc', key, iv).setAutoPadding(false)
  return Buffer.concat([iv, cipher.update(payload), cipher.update(tail), cipher.final()])
}

/** Undefined: it cannot have been encrypted so. The bytes of the padding are not looked at: the code covers them, and
 *  not every BMC has them right. */
export function decrypt(key: Buffer, bytes: Buffer): Buffer | undefined {
  if (bytes.length < 2 * BLOCK_BYTES || bytes.length % BLOCK_BYTES !== 0) return undefined
  const decipher = createDecipheriv('aes-128-cbc', key, bytes.subarray(0, BLOCK_BYTES)).setAutoPadding(false)
  const clear = Buffer.concat([decipher.update(bytes.subarray(BLOCK_BYTES)), decipher.final()])
  const padding = clear.at(-1) as number
  return padding >= clear.length ? undefined : clear.subarray(0, clear.length - 1 - padding)
}
