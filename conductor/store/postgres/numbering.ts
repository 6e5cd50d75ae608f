/** Gives events their numbers after they were committed, so that who follows the numbers misses none, and tells who
 *  watches. Any conductor numbers what any has committed; a notification of the server is a doorbell and no more. */
import type pg from 'pg'
import type { Clock } from '../../../kit/clock.ts'
import type { Connections } from './connect.ts'
import { Hearing } from './hearing.ts'
import type { WatchOlder } from '../port.ts'

const AT_ONCE = 2_000
/** Between two looks, where no doorbell rings: a conductor that died before it numbered its events, a notification that
 *  was lost. */
const LOOK_MS = 1_000

export class Numbering {
  private readonly connections: Connections
  private readonly clock: Clock
  private readonly listeners = new Set<{ reached: (upToSeq: number) => void; older?: WatchOlder | undefined }>()
  private readonly abort = new AbortController()
  private seq = 0
  private unnumbered = false
  private running: Promise<void> | undefined
  private looking: Promise<void> | undefined
  private readonly doorbell: Hearing

  constructor(connections: Connections, clock: Clock) {
    this.connections = connections
    this.clock = clock
    this.doorbell = new Hearing(connections, ['rackward_events'], ({ payload }) => this.heard(Number(payload)))
  }

  async start(): Promise<void> {
    await this.number()
    this.looking = this.look()
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('the store is closed'))
    await this.looking
    await this.running
    await this.doorbell.stop()
  }

  watch(reached: (upToSeq: number) => void, older?: WatchOlder): () => void {
    const listener = { reached, older }
    this.listeners.add(listener)
    return () => this.listeners.delete(listener)
  }

  /** Of a connection that was just made, before anything else is asked there: another database may answer. */
  async compare(client: Pick<pg.ClientBase, 'query'>): Promise<void> {
    const seen = this.seq
    const { rows } = await client.query<{ last: number }>('SELECT last FROM event_counter')
    this.read(rows[0]?.last ?? 0, seen)
  }

  /** Events of this process were committed. */
  committed = (): void => {
    this.unnumbered = true
    this.running ??= this.numberAll().finally(() => (this.running = undefined))
  }

  /** What this process has committed so far has its number afterwards, or the server does not answer. */
  async settled(): Promise<void> {
    if (this.unnumbered) this.committed()
    await this.running
  }

  private async numberAll(): Promise<void> {
    while (this.unnumbered) {
      this.unnumbered = false
      try {
        await this.number()
      } catch {
        // The next look does it, or another conductor.
        this.unnumbered = !this.abort.signal.aborted
        return
      }
    }
  }

  private async number(): Promise<void> {
    const seen = this.seq
    const [row] = await this.connections.rows<{ seq: number }>({
      name: 'number events',
      text: `SELECT number_events(${AT_ONCE}) AS seq`,
    })
    const seq = row?.seq ?? 0
    // There may be more of them.
    if (seq >= this.seq + AT_ONCE) this.unnumbered = true
    this.read(seq, seen)
  }

  /** The number of the last event only grows in one database. `seen`: before it was asked for. */
  private read(seq: number, seen: number): void {
    if (seq >= seen) return this.heard(seq)
    // It was told already by another connection.
    if (this.seq < seen) return
    this.seq = seq
    // What still rings there is of the other database.
    this.doorbell.renew()
    for (const { older } of this.listeners) older?.({ seq, seen })
  }

  private heard(seq: number): void {
    if (!(seq > this.seq)) return
    this.seq = seq
    for (const { reached } of this.listeners) reached(seq)
  }

  private async look(): Promise<void> {
    while (!this.abort.signal.aborted) {
      await this.clock.sleep(LOOK_MS, this.abort.signal).catch(() => undefined)
      if (this.abort.signal.aborted) return
      this.committed()
      await this.running
      await this.doorbell.tend().catch(() => undefined)
    }
  }
}
