/** The pieces that this node can give away: frames as they came, as far as memory goes; older ones are read back from
 *  its disk, and proven then: a disk that does not hold what was written makes no liar of its node. */
import { pieceLength, type ImageIndex } from '../../../conductor/api/agent-wire.ts'
import type { DiskFile } from '../disk.ts'
import { provePiece } from '../download.ts'

export interface ShelfParts {
  readonly index: ImageIndex
  readonly disk: Pick<DiskFile, 'read'>
  /** For frames. */
  readonly memoryBytes: number
}

export class Shelf {
  private readonly parts: ShelfParts
  /** In the order in which they came. */
  private readonly order: number[] = []
  private readonly held = new Set<number>()
  private readonly frames = new Map<number, Buffer>()
  private frameBytes = 0

  constructor(parts: ShelfParts) {
    this.parts = parts
  }

  get count(): number {
    return this.order.length
  }

  has = (number: number): boolean => this.held.has(number)

  /** What came after the first `count`, and no more than `most` of it. */
  after = (count: number, most: number): readonly number[] => this.order.slice(count, count + most)

  /** The piece is proven and on the disk. */
  keep(number: number, frame?: Buffer): void {
    if (this.held.has(number)) return
    this.held.add(number)
    this.order.push(number)
    if (!frame) return
    this.frames.set(number, frame)
    this.frameBytes += frame.length
    for (const [oldest, bytes] of this.frames) {
      if (this.frameBytes <= this.parts.memoryBytes) break
      this.frames.delete(oldest)
      this.frameBytes -= bytes.length
    }
  }

  /** Gives the memory back. */
  clear(): void {
    this.frames.clear()
    this.frameBytes = 0
  }

  /** Undefined: it is not held, or the disk does not hold it as it was written. */
  async read(number: number): Promise<{ readonly isRaw: boolean; readonly bytes: Buffer } | undefined> {
    if (!this.held.has(number)) return undefined
    const frame = this.frames.get(number)
    if (frame) return { isRaw: false, bytes: frame }
    const { index, disk } = this.parts
    const bytes = Buffer.allocUnsafe(pieceLength(index, number))
    await disk.read(bytes, number * index.pieceBytes)
    const proven = await provePiece(index, number, { bytes, isRaw: true })
    return proven && { isRaw: true, bytes: proven }
  }
}
