/** An arbiter at work: its core on the real world, the leadership, the answers to heartbeats, the API. */
import type { Clock } from '../kit/clock.ts'
import type { Consul } from '../kit/consul.ts'
import { Fault } from '../kit/fault.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Log } from '../kit/log.ts'
import type { Run } from '../kit/run.ts'
import type { AgentConfig } from './config.ts'
import { Alerts } from './adapters/alerts.ts'
import { sealedSource } from './adapters/bmc.ts'
import { FenceDevices } from './adapters/fence-agents.ts'
import { startMeshApi } from './api/server.ts'
import { Arbiter } from './arbiter/loop.ts'
import { replyTo } from './arbiter/heartbeat-reply.ts'
import { statementOf } from './arbiter/leases.ts'
import type { Identity } from './protocol/keys.ts'
import { hostAt, listenKdump } from './probe/kdump.ts'
import { LeaseKeeper } from './cluster/leadership.ts'
import { PillSlots } from './adapters/poison-pill.ts'
import { consulEnvironment } from './adapters/consul-environment.ts'
import type { MemberRecord } from './protocol/records.ts'
import type { StationLink } from './probe/prober-thread.ts'
import { TickReader } from './probe/storage-heartbeat.ts'
import type { Snapshot } from './cluster/store.ts'
import { driverOf, powerOf } from './parts.ts'
import type { Heartbeat } from './protocol/heartbeat.ts'

export interface RunningArbiter {
  readonly addresses: readonly string[]
  onHeartbeat(heartbeat: Heartbeat): void
  onStore(snapshot: Snapshot, members: readonly MemberRecord[]): void
  stop(): Promise<void>
}

const TICK_MS = 100
/** From news to the tick that decides what follows. */
const NEWS_MS = 10
const HEARTBEAT_MS = 250
const GOSSIP_MS = 2_000
const READ_TICKS_MS = 500
const RELOAD_MS = 10_000

