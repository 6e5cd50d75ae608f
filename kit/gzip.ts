/** A gzip of two parts (RFC 1952), of which the second was compressed before: what is sent to many, behind a few bytes
 *  that are other ones for each. */
import { crc32, deflateRaw } from 'node:zlib'
import { promisify } from 'node:util'

const HEADER = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff])
/** Of a stored block (RFC 1951, 3.2.4). */
const MAX_STORED_BYTES = 0xffff

export interface Packed {
  readonly plain: Buffer
  /** Without head and end. */
  readonly deflated: Buffer
}

/** Fast rather than small: in a thread of its own. */
export const pack = async (plain: Buffer): Promise<Packed> => ({
  plain,
  deflated: await promisify<Buffer, { level: number }, Buffer>(deflateRaw)(plain, { level: 1 }),
})

/** The pieces of the gzip of `first` and what was packed; `first` has at most 65,535 bytes. */
export function gzipOf(first: Buffer, { plain, deflated }: Packed): readonly Buffer[] {
  if (first.length > MAX_STORED_BYTES) throw new RangeError(`${first.length} bytes are no stored block`)
  const stored = Buffer.alloc(5)
  stored.writeUInt16LE(first.length, 1)
  stored.writeUInt16LE(first.length ^ 0xffff, 3)
  const end = Buffer.alloc(8)
  end.writeUInt32LE(crc32(plain, crc32(first)))
  end.writeUInt32LE((first.length + plain.length) % 2 ** 32, 4)
  return [HEADER, stored, first, deflated, end]
}
