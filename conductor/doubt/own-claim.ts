/** What this conductor has seen of the database itself, until the database takes it down. */
import type { Claim } from './standing.ts'

export class OwnClaim {
  private readonly write: (claim: Claim) => Promise<void>
  private waiting: Claim | undefined
  private writing: Claim | undefined

  constructor(write: (claim: Claim) => Promise<void>) {
    this.write = write
  }

  make(claim: Claim): void {
    this.waiting = claim
    this.tell().catch(() => undefined)
  }

  /** Tries again. Throws what the database says. */
  async tell(): Promise<void> {
    const { waiting } = this
    if (!waiting || this.writing === waiting) return
    this.writing = waiting
    try {
      await this.write(waiting)
      if (this.waiting === waiting) this.waiting = undefined
    } finally {
      this.writing = undefined
    }
  }
}
