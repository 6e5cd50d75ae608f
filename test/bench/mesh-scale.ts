/** `npm run bench -- mesh --hosts N`: one arbiter's core and the real codec under N simulated hosts on a fake clock.
 *  What its tick costs, what a host sends, what it keeps in memory, and how long it takes to a verdict when one host, a
 *  rack and a tenth of all hosts die. No network and no Consul: what these cost, `mesh.ts` measures. */
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { replyTo } from '../../host-agent/arbiter/heartbeat-reply.ts'
import { decode, encode } from '../../host-agent/protocol/datagram.ts'
import { statementOf } from '../../host-agent/arbiter/leases.ts'
import { newIdentity } from '../../host-agent/protocol/keys.ts'
import { FIRST_POLICY, KEYS, type MemberRecord } from '../../host-agent/protocol/records.ts'
import { StoreReader } from '../../host-agent/cluster/store-reader.ts'
import type { Entry } from '../../host-agent/cluster/store.ts'
import type { Environment } from '../../host-agent/adapters/environment.ts'
import { PLANES, type Heartbeat, type PeerView } from '../../host-agent/protocol/heartbeat.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'

const RACK_HOSTS = 20
const TICK_MS = 100
const WARM_MS = 14_000
const WATCH_MS = 12_000
/** UDP and IPv4 headers of each datagram. */
const HEADER_BYTES = 28
const ARBITERS = ['a0', 'a1', 'a2']

interface Death {
  readonly what: string
  readonly hosts: number
  /** From the death until the last of them has this verdict; null: not all have. */
  readonly suspectMs: number | null
  readonly confirmedMs: number | null
  readonly incidents: number
  /** Of the first of them. */
  readonly says: string
}

export async function benchScale(hosts: number) {
  const mesh = new ScaleMesh(hosts)
  mesh.run(WARM_MS)
  const calm = mesh.costs()
  const storeChangeMs = await mesh.storeChanges()
  const deaths = [
    mesh.death('one host', mesh.living().slice(-1)),
    mesh.death('one rack', mesh.living().slice(0, RACK_HOSTS)),
    mesh.death('a tenth of all hosts', mesh.living().slice(-Math.floor(hosts / 10))),
  ]
  return {
    hosts,
    membersTakenMs: mesh.membersTakenMs,
    calm,
    storeChangeMs,
    deaths,
    whileTheyDie: mesh.costs(),
    heartbeat: mesh.heartbeat(),
    memoryMb: memoryMb(),
  }
}

const memoryMb = () => {
  globalThis.gc?.()
  const { rss, heapUsed } = process.memoryUsage()
  return { rss: Math.round(rss / 2 ** 20), heapUsed: Math.round(heapUsed / 2 ** 20) }
}
const quantile = (list: readonly number[], share: number) => {
  const sorted = list.toSorted((a, b) => a - b)
  return Math.round((sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0) * 10) / 10
}

class ScaleMesh {
  readonly membersTakenMs: number
  private nowMs = 100_000
  private index: number
  private seq = 0
  private readonly names: readonly string[]
  private readonly diedMs = new Map<string, number>()
  /** Observer -> whom it probes. */
  private readonly probes = new Map<string, string[]>()
  private readonly sender = newIdentity('h')
  private readonly receiver = newIdentity('a0')
  private readonly entries = new Map<string, Entry>()
  private readonly core: Arbiter
  private ticks: number[] = []
  private takes: number[] = []
  private bytes: number[] = []
  /** Answers of the store, which never come inside the question. */
  private later: (() => void)[] = []

  constructor(hosts: number) {
    this.names = Array.from({ length: hosts }, (_, i) => `h${i}`)
    for (const [i, name] of [...this.names, ...ARBITERS].entries())
      this.put(KEYS.members + name, record(name, i), i + 1)
    this.put(KEYS.policy, { ...FIRST_POLICY, armed: true, why: 'a bench' }, 1)
    this.index = hosts + 10
    this.core = new Arbiter({ name: 'a0', environment: this.environment(), nowMs: this.nowMs - 60_000, quiesceMs: 0 })
    const beganMs = performance.now()
    this.core.onStore({ entries: [...this.entries.values()], index: this.index }, this.nowMs)
    this.membersTakenMs = Math.round(performance.now() - beganMs)
    for (const [target, observers] of this.core.cluster.observers)
      for (const observer of observers) this.probes.set(observer, [...(this.probes.get(observer) ?? []), target])
  }

