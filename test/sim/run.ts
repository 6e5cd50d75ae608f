/** One schedule from its first event to its last: applies the faults, and says what was found. */
import { holdKey, KEYS } from '../../host-agent/protocol/records.ts'
import type { Heartbeat } from '../../host-agent/protocol/heartbeat.ts'
import type { SimBmc } from './bmc.ts'
import { CALM_MS, type Fault, type Schedule } from './faults.ts'
import type { SimNode } from './node.ts'
import { SimRack, type RackOptions } from './rack.ts'

export interface Outcome {
  readonly violations: readonly string[]
  readonly falseFences: number
  readonly doubleRuns: number
  /** Of a single clean death with a reachable BMC, from the death. */
  readonly latency:
    { readonly confirmedMs: number; readonly fencedMs: number; readonly evacuatingMs: number } | undefined
  readonly trace: readonly string[]
  /** Guests that run at the end. */
  readonly guests: number
}

/** `meddle`: what else goes on in the rack. */
export function runSchedule(
  schedule: Schedule,
  options: RackOptions = {},
  meddle: (rack: SimRack) => void = () => undefined,
): Outcome {
  const rack = new SimRack(schedule, options)
  meddle(rack)
  for (const fault of schedule.faults) rack.engine.at(fault.atMs, () => apply(rack, fault))
  const sample = (): void => {
    rack.oracle.sample()
    rack.engine.after(200, sample)
  }
  sample()
  rack.run()
  const { oracle } = rack
  const sole = schedule.faults.length === 1 ? schedule.faults[0] : undefined
  const latency = sole && isDeath(sole) ? latencyOf(rack, sole) : undefined
  if (sole && isDeath(sole) && !latency) oracle.violated('L1: a truly dead host was not evacuated')
  return {
    violations: oracle.violations,
    falseFences: oracle.falseFences,
    doubleRuns: oracle.doubleRuns,
    latency,
    trace: oracle.trace,
    guests: rack.hosts.reduce((sum, host) => sum + host.guests.size, 0),
  }
}

const isDeath = (fault: Fault): boolean =>
  (fault.kind === 'power cut' && !fault.bmcToo && fault.backMs === null) ||
  (fault.kind === 'hang' && fault.forMs === null)

function latencyOf(rack: SimRack, fault: Fault): Outcome['latency'] {
  if (!('host' in fault)) return undefined
  const name = rack.hosts[fault.host]?.name ?? ''
  const [confirmed, fenced, moved] = [
    rack.oracle.confirmedMs.get(name),
    rack.oracle.fencedMs.get(name),
    rack.cloud.firstMoveMs,
  ]
  const left = [...rack.cloud.vms.values()].some(
    (vm) => vm.host === name || ![...rack.hosts].some((host) => host.guests.has(vm.id)),
  )
  if (confirmed === undefined || fenced === undefined || moved === undefined || left) return undefined
  return { confirmedMs: confirmed - fault.atMs, fencedMs: fenced - fault.atMs, evacuatingMs: moved - fault.atMs }
}

/** Sets something now and sets it back later. */
function during(rack: SimRack, forMs: number, on: () => void, off: () => void): void {
  on()
  rack.engine.after(forMs, off)
}

function cut(rack: SimRack, pairs: readonly (readonly [SimNode, SimNode])[], forMs: number): void {
  const n = rack.nodes.length
  const shift = (by: number) => {
    for (const [a, b] of pairs) rack.cuts[a.index * n + b.index] = (rack.cuts[a.index * n + b.index] ?? 0) + by
  }
  during(
    rack,
    forMs,
    () => shift(1),
    () => shift(-1),
  )
}

const both = (a: SimNode, b: SimNode): [SimNode, SimNode][] => [
  [a, b],
  [b, a],
]

/** Its agent is stopped by a person, who may then switch it off, its guests shut down; and starts it again. */
function leave(rack: SimRack, host: SimNode, fault: { off: boolean; forMs: number }): void {
  if (!host.agentUp || !host.gateOpen) return
  const { engine } = rack
  const boot = host.boots
  host.leaving = true
  rack.beat.register(host)
  engine.after(LEAVE_MS, () => {
    if (host.boots !== boot || !host.runs) return
    host.agentDownMs = Math.max(host.agentDownMs, engine.nowMs + fault.forMs)
    if (fault.off) host.powerOff()
    engine.after(fault.forMs, () => {
      if (host.boots !== boot) return
      host.leaving = false
      if (fault.off) host.powerOn()
      else if (host.runs) host.member = host.newMember()
    })
  })
}
/** Two heartbeats. */
const LEAVE_MS = 1_000

