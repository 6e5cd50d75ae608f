/** A host's word that it has stopped its guests, because it was asked to, and may be switched off. It is valid for this
 *  failure alone: a word from an old one would have a host fenced that runs guests again. */

/** How long after it was last asked: a new leader takes most of this until it asks as well. */
const ASKED_MS = 60_000

export class Consent {
  private isGiven = false
  private askedMs = Number.NEGATIVE_INFINITY

  get given(): boolean {
    return this.isGiven
  }

  asked(nowMs: number): void {
    this.askedMs = nowMs
  }

  /** None of its guests runs. */
  give(): void {
    this.isGiven = true
  }

  /** Answers whether the failure is over, so that what belongs here may run again. `guests`: that run now; null: nobody
   *  could count them. */
  look(nowMs: number, now: { guests: number | null; storageLost: boolean }): boolean {
    if (!this.isGiven) return false
    if (now.guests !== null && now.guests > 0) {
      this.isGiven = false
      return false
    }
    if (now.storageLost || nowMs - this.askedMs <= ASKED_MS) return false
    this.isGiven = false
    return true
  }
}