  run(forMs: number): void {
    for (const endMs = this.nowMs + forMs; this.nowMs < endMs; this.nowMs += TICK_MS) {
      this.core.onLease({ epoch: 1, endsMs: this.nowMs + 10_000, storeOkMs: this.nowMs }, this.nowMs)
      if (this.nowMs % LIMITS.heartbeatMs === 0) this.everybodySpeaks()
      const beganMs = performance.now()
      for (const answer of this.later.splice(0)) answer()
      this.core.tick(this.nowMs)
      this.ticks.push(performance.now() - beganMs)
    }
  }

  /** Rack after rack. */
  living(): readonly string[] {
    return this.names.filter((name) => !this.diedMs.has(name))
  }

  death(what: string, dying: readonly string[]): Death {
    const before = this.core.cluster.incidents.size
    const diedMs = this.nowMs
    for (const name of dying) this.diedMs.set(name, diedMs)
    let suspectMs: number | null = null
    let confirmedMs: number | null = null
    let says = ''
    for (let passedMs = 0; passedMs < WATCH_MS; passedMs += TICK_MS) {
      this.run(TICK_MS)
      const verdicts = dying.map((name) => this.core.verdicts.get(name))
      if (verdicts.every((verdict) => verdict?.state !== 'healthy' && verdict?.state !== 'degraded'))
        suspectMs ??= this.nowMs - diedMs
      if (dying.every((name) => this.core.cluster.liveIncident(name))) confirmedMs ??= this.nowMs - diedMs
      says = verdicts[0]?.says ?? ''
    }
    return {
      what,
      hosts: dying.length,
      suspectMs,
      confirmedMs,
      incidents: this.core.cluster.incidents.size - before,
      says: says.slice(0, 200),
    }
  }

  /** Since they were asked for last. */
  costs() {
    const out = {
      tickMs: { p50: quantile(this.ticks, 0.5), p99: quantile(this.ticks, 0.99), max: quantile(this.ticks, 1) },
      takeMs: { p50: quantile(this.takes, 0.5), p99: quantile(this.takes, 0.99) },
    }
    this.ticks = []
    this.takes = []
    return out
  }

  /** What it costs to take it that one entry changed: a BMC record, a host that boots, one that joins. */
  async storeChanges() {
    const reader = new StoreReader()
    const read = async (known: ReadonlyMap<string, Entry>) => ({
      entries: [...this.entries.values()].map((entry) => {
        const held = known.get(entry.key)
        return held?.index === entry.index ? held : entry
      }),
      index: this.index,
    })
    const take = async () => {
      const snapshot = await reader.next(read)
      const beganMs = performance.now()
      this.core.onStore(snapshot, this.nowMs)
      return performance.now() - beganMs
    }
    const change = async (key: string, value: unknown) => {
      this.index += 1
      this.put(key, value, this.index)
      const takeMs = await take()
      const beganMs = performance.now()
      this.core.tick(this.nowMs)
      return { takeMs, tickMs: performance.now() - beganMs }
    }
    await take()
    const bmc = await change(`${KEYS.bmcs}h1`, { sealed: { a0: 'x' } })
    const boot = { id: 'b', watchdogMs: null, leaving: false }
    const booted = await change(`${KEYS.members}h2`, { ...record('h2', 2), boot })
    const joined = await change(`${KEYS.members}late`, record('late', 7))
    this.entries.delete(`${KEYS.members}late`)
    this.index += 1
    await take()
    const rounded = ({ takeMs, tickMs }: typeof bmc) => ({
      takeMs: quantile([takeMs], 1),
      tickMs: quantile([tickMs], 1),
    })
    return { bmc: rounded(bmc), booted: rounded(booted), joined: rounded(joined) }
  }

