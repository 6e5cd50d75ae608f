/** Session sequence numbers that were seen already (IPMI 2.0, 6.12.13): a datagram that comes twice is taken once. */

const KEPT = 32

export class SequenceWindow {
  private highest: number | undefined
  /** Bit n: the number n below the highest one was seen. */
  private seen = 0

  /** False: it was taken before, or is too old to tell. Any newer one is taken: only the BMC can have signed it. */
  take(sequence: number): boolean {
    // 0 is for datagrams outside of sessions.
    if (sequence === 0) return false
    const ahead = this.highest === undefined ? KEPT : (sequence - this.highest) | 0
    if (ahead > 0) {
      this.seen = ahead >= KEPT ? 1 : (this.seen << ahead) | 1
      this.highest = sequence
      return true
    }

    const bit = 1 << -ahead
    if (-ahead >= KEPT || (this.seen & bit) !== 0) return false
    this.seen |= bit
    return true
  }
}
