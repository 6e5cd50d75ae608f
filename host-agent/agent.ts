/** Configuration -> a running agent: joins the mesh, shows that it lives, guards its guests; on an arbiter, judges and
 *  acts. Starts its parts; decides nothing. */
import { monotonicClock, type Clock } from '../kit/clock.ts'
import type { Consul } from '../kit/consul.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import { Listeners } from '../kit/listeners.ts'
import type { Log } from '../kit/log.ts'
import { run as systemRun, type Run } from '../kit/run.ts'
import { startArbiter } from './arbiter.ts'
import { memberOf, planesOf, register, systemUuidOf } from './cluster/register.ts'
import { Records } from './cluster/records.ts'
import type { Snapshot } from './cluster/store.ts'
import type { AgentConfig } from './config.ts'
import { startProber, type ProberLink } from './probe/prober-thread.ts'
import { StorageHeartbeat } from './probe/storage-heartbeat.ts'
import type { Heartbeat, SelfReport } from './protocol/heartbeat.ts'
import { LIMITS } from './protocol/limits.ts'
import { KEYS, parseMember, type MemberRecord } from './protocol/records.ts'
import type { Context } from './start/context.ts'
import { firstReport, openGate, startGuard, type Guard } from './start/guard.ts'
import { joinByBundle, openNode, startConsul, type Node } from './start/node.ts'
import { startStoreWatch } from './start/store-watch.ts'

export interface AgentParts {
  readonly log: Log
  readonly clock?: Clock
  readonly run?: Run
  /** The agent cannot go on. */
  readonly onEnd: (why: string) => void
}

export interface Agent {
  /** Where an arbiter's API listens. */
  readonly addresses: readonly string[]
  stop(): Promise<void>
}

type GuestOrder = 'open gate' | 'stop guests'

/** Two heartbeats. */
const LEAVE_MS = 2 * LIMITS.heartbeatMs
/** For the store to take that it leaves. */
const TELL_MS = 3_000

/** When a part cannot start, those that run are stopped. */
export async function startAgent(config: AgentConfig, parts: AgentParts): Promise<Agent> {
  const { log, clock = monotonicClock, run = systemRun } = parts
  const life = new Lifecycle()
  try {
    return await start({ life, config, clock, log, run }, parts.onEnd)
  } catch (error) {
    await life.stop()
    throw error
  }
}

async function start(context: Context, onEnd: (why: string) => void): Promise<Agent> {
  const { life, config, log } = context
  const node = await openNode(context)
  const gate = await openGate(context, node.bootId)
  await joinByBundle(context)
  const consul = await startConsul(context)

  const heartbeats = new Listeners<Heartbeat>()
  const orders = new Listeners<GuestOrder>()
  const first = firstReport(context, gate)
  const prober = await startProbing(context, { node, first, heartbeats, orders, onEnd })
  const storage = await startStorageHeartbeat(context, node, prober)
  const guard = await startGuard(context, gate, { first, storage, onReport: prober.setSelf })
  orders.add(guard.onOrder)

  const arbiter =
    config.role === 'arbiter' ? await startArbiter(context, { consul, prober, identity: node.identity }) : undefined
  if (arbiter) heartbeats.add(arbiter.onHeartbeat)
  const registration = await openRegistration(context, { consul, node, guard })
  const members = new Records(KEYS.members, parseMember)
  await startStoreWatch(context, consul, (snapshot) => {
    if (members.take(snapshot)) prober.setMembers([...members.byName.values()])
    arbiter?.onStore(snapshot, members.byName)
    void registration.write(snapshot)
  })

  log.info({ name: config.name, role: config.role, bootId: node.bootId, gate: gate.now }, 'the agent runs')
  const leave = async () => {
    guard.leave()
    await registration.writeLeave()
    await life.stop()
  }
  return { addresses: arbiter?.addresses ?? [], stop: config.role === 'host' ? leave : () => life.stop() }
}

interface Probing {
  readonly node: Node
  readonly first: SelfReport
  readonly heartbeats: Listeners<Heartbeat>
  readonly orders: Listeners<GuestOrder>
  readonly onEnd: (why: string) => void
}

function startProbing({ life, config, log }: Context, parts: Probing): Promise<ProberLink> {
  const { node, first, heartbeats, orders, onEnd } = parts
  const { watchdog } = config
  const setup = {
    name: config.name,
    pem: node.identity.pem(),
    role: config.role,
    bootId: node.bootId,
    planes: planesOf(config),
    watchdog: watchdog ? { device: watchdog.device, timeoutMs: watchdog.timeoutSeconds * 1000 } : null,
    self: first,
  }
  const onFailure = (says: string) => log.error(says)
  return life.add(
    'prober',
    () => startProber(setup, { onHeartbeat: heartbeats.emit, onOrder: orders.emit, onFailure, onEnd }),
    (link) => link.stop(),
  )
}

async function startStorageHeartbeat(
  { life, config, clock }: Context,
  { bootId }: Node,
  prober: ProberLink,
): Promise<StorageHeartbeat | undefined> {
  const { storage, name: host } = config
  if (!storage || config.role !== 'host') return undefined
  const { directory } = storage
  const heartbeat = new StorageHeartbeat({ directory, host, bootId, clock, onRead: prober.onSlot })
  return life.add(
    'storage heartbeat',
    () => {
      heartbeat.start()
      return heartbeat
    },
    (one) => one.stop(),
  )
}

interface Registration {
  /** Writes what this node is, where the store says something else. */
  write(snapshot: Snapshot): Promise<void>
  /** A planned leave: who stops the agent, or shuts the machine down, does not want it fenced for that. */
  writeLeave(): Promise<void>
}

async function openRegistration(
  { config, clock, log }: Context,
  { consul, node, guard }: { consul: Consul; node: Node; guard: Guard },
): Promise<Registration> {
  const known = memberOf(config, node.identity.publicKey, await systemUuidOf(config))
  let seen: Snapshot | undefined
  const member = (): MemberRecord => {
    const { state, watchdogMs } = guard.report
    return { ...known, boot: { id: node.bootId, watchdogMs, leaving: state === 'leaving' } }
  }
  const write = (snapshot: Snapshot) => {
    seen = snapshot
    return register(consul, member(), snapshot).catch((error: unknown) =>
      log.warn({ err: error }, 'this node is not registered'),
    )
  }
  const writeLeave = async () => {
    const written = seen && write(seen)
    await Promise.all([clock.sleep(LEAVE_MS), Promise.race([written, clock.sleep(TELL_MS)])])
  }
  return { write, writeLeave }
}
