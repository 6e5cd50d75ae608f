/** Which pieces of an image the disk holds already: they are read from it and hashed, and need not come again. What is
 *  found so is proven with the rest at the end, like what was written. */
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'
import type { DiskFile } from './disk.ts'
import { withAligned } from './aligned.ts'
import { sha256 } from './download.ts'

/** Pieces in a row that were others: the disk holds something else, and reading on would only cost time. */
const MAX_MISSES = 64

export class HeldPieces {
  private readonly disk: Pick<DiskFile, 'read'>
  private readonly index: ImageIndex
  private readonly zeros: Buffer
  private misses = 0
  private isOff: boolean

  constructor({ disk, index, isOn }: { disk: Pick<DiskFile, 'read'>; index: ImageIndex; isOn: boolean }) {
    this.disk = disk
    this.index = index
    this.isOff = !isOn
    this.zeros = Buffer.alloc(isOn ? index.pieceBytes : 0)
  }

  /** The disk is still compared. */
  get isOn(): boolean {
    return !this.isOff
  }

  /** Whether the disk holds this piece. A disk that cannot be read there, or held none of many pieces, is asked no
   *  more. */
  async has(number: number): Promise<boolean> {
    if (this.isOff) return false
    return withAligned(this.index.pieceBytes, (buffer) => this.isSame(number, buffer))
  }

  /** The bytes of this piece, where the disk holds it. */
  async read(number: number): Promise<Buffer | undefined> {
    if (this.isOff) return undefined
    const bytes = Buffer.allocUnsafeSlow(pieceLength(this.index, number))
    return (await this.isSame(number, bytes)) ? bytes : undefined
  }

  /** The disk is not asked any more. */
  end(): void {
    this.isOff = true
  }

  private async isSame(number: number, buffer: Buffer): Promise<boolean> {
    const bytes = buffer.subarray(0, pieceLength(this.index, number))
    try {
      await this.disk.read(bytes, number * this.index.pieceBytes)
    } catch {
      // Each read of a bad sector takes the disk many seconds; writing is what may mend it.
      this.isOff = true
      return false
    }
    const piece = this.index.pieces[number]
    // Comparing with zeros is many times cheaper than hashing them, and blocks that were discarded are zeros.
    const isZero = bytes.equals(this.zeros.subarray(0, bytes.length))
    const isSame = piece?.zero || isZero ? piece?.zero === isZero : (await sha256(bytes)) === piece?.sha256
    this.misses = isSame ? 0 : this.misses + 1
    if (this.misses >= MAX_MISSES) this.isOff = true
    return isSame
  }
}