  /** A heartbeat goes to every arbiter on every plane. */
  heartbeat() {
    const bytes = quantile(this.bytes, 0.5) + HEADER_BYTES
    return {
      bytes,
      bytesPerHostAndSecond: Math.round((bytes * ARBITERS.length * PLANES.length * 1_000) / LIMITS.heartbeatMs),
    }
  }

  private everybodySpeaks(): void {
    this.seq += 1
    for (const name of this.names) if (!this.diedMs.has(name)) this.hostSpeaks(name)
    const said = statementOf(this.core, this.nowMs)
    for (const name of ARBITERS) {
      const echoedTimestamps = { a0: this.nowMs, a1: this.nowMs, a2: this.nowMs }
      this.core.onHeartbeat({ ...this.heartbeatOf(name), ...said, timestamp: this.nowMs, echoedTimestamps }, this.nowMs)
    }
  }

  /** Sealed, sent, opened, read, taken and answered. */
  private hostSpeaks(name: string): void {
    const sealed = this.sender.seal(
      encode(name, 'management', { type: 'heartbeat', heartbeat: this.heartbeatOf(name) }),
      this.receiver,
    )
    this.bytes.push(sealed.length)
    if (this.bytes.length > 10_000) this.bytes.shift()
    const beganMs = performance.now()
    const opened = this.receiver.open(sealed, this.sender)
    const said = opened && decode(opened)
    if (said?.message.type !== 'heartbeat' || !this.core.onHeartbeat(said.message.heartbeat, this.nowMs))
      throw new Error('a heartbeat was not taken')
    replyTo(this.core, said.message.heartbeat, this.nowMs)
    this.takes.push(performance.now() - beganMs)
  }

  private heartbeatOf(name: string): Heartbeat {
    const peers: Record<string, PeerView> = {}
    for (const [peersOf, target] of (this.probes.get(name) ?? []).entries()) {
      const silentMs = this.nowMs - (this.diedMs.get(target) ?? this.nowMs)
      const sight = {
        replyAgeMs: ((name.length + target.length * 37 + this.seq * 13 + peersOf * 7) % 250) + silentMs,
        misses: Math.floor(silentMs / LIMITS.probeMs),
      }
      peers[target] = { planes: Object.fromEntries(PLANES.map((plane) => [plane, sight])), kernelAgeMs: null }
    }
    const self = {
      state: 'member' as const,
      lagMs: 3,
      storageLost: false,
      guests: 20,
      consents: false,
      gate: 'open' as const,
      watchdogMs: 10_000,
    }
    return { from: name, bootId: '00000000-0000-4000-8000-000000000000', seq: this.seq, self, peers }
  }

  private put(key: string, value: unknown, index: number): void {
    this.entries.set(key, { key, value, index })
  }

  private environment(): Environment {
    const dead = (host: string) => this.diedMs.has(host)
    return {
      store: ({ changes }, done) => {
        this.index += 1
        for (const { key, value } of changes) {
          if (value === undefined) this.entries.delete(key)
          else this.put(key, value, this.index)
        }
        const { index } = this
        this.later.push(() => done({ got: 'ok', index }))
      },
      readStore: (done) => done({ entries: [...this.entries.values()], index: this.index }),
      // A BMC that needs its time, so that nothing is proven within the watch: the verdict is what is measured.
      bmc: () => undefined,
      device: () => undefined,
      deviceLevels: () => [],
      driver: (call, _, done) =>
        call.call === 'survey' &&
        done({
          ok: true,
          survey: {
            instances: {},
            targets: this.names.filter((name) => !dead(name)).map((host) => ({ host, freeMb: 64_000 })),
          },
        }),
      pill: () => undefined,
      alert: () => undefined,
      wall: () => '2026-01-01T00:00:00.000Z',
      now: () => this.nowMs,
    }
  }
}

const record = (name: string, i: number): MemberRecord => ({
  name,
  role: name.startsWith('a') ? 'arbiter' : 'host',
  rack: name.startsWith('a') ? null : `r${Math.floor(i / RACK_HOSTS)}`,
  planes: Object.fromEntries(PLANES.map((plane) => [plane, { address: '10.0.0.1', port: 7460 }])),
  ticks: false,
  publicKey: `${'A'.repeat(43)}=`,
  systemUuid: null,
  node: null,
  reserved: false,
  api: null,
})
