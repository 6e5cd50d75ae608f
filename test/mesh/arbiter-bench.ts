/** An arbiter behind its real API in a mesh that a test makes up: the store is a list, devices and drivers are not
 *  there, and the members send what the test says. */
import type { Environment } from '../../host-agent/adapters/environment.ts'
import { startMeshApi } from '../../host-agent/api/server.ts'
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import type { Alert } from '../../host-agent/cluster/decision.ts'
import type { Entry } from '../../host-agent/cluster/store.ts'
import { AgentConfig } from '../../host-agent/config.ts'
import { PLANES, type Heartbeat } from '../../host-agent/protocol/heartbeat.ts'
import { KEYS } from '../../host-agent/protocol/records.ts'
import { monotonicClock, systemClock, type Clock } from '../../kit/clock.ts'
import type { Consul } from '../../kit/consul.ts'
import { silentLog } from '../../kit/log.ts'

export const ARBITERS = ['a1', 'a2', 'a3']
const SETTLED_MS = 60_000

/** Of the arbiter a1, which started a minute ago. */
export function makeArbiter(
  stored: () => { entries: Entry[]; index: number },
  more: Partial<Environment> = {},
): Arbiter {
  const environment = {
    store: (_, done) => done({ got: 'conflict' }),
    readStore: (done) => done(stored()),
    bmc: () => undefined,
    deviceLevels: () => [],
    driver: () => undefined,
    alert: () => undefined,
    wall: () => new Date(systemClock.now()).toISOString(),
    now: () => monotonicClock.now(),
    ...more,
  } as Partial<Environment> as Environment
  const core = new Arbiter({ name: 'a1', environment, nowMs: monotonicClock.now() - SETTLED_MS, quiesceMs: 0 })
  core.onStore(stored(), monotonicClock.now())
  return core
}

interface ServedBy {
  /** Its own URL. */
  readonly api: string | null
  /** As the leader's key says it. */
  readonly leader: { name: string; api: string | null }
  readonly cas?: Consul['cas']
  /** What it told people. */
  readonly notices?: readonly (Alert & { at: string })[]
  /** By which its pages tell how long ago something was; absent: the real one. */
  readonly clock?: Clock
}

/** Its API, without authentication, on a port of its own. */
export function serveArbiter(core: Arbiter, { api, leader, cas, notices = [], clock = monotonicClock }: ServedBy) {
  const consul: Partial<Consul> = {
    get: async (key) =>
      key === KEYS.leader ? { key, value: leader, session: 's', index: 1, lockIndex: 1 } : undefined,
    ...(cas ? { cas } : {}),
  }
  const config = AgentConfig.parse({
    name: 'a1',
    role: 'arbiter',
    planes: { management: { address: '127.0.0.1' } },
    consul: { tokenFile: '/t' },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], url: 'http://127.0.0.1:1', auth: { strategy: 'noauth' } },
  })
  const parts = { core, api, consul: consul as Consul, clock, log: silentLog }
  return startMeshApi(config, { ...parts, pages: () => notices })
}

const SELF: Heartbeat['self'] = {
  state: 'member',
  lagMs: 0,
  storageLost: false,
  guests: 2,
  consents: false,
  gate: 'open',
  watchdogMs: 10_000,
}

/** One heartbeat of each of `speakers`, who all hear everybody but the silent ones; heard at `nowMs`. */
export function everybodySpeaks(
  core: Arbiter,
  of: { speakers: readonly string[]; seq: number; silent?: ReadonlySet<string>; nowMs?: number },
): void {
  const seen: Record<string, Record<string, Heartbeat['peers'][string]>> = {}
  for (const [target, observers] of core.cluster.observers) {
    const sight = of.silent?.has(target) ? { replyAgeMs: null, misses: 9 } : { replyAgeMs: 10, misses: 0 }
    const planes = Object.fromEntries(PLANES.map((plane) => [plane, sight]))
    for (const observer of observers) (seen[observer] ??= {})[target] = { planes, kernelAgeMs: null }
  }
  for (const from of of.speakers)
    core.onHeartbeat(
      { from, bootId: 'b', seq: of.seq, self: SELF, peers: seen[from] ?? {} },
      of.nowMs ?? monotonicClock.now(),
    )
}
