/** What the writing of an image moves, counted. */
import { pieceLength, type ImageIndex } from '../../conductor/api/agent-wire.ts'

/** What was moved for an image, and what the disk held already. */
export interface Moved {
  /** That hold data. */
  readonly pieces: number
  readonly heldPieces: number
  /** As they are stored, and as they are written. */
  readonly fetchedBytes: number
  readonly writtenBytes: number
}

export class Tally implements Moved {
  readonly pieces: number
  heldPieces = 0
  fetchedBytes = 0
  writtenBytes = 0
  private readonly index: ImageIndex

  constructor(index: ImageIndex) {
    this.index = index
    this.pieces = index.pieces.filter(({ zero }) => !zero).length
  }

  wrote(number: number): void {
    this.fetchedBytes += this.index.pieces[number]?.lengthBytes ?? 0
    this.writtenBytes += pieceLength(this.index, number)
  }

  /** As it is now. */
  get said(): Moved {
    const { pieces, heldPieces, fetchedBytes, writtenBytes } = this
    return { pieces, heldPieces, fetchedBytes, writtenBytes }
  }
}
