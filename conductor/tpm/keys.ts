/** Public keys of a TPM (TPMT_PUBLIC; TCG TPM 2.0 Library, part 2, 12.2): the endorsement key, by which a TPM is known,
 *  and the key that signs its quotes. Pure. */
import { createHash, createPublicKey, type KeyObject } from 'node:crypto'
import { Reader } from './reader.ts'

const RSA = 0x0001
const ECC = 0x0023
const SHA256 = 0x000b
const NULL = 0x0010
const ECDSA = 0x0018
const P256 = 0x0003
const AES = 0x0006
const CFB = 0x0043
const RSA_BYTES = 256
const P256_BYTES = 32
const DEFAULT_EXPONENT = 65537

/** TPMA_OBJECT. */
const ATTRIBUTE = {
  fixedTpm: 1 << 1,
  fixedParent: 1 << 4,
  sensitiveDataOrigin: 1 << 5,
  restricted: 1 << 16,
  decrypt: 1 << 17,
  sign: 1 << 18,
} as const
const BORN_IN_TPM = ATTRIBUTE.fixedTpm | ATTRIBUTE.fixedParent | ATTRIBUTE.sensitiveDataOrigin | ATTRIBUTE.restricted
const USES = ATTRIBUTE.decrypt | ATTRIBUTE.sign

export interface TpmKey {
  readonly key: KeyObject
  /** Algorithm and digest of the public area, by which the TPM itself names the key. */
  readonly name: Buffer
}

const nameOf = (area: Buffer): Buffer =>
  Buffer.concat([Buffer.from([SHA256 >> 8, SHA256 & 0xff]), createHash('sha256').update(area).digest()])

const base64url = (bytes: Buffer): string => bytes.toString('base64url')

/** What the record of a node keeps of its TPM. */
export const fingerprintOf = (ek: Buffer): string => createHash('sha256').update(ek).digest('hex')

/** RSA 2048 with AES-128-CFB, the template that every TPM knows. Throws `tpm.quote`. */
export function endorsementKey(area: Buffer): TpmKey {
  const reader = new Reader(area, { code: 'tpm.quote', what: 'the endorsement key' })
  readCommon(reader, { type: RSA, use: ATTRIBUTE.decrypt })
  const isTemplate = reader.u16() === AES && reader.u16() === 128 && reader.u16() === CFB && reader.u16() === NULL
  const bits = reader.u16()
  const exponent = reader.u32() || DEFAULT_EXPONENT
  const modulus = reader.sized()
  reader.end()
  if (!isTemplate || bits !== RSA_BYTES * 8 || modulus.length !== RSA_BYTES || exponent !== DEFAULT_EXPONENT)
    throw reader.fault('it is not of the standard template (RSA 2048, AES-128-CFB)')
  const key = importKey(reader, { kty: 'RSA', n: base64url(modulus), e: 'AQAB' })
  return { key, name: nameOf(area) }
}

/** ECDSA on P-256. Throws `tpm.quote` for a key that could also sign what the TPM did not say, or that was not made in
 *  a TPM. */
export function attestationKey(area: Buffer): TpmKey {
  const reader = new Reader(area, { code: 'tpm.quote', what: 'the attestation key' })
  readCommon(reader, { type: ECC, use: ATTRIBUTE.sign })
  const isEcdsa = reader.u16() === NULL && reader.u16() === ECDSA && reader.u16() === SHA256
  const isP256 = reader.u16() === P256 && reader.u16() === NULL
  const [x, y] = [reader.sized(), reader.sized()]
  reader.end()
  if (!isEcdsa || !isP256 || x.length !== P256_BYTES || y.length !== P256_BYTES)
    throw reader.fault('it is not ECDSA with SHA-256 on P-256')
  const key = importKey(reader, { kty: 'EC', crv: 'P-256', x: base64url(x), y: base64url(y) })
  return { key, name: nameOf(area) }
}

function readCommon(reader: Reader, wanted: { readonly type: number; readonly use: number }): void {
  const type = reader.u16()
  const hash = reader.u16()
  const attributes = reader.u32()
  reader.sized()
  if (type !== wanted.type || hash !== SHA256) throw reader.fault(`it is of type 0x${type.toString(16)}`)
  if ((attributes & BORN_IN_TPM) !== BORN_IN_TPM || (attributes & USES) !== wanted.use)
    throw reader.fault('its attributes are not those of a restricted key that was made in a TPM and stays there')
}

function importKey(reader: Reader, jwk: Record<string, string>): KeyObject {
  try {
    return createPublicKey({ key: jwk, format: 'jwk' })
  } catch {
    throw reader.fault('it is no point of the curve, or no modulus')
  }
}
