/** How requests ended, counted: a flood of them is one report. */
import type { FileReport } from './wire.ts'

type Answered = FileReport & { readonly kind: 'answered' }

export class Outcomes {
  private counts = new Map<string, Answered>()

  get isEmpty(): boolean {
    return this.counts.size === 0
  }

  add(status: number, whole: boolean): void {
    const key = `${status} ${whole}`
    const count = (this.counts.get(key)?.count ?? 0) + 1
    this.counts.set(key, { kind: 'answered', status, whole, count })
  }

  take(): Answered[] {
    const taken = [...this.counts.values()]
    this.counts.clear()
    return taken
  }
}
