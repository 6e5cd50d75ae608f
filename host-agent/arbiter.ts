/** Configuration -> a running arbiter: its decisions on the real environment, the leadership, the replies to
 *  heartbeats, the API. Starts its parts; decides nothing. */
import type { Consul } from '../kit/consul.ts'
import { Fault } from '../kit/fault.ts'
import { Listeners } from '../kit/listeners.ts'
import { Alerts } from './adapters/alerts.ts'
import { sealedSource } from './adapters/bmc.ts'
import { consulEnvironment } from './adapters/consul-environment.ts'
import { FenceDevices } from './adapters/fence-agents.ts'
import { PillSlots } from './adapters/poison-pill.ts'
import { startMeshApi } from './api/server.ts'
import { replyTo } from './arbiter/heartbeat-reply.ts'
import { statementOf } from './arbiter/leases.ts'
import { Arbiter } from './arbiter/loop.ts'
import { LeaseKeeper, type Sessions } from './cluster/leadership.ts'
import type { Snapshot } from './cluster/store.ts'
import type { ProberLink } from './probe/prober-thread.ts'
import { StorageHeartbeatReader } from './probe/storage-heartbeat.ts'
import type { Heartbeat } from './protocol/heartbeat.ts'
import type { Identity } from './protocol/keys.ts'
import type { MemberRecord } from './protocol/records.ts'
import { driverOf, powerOf } from './start/adapters.ts'
import { every, type Context } from './start/context.ts'
import { startCrashDumps, startGossipWatch, startStorageReader } from './start/evidence-feeds.ts'
import { startRemediation } from './start/remediation.ts'
import { StoreView } from './start/store-view.ts'

export interface RunningArbiter {
  readonly addresses: readonly string[]
  readonly onHeartbeat: (heartbeat: Heartbeat) => void
  readonly onStore: (snapshot: Snapshot, members: ReadonlyMap<string, MemberRecord>) => void
}

interface Parts {
  readonly consul: Consul
  readonly prober: ProberLink
  readonly identity: Identity
}

const TICK_MS = 100
/** From news to the tick that decides what follows. */
const NEWS_MS = 10
const HEARTBEAT_MS = 250
const RELOAD_MS = 10_000

/** It stops with the `life` of the context. */
export async function startArbiter(context: Context, parts: Parts): Promise<RunningArbiter> {
  const { life, config, clock, log } = context
  const { consul, prober } = parts
  const view = new StoreView()
  const alerts = await life.add(
    'alerts',
    () => Alerts.open(config, log),
    (one) => one.stop(),
  )
  const { arbiter, sessions } = await openArbiter(context, parts, { view, alerts })
  await startLeadership(context, arbiter, sessions)

  const reader = config.storage && new StorageHeartbeatReader({ directory: config.storage.directory, clock })
  await every(context, { name: 'heartbeats', everyMs: HEARTBEAT_MS }, () =>
    prober.sendHeartbeat({ ...statementOf(arbiter, clock.now()), ...(reader ? { ticks: reader.views() } : {}) }),
  )
  if (reader) await startStorageReader(context, arbiter, reader)
  await startGossipWatch(context, arbiter, consul)
  await startCrashDumps(context, arbiter, view)
  await startRemediation(context, arbiter)

  const api = config.api?.url ?? null
  const listening = config.api
    ? await life.add(
        'api',
        () => startMeshApi(config, { core: arbiter, api, consul, clock, log, pages: alerts.recent }),
        (one) => one.stop(),
      )
    : { addresses: [] }
  return {
    addresses: listening.addresses,
    onHeartbeat(heartbeat) {
      const nowMs = clock.now()
      if (!arbiter.onHeartbeat(heartbeat, nowMs) || view.members.get(heartbeat.from)?.role !== 'host') return
      prober.sendReply(heartbeat.from, replyTo(arbiter, heartbeat, nowMs))
    },
    onStore(snapshot, members) {
      view.update(snapshot, members)
      arbiter.onStore(snapshot, clock.now())
    },
  }
}

async function openArbiter(
  context: Context,
  { consul, identity }: Parts,
  { view, alerts }: { view: StoreView; alerts: Alerts },
): Promise<{ arbiter: Arbiter; sessions: Sessions }> {
  const { config, clock, log, run } = context
  const driver = await driverOf(config, { run })
  const sealed = sealedSource({
    name: config.name,
    sealed: (host) => view.sealedBmcs.get(host)?.sealed[config.name],
    open: (box, about) => identity.openBox(box, about),
  })
  const power = await powerOf(config, { run, clock, sealed })
  const devices = await openDevices(context)
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
    nodeOf: (host) => view.members.get(host)?.node ?? null,
    pill: (ask) =>
      slots ? slots.ask(ask) : Promise.reject(new Fault('config.invalid', 'storage: this arbiter has none')),
    onAlert: alerts.send,
  })

  const news = new Listeners<void>()
  const { name } = config
  const { graceMs, atOnce } = driver
  const nowMs = clock.now()
  const arbiter = new Arbiter({ name, environment, nowMs, graceMs, atOnce, onNews: soon(context, news.emit) })
  news.add(() => arbiter.tick(clock.now()))
  return { arbiter, sessions }
}

/** The leader's lock, and a tick of the arbiter: it judges, and acts where it leads. */
async function startLeadership(context: Context, arbiter: Arbiter, sessions: Sessions): Promise<void> {
  const { life, clock, log } = context
  // One that never gets an answer is counted from its start.
  arbiter.onStoreOk(clock.now())
  const keeper = new LeaseKeeper({
    sessions,
    now: () => clock.now(),
    onLease: (lease) => {
      if (lease?.epoch !== arbiter.lease?.epoch)
        log.info({ epoch: lease?.epoch ?? null }, lease ? 'this arbiter leads' : 'this arbiter no longer leads')
      arbiter.onLease(lease, clock.now())
    },
    onStoreOk: () => arbiter.onStoreOk(clock.now()),
  })
  await life.add(
    'leadership',
    () => keeper,
    (one) => new Promise<void>((resolve) => one.stop(resolve)),
  )
  await every(context, { name: 'leadership and verdicts', everyMs: TICK_MS }, () => {
    keeper.tick()
    arbiter.tick(clock.now())
  })
}

/** Fence agents of the configuration, read anew now and then. */
async function openDevices(context: Context): Promise<FenceDevices> {
  const devices = new FenceDevices(context.config.fenceAgentsFile, context.run)
  await devices.load()
  await every(context, { name: 'fenceAgentsFile (the devices read before are kept)', everyMs: RELOAD_MS }, () =>
    devices.load(),
  )
  return devices
}

/** Runs it once, a little later, however often it is asked for meanwhile. */
function soon({ clock, log }: Context, work: () => void): () => void {
  let isDue = false
  return () => {
    if (isDue) return
    isDue = true
    clock.after(NEWS_MS, () => {
      isDue = false
      try {
        work()
      } catch (error) {
        log.error({ err: error }, 'a tick failed')
      }
    })
  }
}
