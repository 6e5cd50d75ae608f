/** A clock that stands until a test moves it; timers run when it passes them. */
import type { Clock } from '../../kit/clock.ts'

export class HandClock implements Clock {
  nowMs: number
  private timers: { atMs: number; callback: () => void }[] = []

  constructor(nowMs = 0) {
    this.nowMs = nowMs
  }

  now = () => this.nowMs
  sleep = () => Promise.resolve()
  after(ms: number, callback: () => void): () => void {
    const timer = { atMs: this.nowMs + ms, callback }
    this.timers.push(timer)
    return () => void (this.timers = this.timers.filter((one) => one !== timer))
  }
  pass(ms: number): void {
    this.nowMs += ms
    const due = this.timers.filter(({ atMs }) => atMs <= this.nowMs)
    this.timers = this.timers.filter((one) => !due.includes(one))
    for (const { callback } of due) callback()
  }
}