export async function startArbiter(
  config: AgentConfig,
  parts: { consul: Consul; station: StationLink; clock: Clock; log: Log; run: Run; identity: Identity },
): Promise<RunningArbiter> {
  const life = new Lifecycle()
  const { consul, station, clock, log, run } = parts
  const driver = await driverOf(config, { run })
  // The core is made below, of a world that this is part of; a BMC is asked later than that.
  const sealed = sealedSource({
    name: config.name,
    sealed: (host) => core.cluster.bmcs.get(host)?.value.sealed[config.name],
    open: (box, about) => parts.identity.openBox(box, about),
  })
  const power = await powerOf(config, { run, clock, sealed })
  const devices = new FenceDevices(config.fenceAgentsFile, run)
  await devices.load()
  const alerts = await life.add(
    'alerts',
    () => Alerts.open(config, log),
    (one) => one.stop(),
  )
  let members = new Map<string, MemberRecord>()
  const reader = config.storage ? new TickReader({ directory: config.storage.directory, clock }) : undefined
  const slots = config.storage && new PillSlots(config.storage.directory)
  const { environment, sessions } = consulEnvironment({
    consul,
    clock,
    power,
    devices,
    driver,
    log,
    name: config.name,
    api: config.api?.url ?? null,
    nodeOf: (host) => members.get(host)?.node ?? null,
    pill: (ask) =>
      slots ? slots.ask(ask) : Promise.reject(new Fault('config.invalid', 'storage: this arbiter has none')),
    onAlert: alerts.send,
  })
  const core: Arbiter = new Arbiter({
    name: config.name,
    environment,
    nowMs: clock.now(),
    settleMs: driver.settleMs,
    onNews: soon(clock, () => guarded(log, 'verdicts', () => core.tick(clock.now()))),
  })
  const keeper = new LeaseKeeper({
    sessions,
    now: () => clock.now(),
    onLease: (lease) => {
      if (lease?.epoch !== core.lease?.epoch)
        log.info({ epoch: lease?.epoch ?? null }, lease ? 'this arbiter leads' : 'this arbiter leads no more')
      core.onLease(lease, clock.now())
    },
  })
  const every = (name: string, ms: number, act: () => void) =>
    life.add(
      name,
      () => repeat(clock, ms, () => guarded(log, name, act)),
      (stop) => stop(),
    )
  await every('leadership and verdicts', TICK_MS, () => {
    keeper.tick()
    core.tick(clock.now())
  })
  await every('heartbeats', HEARTBEAT_MS, () => {
    const nowMs = clock.now()
    station.sendHeartbeat({ ...statementOf(core, nowMs), ...(reader ? { ticks: reader.views() } : {}) })
  })
  if (reader)
    await every('storage ticks', READ_TICKS_MS, () => {
      void reader.read(core.cluster.hosts.filter(({ ticks }) => ticks).map(({ name }) => name))
      for (const [host, view] of Object.entries(reader.views())) core.evidence.sawTick(host, view, clock.now())
    })
  await every(
    'fence devices',
    RELOAD_MS,
    () =>
      void devices
        .load()
        .catch((error: unknown) => log.error({ err: error }, 'fenceAgentsFile: what was known before is used')),
  )
  await every(
    'gossip',
    GOSSIP_MS,
    gossipWatch(consul, (host) => core.evidence.sawGossipTurnAlive(host, clock.now())),
  )
  if (config.kdump) {
    const { kdump } = config
    const seen = (address: string) => {
      const host = hostAt(address, members.values())
      if (host) core.evidence.sawCrashDump(host, clock.now())
    }
    await life.add(
      'crash dumps',
      () => listenKdump(kdump, seen),
      (stop) => stop(),
    )
  }
  const api = config.api
    ? await life.add(
        'api',
        () => startMeshApi(config, { core, api: config.api?.url ?? null, consul, clock, log, pages: alerts.recent }),
        (one) => one.stop(),
      )
    : { addresses: [] }
  life
    .add(
      'leadership',
      () => keeper,
      (one) => new Promise<void>((resolve) => one.stop(resolve)),
    )
    .catch(() => undefined)
  return {
    addresses: api.addresses,
    onHeartbeat(heartbeat) {
      const nowMs = clock.now()
      if (!core.onHeartbeat(heartbeat, nowMs) || members.get(heartbeat.from)?.role !== 'host') return
      station.sendAck(heartbeat.from, replyTo(core, heartbeat, nowMs))
    },
    onStore(snapshot, known) {
      members = new Map(known.map((member) => [member.name, member]))
      core.onStore(snapshot, clock.now())
    },
    stop: () => life.stop(),
  }
}

/** A timer that goes on when one round fails. */
function repeat(clock: Clock, everyMs: number, act: () => void): () => void {
  let stopped = false
  let cancel: () => void = () => undefined
  const round = () => {
    if (stopped) return
    act()
    cancel = clock.after(everyMs, round)
  }
  round()
  return () => {
    stopped = true
    cancel()
  }
}

/** Runs it once, a little later, however often it is asked for meanwhile. */
function soon(clock: Clock, act: () => void): () => void {
  let isDue = false
  return () => {
    if (isDue) return
    isDue = true
    clock.after(NEWS_MS, () => {
      isDue = false
      act()
    })
  }
}

function guarded(log: Log, name: string, act: () => void): void {
  try {
    act()
  } catch (error) {
    log.error({ err: error, part: name }, 'a round failed')
  }
}

/** Tells when a node that Consul held for failed is back. */
function gossipWatch(consul: Consul, onBack: (host: string) => void): () => void {
  let before = new Map<string, string>()
  let asking = false
  return () => {
    if (asking) return
    asking = true
    consul
      .gossip()
      .then((now) => {
        for (const [node, status] of now) if (status === 'passing' && before.get(node) === 'critical') onBack(node)
        before = now
      })
      .catch(() => undefined)
      .finally(() => (asking = false))
  }
}
