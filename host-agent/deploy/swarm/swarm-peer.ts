/** What is known of one neighbour: the pieces that it says it holds, and what is asked of it. Pure. */
export class SwarmPeer {
  /** In the same rack. */
  readonly isNear: boolean
  outstanding = 0
  /** It owes an answer that is late. */
  isSlow = false
  /** From a request to its answer; undefined: it answered none yet. */
  usualMs: number | undefined
  private readonly held: Uint8Array

  constructor(pieces: number, isNear: boolean) {
    this.held = new Uint8Array(pieces)
    this.isNear = isNear
  }

  took(ms: number, share: number): void {
    this.usualMs = (this.usualMs ?? ms) + (ms - (this.usualMs ?? ms)) * share
  }

  holds = (piece: number): boolean => this.held[piece] === 1

  /** Answers whether that is new. */
  add(piece: number): boolean {
    if (piece >= this.held.length || this.held[piece] !== 0) return false
    this.held[piece] = 1
    return true
  }

  /** Answers whether it had been held. */
  remove(piece: number): boolean {
    if (this.held[piece] !== 1) return false
    this.held[piece] = 0
    return true
  }

  *pieces(): Iterable<number> {
    for (const [piece, isHeld] of this.held.entries()) if (isHeld === 1) yield piece
  }
}
