/** What a boot room saw, on its way to a conductor: numbered from one on, kept until a conductor says that it has it,
 *  up to a limit. After a break it goes on behind the last number that was taken. */
import type { BootEvent } from '../wire.ts'
import { MAX_REPORTS_PER_LINE } from './reports.ts'

export class ReportQueue {
  readonly name: string
  private readonly limit: number
  private readonly nowMs: () => number
  private waiting: BootEvent[] = []
  /** Number of the first one that waits. */
  private first = 1
  private dropped = 0
  private listener: () => void = () => undefined

  constructor({ name, limit, nowMs }: { name: string; limit: number; nowMs: () => number }) {
    this.name = name
    this.limit = limit
    this.nowMs = nowMs
  }

  get size(): number {
    return this.waiting.length
  }

  /** Who hears that there is something. */
  onMore(listener: () => void): void {
    this.listener = listener
  }

  /** Beyond the limit the newest go: what began a fault is told first. */
  push(event: BootEvent): void {
    if (this.waiting.length >= this.limit) {
      this.dropped += 1
      return
    }
    this.waiting.push(event)
    this.listener()
  }

  /** What goes out next. Undefined: nothing waits. */
  next(): { readonly from: number; readonly reports: readonly BootEvent[] } | undefined {
    if (this.waiting.length === 0) return undefined
    return { from: this.first, reports: this.waiting.slice(0, MAX_REPORTS_PER_LINE) }
  }

  taken(upTo: number): void {
    const count = Math.min(Math.max(0, upTo - this.first + 1), this.waiting.length)
    this.waiting.splice(0, count)
    this.first += count
    if (this.dropped === 0 || count === 0) return
    const what = `${this.dropped} events were dropped: no conductor took them in time`
    const trouble = { kind: 'trouble', atMs: this.nowMs(), nodeUuid: null, what, count: this.dropped } as const
    this.dropped = 0
    this.push(trouble)
  }
}
