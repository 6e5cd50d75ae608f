/** A world in memory for one core on real time: a store, a BMC that does what it is told, and a real driver. */
import { monotonicClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import type { Driver } from '../../host-agent/adapters/instances/driver.ts'
import type { Incident } from '../../host-agent/protocol/records.ts'
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { consulEnvironment } from '../../host-agent/adapters/consul-environment.ts'
import { FIRST_POLICY, KEYS } from '../../host-agent/protocol/records.ts'
import type { Change, Entry } from '../../host-agent/cluster/store.ts'
import type { Environment } from '../../host-agent/adapters/environment.ts'
import type { Alert } from '../../host-agent/cluster/decision.ts'
import { Consul } from '../../kit/consul.ts'
import { memberRecord } from './member-record.ts'

export class MemoryMesh {
  readonly core: Arbiter
  readonly alerts: Alert[] = []
  readonly off = new Set<string>()
  /** Hosts whose heartbeats arrive. */
  readonly living = new Set<string>()
  /** Hosts whose gate is closed. */
  readonly quarantined = new Set<string>()
  private beats = 0
  private readonly entries = new Map<string, Entry>()
  private index = 1
  private sessions = 0
  private stopped = false

  constructor(driver: Driver, hosts: readonly string[]) {
    const consul = new Consul({ url: 'http://127.0.0.1:1' })
    // The driver goes through what production puts around it: deadlines, and what a failure means.
    const { environment: real } = consulEnvironment({
      consul,
      clock: monotonicClock,
      driver,
      log: silentLog,
      name: 'a1',
      api: null,
      nodeOf: () => null,
      onAlert: () => undefined,
      pill: () => Promise.reject(new Error('not here')),
      power: { ask: () => Promise.reject(new Error('not here')) },
      devices: { ask: () => Promise.reject(new Error('not here')), levels: () => [] },
    })
    const environment: Environment = {
      ...real,
      store: (ask, done) => void setImmediate(() => done(this.write(ask.changes, ask.guards))),
      readStore: (done) => void setImmediate(() => done({ entries: [...this.entries.values()], index: this.index })),
      bmc: (ask, done) => {
        if (ask.command === 'off') this.off.add(ask.host)
        setTimeout(
          () =>
            done({
              power: this.off.has(ask.host) ? 'off' : 'on',
              session: (this.sessions += 1),
              systemUuid: uuidOf(ask.host),
            }),
          20,
        )
      },
      alert: (alert) => void this.alerts.push(alert),
    }
    this.core = new Arbiter({
      name: 'a1',
      environment,
      nowMs: monotonicClock.now() - 60_000,
      graceMs: driver.graceMs,
      atOnce: driver.atOnce,
      quiesceMs: 0,
    })
    this.set(KEYS.policy, { ...FIRST_POLICY, armed: true, limits: { fenceShare: 1, fenceCap: 100 } })
    for (const name of [...hosts, 'a1']) {
      const member = memberRecord(name, {
        role: name === 'a1' ? 'arbiter' : 'host',
        planes: { management: { address: '127.0.0.1', port: 1 } },
        systemUuid: uuidOf(name),
      })
      this.set(KEYS.members + name, member)
    }
    const tick = () => {
      if (this.stopped) return
      const nowMs = monotonicClock.now()
      this.core.onLease({ epoch: 1, endsMs: nowMs + 10_000, storeOkMs: nowMs }, nowMs)
      this.beat(nowMs)
      this.core.tick(nowMs)
      setTimeout(tick, 50)
    }
    this.core.onStore({ entries: [...this.entries.values()], index: this.index }, monotonicClock.now())
    tick()
  }

  private beat(nowMs: number): void {
    this.beats += 1
    const self = {
      state: 'member',
      lagMs: 0,
      storageLost: false,
      guests: 0,
      consents: false,
      gate: 'open',
      watchdogMs: 10_000,
    } as const
    for (const from of this.living)
      this.core.onHeartbeat(
        {
          from,
          bootId: 'b',
          seq: this.beats,
          self: this.quarantined.has(from) ? { ...self, state: 'quarantined', gate: 'closed' } : self,
          peers: {},
        },
        nowMs,
      )
  }

  stop(): void {
    this.stopped = true
  }

  /** Once the arbiter knows which boot of the host is running. */
  heard(host: string): Promise<unknown> {
    return until(() => this.core.known(monotonicClock.now()).view.evidence.bootOf(host), {
      what: `a heartbeat of ${host}`,
      timeoutMs: 30_000,
      everyMs: 20,
    })
  }

  set(key: string, value: unknown): void {
    this.index += 1
    this.entries.set(key, { key, value, index: this.index })
    this.core?.onStore({ entries: [...this.entries.values()], index: this.index }, monotonicClock.now())
  }

  drop(key: string): void {
    this.index += 1
    this.entries.delete(key)
    this.core.onStore({ entries: [...this.entries.values()], index: this.index }, monotonicClock.now())
  }

  /** What the API of an arbiter needs of Consul. */
  consul(): Consul {
    const write = (key: string, value: unknown, index: number) =>
      this.write([{ key, value, index }], []).got === 'ok' &&
      (this.core.onStore({ entries: [...this.entries.values()], index: this.index }, monotonicClock.now()), true)
    return {
      get: async (key: string) => this.entries.get(key),
      cas: async (key: string, value: unknown, index: number) => write(key, value, index),
      deleteCas: async (key: string, index: number) => write(key, undefined, index),
    } as unknown as Consul
  }

  /** Orders a host fenced, and answers when the incident is in `state`. */
  async fence(host: string, timeoutMs: number): Promise<Incident> {
    const known = new Set(this.core.cluster.incidents.keys())
    this.set(`${KEYS.requests}${host}`, { kind: 'fence', host, by: 'a test' })
    const found = () =>
      [...this.core.cluster.incidents.values()].find(({ value }) => value.host === host && !known.has(value.id))?.value
    return until(() => (found()?.state === 'evacuated' ? found() : undefined), {
      what: `${host} to be evacuated`,
      timeoutMs,
      everyMs: 50,
    }).catch((error: Error) => {
      throw new Error(
        `${error.message}: ${JSON.stringify(found())} ${JSON.stringify(this.intents())} ${JSON.stringify(this.alerts.slice(-5))}`,
      )
    })
  }

  intents() {
    return [...this.core.cluster.intents.values()].map(({ value }) => value)
  }

  private write(changes: readonly Change[], guards: readonly { key: string; index: number }[]) {
    if ([...changes, ...guards].some(({ key, index }) => (this.entries.get(key)?.index ?? 0) !== index))
      return { got: 'conflict' as const }
    this.index += 1
    for (const { key, value } of changes) {
      if (value === undefined) this.entries.delete(key)
      else this.entries.set(key, { key, value: JSON.parse(JSON.stringify(value)), index: this.index })
    }
    return { got: 'ok' as const, index: this.index }
  }
}

const uuidOf = (host: string) =>
  `00000000-0000-4000-8000-${Buffer.from(host.padEnd(6, '_').slice(0, 6)).toString('hex')}`
