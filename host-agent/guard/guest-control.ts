/** What a host's agent does with its gate and its guests: an event in, the next thing to do out. Synchronous and
 *  without a port; `agent.ts` does what it says, and tells it how that ended. One thing at a time, but for counting. */
import { Consent } from './consent.ts'

export type GuestCommand = 'count' | 'open gate' | 'start' | 'stop' | 'refresh'
export type GuestEvent =
  /** Several times a second. */
  | { readonly type: 'tick'; readonly storageLost: boolean }
  /** An arbiter wants it. It asks again with each heartbeat for as long as it does. */
  | { readonly type: 'ordered'; readonly order: 'open gate' | 'stop guests' }
  /** How many guests run; null: nobody could look. */
  | { readonly type: 'counted'; readonly guests: number | null }
  | { readonly type: 'done'; readonly command: Exclude<GuestCommand, 'count' | 'stop'> }
  /** They were told to stop, and counted after that. */
  | { readonly type: 'stopped'; readonly guests: number | null }
  | { readonly type: 'failed' }

const COUNT_MS = 2_000
const REFRESH_MS = 3_000

export class GuestControl {
  private gateState: 'open' | 'closed' | 'none'
  private count: number | null = null
  private storageLost = false
  /** What belongs here is to be started: the gate was opened by this process, or the failure that stopped the guests is
   *  over. */
  private isToStart = false
  private doing: GuestCommand | undefined
  private counting = false
  private countedMs = Number.NEGATIVE_INFINITY
  private refreshedMs = Number.NEGATIVE_INFINITY
  private readonly consent = new Consent()
  private readonly isHost: boolean

  constructor(options: { gate: 'open' | 'closed' | 'none'; isHost: boolean }) {
    this.gateState = options.gate
    this.isHost = options.isHost
  }

  get gate(): 'open' | 'closed' | 'none' {
    return this.gateState
  }

  get guests(): number | null {
    return this.count
  }

  get consents(): boolean {
    return this.consent.given
  }

  on(event: GuestEvent, nowMs: number): readonly GuestCommand[] {
    switch (event.type) {
      case 'tick':
        this.storageLost = event.storageLost
        return this.tick(nowMs)
      case 'ordered':
        return this.ordered(event.order, nowMs)
      case 'counted':
        this.counting = false
        this.count = event.guests
        this.reconsider(nowMs)
        return []
      case 'stopped':
        this.doing = undefined
        this.count = event.guests
        if (event.guests === 0) this.consent.give()
        return []
      case 'done':
        this.doing = undefined
        if (event.command === 'open gate') {
          this.gateState = 'open'
          this.isToStart = true
        }
        if (event.command === 'start') this.isToStart = false
        return []
      case 'failed':
        this.doing = undefined
        return []
    }
  }

  private tick(nowMs: number): readonly GuestCommand[] {
    const commands: GuestCommand[] = []
    if (this.isHost && !this.counting && nowMs - this.countedMs >= COUNT_MS) {
      this.counting = true
      this.countedMs = nowMs
      commands.push('count')
    }
    this.reconsider(nowMs)
    const next = this.doing === undefined ? this.next(nowMs) : undefined
    return next === undefined ? commands : [...commands, (this.doing = next)]
  }

  private next(nowMs: number): GuestCommand | undefined {
    // What serves the guests may still be starting: it is tried again until it succeeds, and nothing is exported before
    // that.
    if (this.isToStart) return 'start'
    if (this.gateState === 'closed' || nowMs - this.refreshedMs < REFRESH_MS) return undefined
    this.refreshedMs = nowMs
    return 'refresh'
  }

  private ordered(order: 'open gate' | 'stop guests', nowMs: number): readonly GuestCommand[] {
    if (this.doing !== undefined) return []
    if (order === 'open gate') return this.gateState === 'closed' ? [(this.doing = 'open gate')] : []
    this.consent.asked(nowMs)
    return this.consent.given ? [] : [(this.doing = 'stop')]
  }

  /** Its consent is for one failure. When that is over, what belongs here runs again. */
  private reconsider(nowMs: number): void {
    if (this.consent.look(nowMs, { guests: this.count, storageLost: this.storageLost })) this.isToStart = true
  }
}