export function apply(rack: SimRack, fault: Fault): void {
  const { engine, consul, cloud } = rack
  rack.oracle.note(`fault: ${JSON.stringify(fault)}`)
  const host = 'host' in fault ? (rack.hosts[fault.host] as SimNode) : (rack.hosts[0] as SimNode)
  const bmc = rack.bmcs[host.index] as SimBmc
  const arbiter = 'arbiter' in fault ? rack.arbiters[fault.arbiter] : undefined
  const others = (node: SimNode) => rack.nodes.filter((other) => other !== node)
  switch (fault.kind) {
    case 'power cut':
      host.powerOff()
      if (fault.bmcToo) bmc.mode = 'dead'
      if (fault.backMs !== null) engine.after(fault.backMs, () => host.powerOn())
      return
    case 'hang':
      return host.stall(fault.forMs)
    case 'agent dies':
      host.agentDownMs = Math.max(host.agentDownMs, engine.nowMs + fault.forMs)
      return engine.after(fault.forMs, () => {
        if (host.runs && host.agentUp) host.member = host.newMember()
      })
    case 'agent blocks':
      return during(
        rack,
        fault.forMs,
        () => (host.lagMs = fault.forMs),
        () => (host.lagMs = 0),
      )
    case 'plane down':
      return during(
        rack,
        fault.forMs,
        () => fault.planes.forEach((plane) => (host.planeDown[plane] = (host.planeDown[plane] ?? 0) + 1)),
        () => fault.planes.forEach((plane) => (host.planeDown[plane] = (host.planeDown[plane] ?? 0) - 1)),
      )
    case 'one way':
      return cut(
        rack,
        others(host).map((other) => (fault.out ? [host, other] : [other, host]) as [SimNode, SimNode]),
        fault.forMs,
      )
    case 'loss':
      return during(
        rack,
        fault.forMs,
        () => (rack.lossShare = fault.share),
        () => (rack.lossShare = 0),
      )
    case 'jitter':
      return during(
        rack,
        fault.forMs,
        () => (rack.jitterMs = fault.ms),
        () => (rack.jitterMs = 0),
      )
    case 'partial':
      return cut(
        rack,
        fault.from.flatMap((index) =>
          rack.nodes[index] && rack.nodes[index] !== host ? both(host, rack.nodes[index]) : [],
        ),
        fault.forMs,
      )
    case 'rack cut': {
      const inside = rack.nodes.filter(({ rack: one }) => one === fault.rack)
      const outside = rack.nodes.filter(({ rack: one }) => one !== fault.rack)
      return cut(
        rack,
        inside.flatMap((a) => outside.flatMap((b) => both(a, b))),
        fault.forMs,
      )
    }
    case 'storage out':
      return during(
        rack,
        fault.forMs,
        () => (rack.storage.out += 1),
        () => (rack.storage.out -= 1),
      )
    case 'storage late':
      return during(
        rack,
        fault.forMs,
        () => (rack.storage.lateMs = fault.ms),
        () => (rack.storage.lateMs = 0),
      )
    case 'arbiter dies':
      return arbiter && rack.killArbiter(arbiter, fault.forMs)
    case 'arbiter stalls':
      return arbiter?.node.stall(fault.forMs)
    case 'arbiter cut':
      return (
        arbiter &&
        cut(
          rack,
          others(arbiter.node).flatMap((other) => both(arbiter.node, other)),
          fault.forMs,
        )
      )
    case 'all arbiters restart':
      return rack.arbiters.forEach((one) => rack.killArbiter(one, fault.forMs))
    case 'no quorum':
      return during(
        rack,
        fault.forMs,
        () => (rack.quorumOut += 1),
        () => (rack.quorumOut -= 1),
      )
    case 'session lost':
      return consul.breakSession()
    case 'writes unknown':
      return during(
        rack,
        fault.forMs,
        () => (consul.unknownShare = fault.share),
        () => (consul.unknownShare = 0),
      )
    case 'bmc':
      // A BMC that lies while its machine really hangs cannot be told from one that tells the truth: only a second
      // source could.
      if (fault.mode === 'lies off' && !host.agentUp) return
      return during(
        rack,
        fault.forMs,
        () => (bmc.mode = fault.mode),
        () => (bmc.mode = bmc.mode === fault.mode ? 'ok' : bmc.mode),
      )
    case 'bmc swapped': {
      const other = rack.bmcs[fault.with] as SimBmc
      const wired = bmc.wired
      bmc.wired = other.wired
      other.wired = wired
      bmc.rewiredMs = other.rewiredMs = engine.nowMs
      return
    }
    case 'hold':
    case 'drain':
      return during(
        rack,
        fault.forMs,
        () =>
          consul.set(holdKey(host.name), {
            kind: fault.kind === 'drain' ? 'drain' : (fault.as ?? 'maintenance'),
            why: 'a test',
            by: 'sim',
            seconds: null,
          }),
        () => consul.set(holdKey(host.name), undefined),
      )
    case 'disarm':
      return during(
        rack,
        fault.forMs,
        () => consul.set(KEYS.policy, { ...rack.policy, armed: false }),
        () => consul.set(KEYS.policy, rack.policy),
      )
    case 'cloud':
      return during(
        rack,
        fault.forMs,
        () => Object.assign(cloud, { lostShare: fault.lost, errorShare: fault.error, noHostShare: fault.noHost }),
        () => Object.assign(cloud, { lostShare: 0, errorShare: 0, noHostShare: 0 }),
      )
    case 'cloud away':
      return during(
        rack,
        fault.forMs,
        () => (rack.cloudAway += 1),
        () => (rack.cloudAway -= 1),
      )
    case 'leave':
      return leave(rack, host, fault)
    case 'operator':
      return consul.set(`${KEYS.requests}${engine.nowMs}`, { kind: fault.asks, host: host.name, by: 'sim' })
    case 'clock jumps':
      rack.wallMs += fault.ms
      return
    case 'replay': {
      const old: Heartbeat = host.member.heartbeat(engine.nowMs)
      return engine.after(6_000, () => rack.arbiters.forEach((one) => rack.beat.receive(one, host, old)))
    }
  }
}

export { CALM_MS }
