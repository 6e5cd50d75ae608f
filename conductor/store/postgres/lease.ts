/** Which conductor works on the nodes of a database: a row with an owner, a token and a time by the server's clock,
 *  renewed every few seconds. Who takes it over raises the token, and every change of the one before is refused. */
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { Connections } from './connect.ts'

const LEASE_S = 12
const RENEW_MS = 3_000
/** Without a renewal for this long, nothing is begun any more. */
const HELD_MS = 9_000
/** After the end of a lease, for what its owner had begun. */
const QUIET_S = 5
const AGAIN_MS = 500

interface LeaseParts {
  readonly connections: Connections
  readonly clock: Clock
  readonly monotonic: Clock
  /** The same for each start on one data directory, which a lock keeps for one process. */
  readonly owner: string
}

export class Lease {
  private readonly parts: LeaseParts
  private readonly abort = new AbortController()
  private current: number | undefined
  private renewedAtMs = 0
  /** Another conductor has taken over. */
  lost = false
  private renewing: Promise<void> | undefined

  constructor(parts: LeaseParts) {
    this.parts = parts
  }

  /** Waits for the lease of a conductor that died. Throws `store.locked` while another one lives. */
  async start(): Promise<void> {
    const { connections, clock, monotonic, owner } = this.parts
    const endMs = monotonic.now() + (LEASE_S + QUIET_S) * 1000 + AGAIN_MS
    while (this.current === undefined) {
      const sentAtMs = monotonic.now()
      const [taken] = await connections.rows<{ token: number }>({
        text: `UPDATE leases SET owner = $1, token = token + 1, until = clock_timestamp() + interval '${LEASE_S} s'
          WHERE name = 'conductor' AND (owner = $1 OR until + interval '${QUIET_S} s' < clock_timestamp())
          RETURNING token`,
        values: [owner],
      })
      if (taken) {
        this.current = taken.token
        this.renewedAtMs = sentAtMs
      } else if (monotonic.now() > endMs)
        throw new Fault('store.locked', 'another conductor works on the nodes of this database')
      else await clock.sleep(AGAIN_MS)
    }
    this.renewing = this.renew(this.current)
  }

  /** Gives it back, so that another conductor need not wait. */
  async stop(): Promise<void> {
    this.abort.abort(new Error('the store is closed'))
    await this.renewing
    await this.parts.connections
      .query({
        text: `UPDATE leases SET until = '-infinity' WHERE name = 'conductor' AND token = $1`,
        values: [this.current ?? 0],
      })
      .catch(() => undefined)
  }

  token = (): number | undefined => this.current

  /** Whether something may be begun now. */
  isHeld = (): boolean => !this.lost && this.parts.monotonic.now() - this.renewedAtMs < HELD_MS

  private async renew(token: number): Promise<void> {
    const { connections, clock, monotonic } = this.parts
    const { signal } = this.abort
    for (;;) {
      await clock.sleep(RENEW_MS, signal).catch(() => undefined)
      if (signal.aborted) return
      const sentAtMs = monotonic.now()
      const answer = await connections
        .query({
          name: 'lease renew',
          text: `UPDATE leases SET until = clock_timestamp() + interval '${LEASE_S} s'
            WHERE name = 'conductor' AND token = $1`,
          values: [token],
        })
        .catch(() => undefined)
      // Another one has it: this one never gets it back.
      if (answer?.rowCount === 0) return void (this.lost = true)
      if (answer) this.renewedAtMs = sentAtMs
    }
  }
}
