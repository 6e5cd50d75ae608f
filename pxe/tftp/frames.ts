/** Files as a row of DATA packets, headers and all: a window of a transfer is then one piece of memory. Transfers of
 *  one file with one block size share them, and few are kept, whatever block sizes clients ask for. */

export interface Frames {
  readonly file: Buffer
  readonly blockBytes: number
  readonly bytes: Buffer
}

interface Kept extends Frames {
  users: number
}

const HEADER_BYTES = 4
const DATA = 3
const MAX_KEPT = 8
/** Smaller blocks would more than double the file, and nobody is in a hurry who asks for them. */
const MIN_BLOCK_BYTES = 512

export class FrameCache {
  /** The least recently asked for first. */
  private readonly kept: Kept[] = []

  /** Undefined where there is no room for more; `release` gives the place back. */
  take(file: Buffer, blockBytes: number): Frames | undefined {
    const at = this.kept.findIndex((one) => one.file === file && one.blockBytes === blockBytes)
    const found = at < 0 ? this.make(file, blockBytes) : this.kept.splice(at, 1)[0]
    if (!found) return undefined
    this.kept.push(found)
    found.users += 1
    return found
  }

  release(frames: Frames): void {
    const kept = this.kept.find((one) => one === frames)
    if (kept) kept.users -= 1
  }

  private make(file: Buffer, blockBytes: number): Kept | undefined {
    if (blockBytes < MIN_BLOCK_BYTES) return undefined
    if (this.kept.length >= MAX_KEPT) {
      const unused = this.kept.findIndex(({ users }) => users === 0)
      if (unused < 0) return undefined
      this.kept.splice(unused, 1)
    }
    return { file, blockBytes, bytes: frame(file, blockBytes), users: 0 }
  }
}

/** `count` packets from block `first` on. */
export function framesOf({ bytes, blockBytes }: Frames, { first, count }: { first: number; count: number }): Buffer {
  const each = blockBytes + HEADER_BYTES
  return bytes.subarray((first - 1) * each, (first - 1 + count) * each)
}

export const packetBytes = ({ blockBytes }: Frames): number => blockBytes + HEADER_BYTES

/** A file that ends on a block border is closed by an empty block (RFC 1350, section 6). */
function frame(file: Buffer, blockBytes: number): Buffer {
  const blocks = Math.floor(file.length / blockBytes) + 1
  const bytes = Buffer.allocUnsafeSlow(file.length + blocks * HEADER_BYTES)
  for (let block = 1; block <= blocks; block += 1) {
    const at = (block - 1) * (blockBytes + HEADER_BYTES)
    bytes.writeUInt16BE(DATA, at)
    bytes.writeUInt16BE(block & 0xffff, at + 2)
    file.copy(bytes, at + HEADER_BYTES, (block - 1) * blockBytes, block * blockBytes)
  }
  return bytes
}
