/** What was promised: each counter that a client wrote, with the last value that was sent and the last one that was
 *  acknowledged. */

export class Ledger {
  private readonly entries = new Map<string, { sent: number; acknowledged: number }>()
  private readonly writing = new Set<string>()

  /** The next value for a key, or undefined while another write of the key is under way: a value is only comparable
   *  when writes do not overlap. */
  begin(key: string): number | undefined {
    if (this.writing.has(key)) return undefined
    this.writing.add(key)
    const entry = this.entries.get(key) ?? { sent: 0, acknowledged: 0 }
    entry.sent += 1
    this.entries.set(key, entry)
    return entry.sent
  }

  end(key: string, value: number, acknowledged: boolean): void {
    this.writing.delete(key)
    const entry = this.entries.get(key)
    if (entry && acknowledged) entry.acknowledged = value
  }

  get acknowledged(): number {
    return [...this.entries.values()].reduce((sum, entry) => sum + entry.acknowledged, 0)
  }

  /** What is wrong, given what is stored now; empty when every acknowledged write is there. A write without an answer
   *  may or may not be. */
  check(stored: (key: string) => number | undefined): string[] {
    return [...this.entries].flatMap(([key, { sent, acknowledged }]) => {
      const found = stored(key) ?? 0
      return found >= acknowledged && found <= sent
        ? []
        : [`${key}: ${found} is stored, ${acknowledged} was acknowledged, ${sent} was sent last`]
    })
  }
}
