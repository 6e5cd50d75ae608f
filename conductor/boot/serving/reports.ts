/** Reports on their way to the boot services: one batch at a time, the next one when the last is taken; what there is
 *  no room for is counted. */
import { Outcomes } from './outcomes.ts'
import type { FileReport } from './wire.ts'

export interface ReportParts {
  readonly limit: number
  /** Resolves when the batch is on its way. */
  readonly send: (reports: readonly FileReport[]) => Promise<void>
  /** Calls back soon: what happens until then goes in one batch. */
  readonly soon: (done: () => void) => void
}

/** Without these the other side would wait, or count what is over as under way. Their number is bounded: by the
 *  requests that wait, and by those that were told to begin. */
const OWED: ReadonlySet<FileReport['kind']> = new Set(['ask', 'sent', 'media'])

export class Reports {
  private readonly parts: ReportParts
  private waiting: FileReport[] = []
  private readonly outcomes = new Outcomes()
  private dropped = 0
  private state: 'idle' | 'gathering' | 'sending' = 'idle'

  constructor(parts: ReportParts) {
    this.parts = parts
  }

  /** False: it is dropped. */
  push(report: FileReport): boolean {
    const isKept = this.waiting.length < this.parts.limit || OWED.has(report.kind)
    if (isKept) this.waiting.push(report)
    else this.dropped += 1
    this.wake()
    return isKept
  }

  answered(status: number, whole: boolean): void {
    this.outcomes.add(status, whole)
    this.wake()
  }

  private wake(): void {
    if (this.state !== 'idle') return
    this.state = 'gathering'
    this.parts.soon(() => void this.flush())
  }

  private async flush(): Promise<void> {
    this.state = 'sending'
    const reports = [...this.waiting, ...this.outcomes.take()]
    if (this.dropped > 0) reports.push({ kind: 'dropped', count: this.dropped })
    this.waiting = []
    this.dropped = 0
    // A channel that is closed is the end of this process.
    await this.parts.send(reports).catch(() => undefined)
    this.state = 'idle'
    if (this.waiting.length > 0 || !this.outcomes.isEmpty) this.wake()
  }
}
