/** A process that acts on BMCs is stopped at random moments; its slots are taken from it meanwhile, and the next owner
 *  asks each BMC for its power, as it does before anything else; then the process goes on. What changes a BMC after
 *  that is stale. Times are a twentieth of those of a lease. */
import { fork, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { runHolding } from '../../../conductor/holding.ts'
import { Connections } from '../../../conductor/store/postgres/connect.ts'
import { FormerSessions } from '../../../conductor/store/postgres/former-sessions.ts'
import { Members, type Slot } from '../../../conductor/store/postgres/members.ts'
import { slotOf } from '../../../conductor/store/slot.ts'
import { monotonicClock, systemClock, until } from '../../../kit/clock.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { ROOT } from '../../lab/root.ts'
import type { Postgres } from '../postgres.ts'
import { uuid } from '../store-conformance/bench.ts'
import { nativeClient } from './native-client.ts'

export const SPEED = 20
const LANES = 8
/** What the next owner waits behind the end of a lease, in which all that was on its way arrives. */
const QUIET_MS = 100
const TAKE =
  "UPDATE slots SET owner = 'z', token = token + 1, until = clock_timestamp() + interval '1 h' WHERE grp = '' RETURNING grp AS \"group\", id, token"
const GIVE = "UPDATE slots SET owner = NULL, until = '-infinity' WHERE grp = ''"

export interface StaleActs {
  readonly acts: number
  readonly stale: number
  /** Sessions that the next owner found, and ended. */
  readonly ended: number
}

/** `guard`: `each`: before each datagram, as the product does; `start`: once, when an act begins. */
export async function staleActs(
  postgres: Postgres,
  { stops, guard }: { readonly stops: number; readonly guard: 'each' | 'start' },
): Promise<StaleActs> {
  const database = await postgres.database()
  const bmcs = await Promise.all(Array.from({ length: LANES }, () => RmcpBmc.start({ sessions: 1_000_000 })))
  const ports = bmcs.map((bmc) => bmc.address.port).join()
  const child = fork(join(ROOT, 'dist/test/conductor/rmcp/stale-child.js'), [postgres.urlOf(database), ports, guard])
  const actor = new Actor(child)
  const connections = new Connections({ url: postgres.urlOf(database), connections: LANES })
  const next = new NextOwner(connections, bmcs)
  let [acts, stale] = [0, 0]
  /** Commands that change something, since the last time. */
  const changes = () =>
    bmcs.flatMap((bmc) => bmc.heard.splice(0).filter(({ netFn, command }) => netFn === 0 && [2, 8].includes(command)))
      .length
  try {
    for (let stop = 0; stop < stops; stop += 1) {
      await actor.acts()
      await systemClock.sleep(Math.random() * 40)
      child.kill('SIGSTOP')
      await systemClock.sleep(QUIET_MS)
      await next.take()
      acts += changes()
      child.kill('SIGCONT')
      await actor.isRefused()
      stale += changes()
      for (const bmc of bmcs) bmc.sessions.clear()
      await postgres.sql(database, GIVE)
      await postgres.sql(database, "SELECT pg_notify('rackward_slots', 'test')")
    }
  } finally {
    child.kill('SIGCONT')
    child.kill('SIGKILL')
    await Promise.all(bmcs.map((bmc) => bmc.stop()))
    await connections.close()
  }
  return { acts, stale, ended: next.ended }
}

/** As a conductor takes over: slots first, then what it has to know of them, then a first reading of each node. */
class NextOwner {
  ended = 0
  private readonly connections: Connections
  private readonly bmcs: readonly RmcpBmc[]

  constructor(connections: Connections, bmcs: readonly RmcpBmc[]) {
    this.connections = connections
    this.bmcs = bmcs
  }

  async take(): Promise<void> {
    const slots = await this.connections.rows<Slot>({ text: TAKE })
    const former = new FormerSessions(new Members(this.connections), monotonicClock)
    await former.load(slots)
    await Promise.all(this.bmcs.map((bmc, n) => this.read(bmc, uuid(n), { slots, former })))
  }

  private async read(
    bmc: RmcpBmc,
    node: string,
    { slots, former }: { readonly slots: readonly Slot[]; readonly former: FormerSessions },
  ): Promise<void> {
    const slot = slots.find(({ id }) => id === slotOf(node))
    if (!slot) throw new Error(`there is no slot of ${node}`)
    const { at, ended, unanswered } = former.of(node)
    const counted = (place: string, name: string) => {
      this.ended += 1
      ended(place, name)
    }
    const holding = {
      group: '',
      slot: slot.id,
      token: slot.token,
      former: { at, ended: counted, unanswered },
      still: () => undefined,
      check: async () => undefined,
      lost: () => undefined,
    }
    await runHolding(holding, () => nativeClient(bmc.address.port).power(new AbortController().signal))
  }
}

class Actor {
  private readonly ends = new Map<number, string>()
  private readonly child: ChildProcess

  constructor(child: ChildProcess) {
    this.child = child
    child.on('message', ({ n, end }: { n: number; end: string }) => this.ends.set(n, end))
  }

  /** All lanes are at work. */
  acts = (): Promise<void> => this.all('done')
  /** All lanes have found out, and nothing of what they had begun goes on. */
  isRefused = (): Promise<void> => this.all('store.locked')

  private async all(end: string): Promise<void> {
    this.ends.clear()
    const isSo = () => this.ends.size === LANES && [...this.ends.values()].every((one) => one === end)
    const what = () => `all lanes to end with ${end}: ${JSON.stringify([...this.ends.values()])}`
    await until(() => isSo() || this.child.exitCode !== null, { what: end, timeoutMs: 60_000, everyMs: 5 }).catch(
      (error: unknown) => Promise.reject(new Error(`${what()}: ${String(error)}`)),
    )
    if (this.child.exitCode !== null) throw new Error(`the child ended with ${this.child.exitCode}`)
  }
}
