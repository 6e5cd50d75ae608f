/** Clients that go on while conductors and databases come and go: one that follows the events, and one that writes and
 *  keeps what was answered. */
import { systemClock } from '../../kit/clock.ts'
import type { Victim } from '../security/victim.ts'

const PAUSE_MS = 100

abstract class Follower {
  private going = true
  private readonly running: Promise<void>

  constructor() {
    this.running = systemClock.sleep(0).then(() => this.loop())
  }

  async stop(): Promise<void> {
    this.going = false
    await this.running
  }

  private async loop(): Promise<void> {
    while (this.going) {
      await this.step().catch(() => undefined)
      await systemClock.sleep(PAUSE_MS)
    }
    // What was under way when it was told to stop.
    await this.step().catch(() => undefined)
  }

  protected abstract step(): Promise<void>
}

export class EventReader extends Follower {
  readonly seen: number[] = []
  private readonly by: Victim

  constructor(by: Victim) {
    super()
    this.by = by
  }

  /** Asks for what came after the last number that it was given. */
  protected async step(): Promise<void> {
    for (;;) {
      const { status, body } = await this.by.call('GET', `/rackward/v1/events?after=${this.seen.at(-1) ?? 0}&limit=500`)
      if (status !== 200) return
      const events = body.events as { seq: number }[]
      this.seen.push(...events.map(({ seq }) => seq))
      if (events.length === 0) return
    }
  }
}

export class NodeWriter extends Follower {
  /** Names of the nodes whose creation was answered with 201. */
  readonly answered: string[] = []
  private readonly by: readonly Victim[]
  private count = 0
  private failed = 0

  constructor(by: readonly Victim[]) {
    super()
    this.by = by
  }

  failures = (): number => this.failed

  protected async step(): Promise<void> {
    const n = (this.count += 1)
    const by = this.by[n % this.by.length] as Victim
    const name = `w${n}`
    const answer = await by.call('POST', '/v1/nodes', { name, driver: 'fake-hardware' }).catch(() => undefined)
    if (answer?.status === 201) this.answered.push(name)
    else this.failed += 1
  }
}
