/** Config -> agent: joins the mesh, shows that it lives, keeps its gate; on an arbiter, judges and acts. Puts the parts together; what is done about the guests is
 *  decided in guard/guest-control.ts. */
import { chmod, mkdir, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { monotonicClock, type Clock } from '../kit/clock.ts'
import { openConsul, type Consul } from '../kit/consul.ts'
import { Lifecycle } from '../kit/lifecycle.ts'
import type { Log } from '../kit/log.ts'
import { systemRandom } from '../kit/random.ts'
import { run as systemRun, type Run } from '../kit/run.ts'
import { startArbiter, type RunningArbiter } from './arbiter.ts'
import type { AgentConfig } from './config.ts'
import { GuestControl, type GuestEvent } from './guard/guest-control.ts'
import { guestPerformer } from './guard/perform.ts'
import { isStrained } from './guard/pressure.ts'
import { Gate } from './guard/gate.ts'
import { superviseConsul } from './setup/consul-agent.ts'
import { loadIdentity } from './protocol/keys.ts'
import { KEYS, MemberRecord, parsed } from './protocol/records.ts'
import { memberOf, planesOf, register, systemUuidOf } from './cluster/register.ts'
import { readAll } from './adapters/consul-environment.ts'
import { joinMesh } from './setup/init.ts'
import { startStation, type StationLink } from './probe/prober-thread.ts'
import { TickWriter } from './probe/storage-heartbeat.ts'
import type { Snapshot } from './cluster/store.ts'
import { guestsOf } from './parts.ts'
import type { SelfReport } from './protocol/heartbeat.ts'
import { LIMITS } from './protocol/limits.ts'

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

const SELF_MS = 500
const RETRY_MS = 1_000
const WATCH_MS = 30_000
/** Two heartbeats. */
const LEAVE_MS = 2 * LIMITS.heartbeatMs
/** For the store to take that it leaves. */
const TELL_MS = 3_000

export async function startAgent(config: AgentConfig, parts: AgentParts): Promise<Agent> {
  const life = new Lifecycle()
  const { log, clock = monotonicClock, run = systemRun } = parts
  await mkdir(config.data, { recursive: true, mode: 0o700 })
  await chmod(config.data, 0o700)
  const identity = await loadIdentity(join(config.data, 'mesh.key'), config.name)
  const bootId = (await readFile(config.bootIdFile, 'utf8')).trim()
  const gate = new Gate(config.role === 'host' ? (config.gate?.file ?? null) : null, bootId)
  await gate.look()
  const guests = guestsOf(config, { run, log })
  const control = new GuestControl({ gate: gate.now, isHost: config.role === 'host' })
  await joinByBundle(config, { run, log })
  const consul = await life.add(
    'consul client',
    () => openConsul(config.consul),
    (client) => client.close(),
  )
  if (config.consul.run) {
    const { binary, configDirectory } = config.consul.run
    const answers = () =>
      consul.call('GET', '/v1/status/leader').then(
        () => true,
        () => false,
      )
    await life.add(
      'consul',
      () => superviseConsul({ binary, configDirectory, answers, clock, log }),
      (running) => running.stop(),
    )
  }

  const state: { self: SelfReport; arbiter: RunningArbiter | undefined; seen: Snapshot | undefined } = {
    self: firstReport(config, gate),
    arbiter: undefined,
    seen: undefined,
  }
  const station = await life.add(
    'station',
    () =>
      startStation(
        {
          name: config.name,
          pem: identity.pem(),
          role: config.role,
          bootId,
          planes: planesOf(config),
          watchdog: config.watchdog
            ? { device: config.watchdog.device, timeoutMs: config.watchdog.timeoutSeconds * 1000 }
            : null,
          self: state.self,
        },
        {
          onHeartbeat: (heartbeat) => state.arbiter?.onHeartbeat(heartbeat),
          onOrder: (order) => happened({ type: 'ordered', order }),
          onTrouble: (says) => log.error(says),
          onEnd: parts.onEnd,
        },
      ),
    (link) => link.stop(),
  )
  const writer =
    config.storage && config.role === 'host'
      ? await life.add(
          'tick',
          () => startTicks(config, { clock, station, bootId }),
          (ticks) => ticks.stop(),
        )
      : undefined
  const known = memberOf(config, identity.publicKey, await systemUuidOf(config))
  const member = (): MemberRecord => ({
    ...known,
    boot: { id: bootId, watchdogMs: state.self.watchdogMs, leaving: state.self.state === 'leaving' },
  })
  const abort = await life.add(
    'loops',
    () => new AbortController(),
    (one) => one.abort(new Error('the agent stops')),
  )
  if (config.role === 'arbiter') {
    state.arbiter = await life.add(
      'arbiter',
      () => startArbiter(config, { consul, station, clock, log, run, identity }),
      (arbiter) => arbiter.stop(),
    )
  }
  const showSelf = () => {
    const { gate: gateNow, guests: guestsNow, consents } = control
    state.self = {
      ...state.self,
      state: state.self.state === 'leaving' ? 'leaving' : gateNow === 'closed' ? 'quarantined' : 'member',
      gate: gateNow,
      guests: guestsNow,
      consents,
      storageLost: writer?.lost ?? false,
    }
    station.setSelf(state.self)
  }
  const perform = guestPerformer({ gate, guests, log })
  const happened = (event: GuestEvent) => {
    for (const act of control.on(event, clock.now())) void perform(act).then(happened)
    showSelf()
  }
  const report = async () => {
    state.self = { ...state.self, strained: await isStrained() }
    happened({ type: 'tick', storageLost: writer?.lost ?? false })
  }

  void loop({ signal: abort.signal, clock, everyMs: SELF_MS }, report)
  void watchStore({ consul, clock, log, signal: abort.signal }, (snapshot) => {
    const members = snapshot.entries
      .filter(({ key }) => key.startsWith(KEYS.members))
      .flatMap(({ value }) => parsed(MemberRecord, value) ?? [])
    station.setMembers(members)
    state.arbiter?.onStore(snapshot, members)
    state.seen = snapshot
    void register(consul, member(), snapshot).catch((error: unknown) =>
      log.warn({ err: error }, 'this node is not registered'),
    )
  })
  log.info({ name: config.name, role: config.role, bootId, gate: gate.now }, 'the agent runs')
  const leave = async () => {
    // A planned leave: whoever stops the agent, or shuts the machine down, does not want it fenced for that.
    state.self = { ...state.self, state: 'leaving' }
    station.setSelf(state.self)
    const told =
      state.seen &&
      register(consul, member(), state.seen).catch((error: unknown) =>
        log.warn({ err: error }, 'that this host leaves is not in the store'),
      )
    await Promise.all([clock.sleep(LEAVE_MS), Promise.race([told, clock.sleep(TELL_MS)])])
    await life.stop()
  }
  return { addresses: state.arbiter?.addresses ?? [], stop: config.role === 'host' ? leave : () => life.stop() }
}

/** The first start of a node that was invited, such as one whose config drive holds the bundle: as `rackward mesh join` would. */
async function joinByBundle({ name, consul, planes, data }: AgentConfig, parts: { run: Run; log: Log }): Promise<void> {
  if (consul.run === undefined) return
  const file = consul.bundleFile ?? join(data, 'bundle')
  const bundle = await readFile(file, 'utf8').catch(() => undefined)
  if (bundle === undefined) return
  const address = Object.values(planes)[0]?.address ?? ''
  const directory = dirname(consul.run.configDirectory)
  await joinMesh(
    { bundle, address, directory, name },
    { run: parts.run, random: systemRandom, binary: consul.run.binary },
  )
  await rm(file)
  parts.log.info({ name, address }, 'this node joined the mesh by its invitation')
}

function firstReport(config: AgentConfig, gate: Gate): SelfReport {
  return {
    state: gate.now === 'closed' ? 'quarantined' : 'member',
    lagMs: 0,
    storageLost: false,
    guests: null,
    consents: false,
    gate: config.role === 'host' ? gate.now : 'none',
    watchdogMs: config.watchdog ? config.watchdog.timeoutSeconds * 1000 : null,
  }
}

function startTicks(config: AgentConfig, parts: { clock: Clock; station: StationLink; bootId: string }): TickWriter {
  const writer = new TickWriter({
    directory: config.storage?.directory ?? '',
    host: config.name,
    bootId: parts.bootId,
    clock: parts.clock,
    onRead: (poisoned) => parts.station.onSlot(poisoned),
  })
  writer.start()
  return writer
}

async function loop(
  at: { signal: AbortSignal; clock: Clock; everyMs: number },
  act: () => Promise<void>,
): Promise<void> {
  const { signal, clock, everyMs } = at
  while (!signal.aborted) {
    await act().catch(() => undefined)
    await clock.sleep(everyMs, signal).catch(() => undefined)
  }
}

/** Every change under the prefix, by blocking queries in the default mode: never stale reads, never the agent's own view. */
async function watchStore(
  parts: { consul: Consul; clock: Clock; log: Log; signal: AbortSignal },
  on: (snapshot: Snapshot) => void,
): Promise<void> {
  const { consul, clock, log, signal } = parts
  let index = 0
  let complained = false
  while (!signal.aborted) {
    try {
      const snapshot = await readAll(consul, index > 0 ? { index, waitMs: WATCH_MS, signal } : { signal })
      complained = false
      // An index that goes back means that the servers were restored: begin anew (Consul's documents on blocking queries).
      index = snapshot.index < index ? 0 : snapshot.index
      on(snapshot)
    } catch (error) {
      if (signal.aborted) return
      if (!complained) log.warn({ err: error }, 'the store of the mesh cannot be read')
      complained = true
      index = 0
      await clock.sleep(RETRY_MS, signal).catch(() => undefined)
    }
  }
}
