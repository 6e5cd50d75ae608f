/** How often the image server of a swarm may fail, and when it is asked again. */
import type { PieceServers } from '../piece-servers.ts'

const RETRY_MS = 500
const RETRY_MAX_MS = 10_000
/** In a row, with nothing from anybody meanwhile. */
const MAX_FAILURES = 12
const MAX_DAMAGED = 3

export class SeedPatience {
  private readonly source: PieceServers
  private failures = 0
  private damaged = 0

  constructor(source: PieceServers) {
    this.source = source
  }

  /** A piece came, from a neighbour too. */
  came(isFromSeed: boolean): void {
    this.failures = 0
    if (isFromSeed) this.source.came()
  }

  /** Milliseconds until a server is asked again: 0 where it is another one. Undefined: there is nothing to wait for. */
  failed(url: string, isDamaged: boolean): number | undefined {
    this.failures += 1
    if (isDamaged) this.damaged += 1
    const isHopeless = this.failures >= MAX_FAILURES || this.damaged >= MAX_DAMAGED
    if (this.source.failed(url) || (isHopeless && this.source.leave(url))) {
      this.failures = 0
      this.damaged = 0
      return 0
    }
    return isHopeless ? undefined : Math.min(RETRY_MS * 2 ** (this.failures - 1), RETRY_MAX_MS)
  }
}
