/** Blocks of a file as a row of DATA packets, headers and all: what goes out in one call is one piece of memory. */
import { DATA } from './packet.ts'
import { BLOCK_NUMBERS, type Sending, type Transfer } from './transfer.ts'

const HEADER_BYTES = 4

export const packetBytes = ({ blockBytes }: Pick<Transfer, 'blockBytes'>): number => blockBytes + HEADER_BYTES

/** A file that ends on a block border is closed by an empty block (RFC 1350, section 6). */
export function framesOf(
  { file, blockBytes }: Pick<Transfer, 'file' | 'blockBytes'>,
  { first, count }: Exclude<Sending, 'oack'>,
): Buffer {
  const from = (first - 1) * blockBytes
  const fileBytes = Math.min(count * blockBytes, file.length - from)
  const bytes = Buffer.allocUnsafe(fileBytes + count * HEADER_BYTES)
  for (let i = 0; i < count; i += 1) {
    const at = i * (blockBytes + HEADER_BYTES)
    bytes.writeUInt16BE(DATA, at)
    bytes.writeUInt16BE((first + i) % BLOCK_NUMBERS, at + 2)
    file.copy(bytes, at + HEADER_BYTES, from + i * blockBytes, from + (i + 1) * blockBytes)
  }
  return bytes
}
