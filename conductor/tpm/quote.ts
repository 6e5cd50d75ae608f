/** A quote: what the TPM says of its PCRs (TPMS_ATTEST; TCG TPM 2.0 Library, part 2, 10.12), and whether its key signed
 *  it. Pure. */
import { timingSafeEqual, verify, type KeyObject } from 'node:crypto'
import { Fault } from '../../kit/fault.ts'
import { Reader } from './reader.ts'

const MAGIC = 0xff544347
const QUOTE = 0x8018
const SHA256 = 0x000b
const ECDSA = 0x0018
const P256_BYTES = 32
const CLOCK_BYTES = 17
const FIRMWARE_BYTES = 8
const MAX_SELECTIONS = 16

export interface Quote {
  readonly nonce: Buffer
  /** Of the SHA-256 bank, ascending. */
  readonly pcrs: readonly number[]
  readonly digest: Buffer
}

/** Throws `tpm.quote`. */
export function parseQuote(bytes: Buffer): Quote {
  const reader = new Reader(bytes, { code: 'tpm.quote', what: 'the quote' })
  if (reader.u32() !== MAGIC) throw reader.fault('the TPM did not make it')
  if (reader.u16() !== QUOTE) throw reader.fault('it is another statement of the TPM')
  reader.sized()
  const nonce = reader.sized()
  reader.take(CLOCK_BYTES + FIRMWARE_BYTES)
  const count = reader.u32()
  if (count > MAX_SELECTIONS) throw reader.fault(`it selects from ${count} banks`)
  const pcrs: number[] = []
  for (let i = 0; i < count; i += 1) {
    const hash = reader.u16()
    const bits = reader.take(reader.u8())
    const selected = [...bits].flatMap((byte, at) =>
      [0, 1, 2, 3, 4, 5, 6, 7].flatMap((bit) => (byte & (1 << bit) ? [at * 8 + bit] : [])),
    )
    if (selected.length > 0 && hash !== SHA256) throw reader.fault('it is over another bank than SHA-256')
    pcrs.push(...selected)
  }
  const digest = reader.sized()
  reader.end()
  return { nonce, pcrs: pcrs.sort((a, b) => a - b), digest }
}

/** TPMT_SIGNATURE of ECDSA with SHA-256. Throws `tpm.quote`. */
export function checkSignature(quote: Buffer, signature: Buffer, key: KeyObject): void {
  const reader = new Reader(signature, { code: 'tpm.quote', what: 'the signature of the quote' })
  if (reader.u16() !== ECDSA || reader.u16() !== SHA256) throw reader.fault('it is not ECDSA with SHA-256')
  const parts = [reader.sized(), reader.sized()].map((part) => fixed(reader, part))
  reader.end()
  if (!verify('sha256', quote, { key, dsaEncoding: 'ieee-p1363' }, Buffer.concat(parts)))
    throw reader.fault('it is not of the key of this TPM')
}

/** TPMs may leave leading zeros away. */
function fixed(reader: Reader, part: Buffer): Buffer {
  if (part.length > P256_BYTES) throw reader.fault('a part of it is too long')
  return Buffer.concat([Buffer.alloc(P256_BYTES - part.length), part])
}

export const isSame = (a: Buffer, b: Buffer): boolean => a.length === b.length && timingSafeEqual(a, b)

/** Throws `tpm.nonce`. */
export function checkNonce({ nonce }: Quote, wanted: Buffer): void {
  if (!isSame(nonce, wanted)) throw new Fault('tpm.nonce', 'the quote holds another nonce than the one of this boot')
}
