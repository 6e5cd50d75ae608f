/** The conductor's metrics for Prometheus, and whether it is ready. States are read when they are asked for; what
 *  happens is counted from the journal, so that nothing needs to know of this file. */
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client'
import type { ImageStore } from '../images/store.ts'
import { isFault } from '../kit/fault.ts'
import { bootMetrics, type OnBootTotals } from './boot/metrics.ts'
import { doubtMetrics, roomMetrics } from './boot/rooms/metrics.ts'
import type { Rooms } from './boot/rooms/rooms.ts'
import type { DoubtKeeper } from './doubt/keeper.ts'
import type { ImageMoved } from './api/agent-wire.ts'
import type { EventParts } from './events/parts.ts'
import { STATES } from './node/workflow/states.ts'
import type { EventRecord, Store } from './store/port.ts'

/** What a BMC command was and how it ended, as the queue of the BMC reports it. */
export interface BmcCommandEnd {
  readonly priority: string
  readonly seconds: number
  /** Fault code, or "ok". */
  readonly end: string
}

export interface ConductorMetrics {
  readonly registry: Registry
  readonly onBmc: (command: BmcCommandEnd) => void
  /** A limit refused something; its key below `limits`. */
  readonly onLimit: (limit: string) => void
  readonly onBootTotals: OnBootTotals
  readonly onRequest: (request: { method: string; status: number; seconds: number }) => void
  stop(): void
}

/** Seconds: from a look at a BMC to a night of disk erasing. */
const PHASE_BUCKETS = [0.1, 1, 5, 15, 30, 60, 120, 300, 600, 1800, 3600, 14_400, 43_200]
const BMC_BUCKETS = [0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30, 60]
const REQUEST_BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 2, 10]

export async function conductorMetrics(
  store: Store,
  parts: {
    events: Pick<EventParts, 'hub' | 'queue'>
    bootDown: () => boolean | undefined
    agents: () => number
    /** Absent: none are configured. */
    rooms?: Pick<Rooms, 'states'> | undefined
    doubt?: Pick<DoubtKeeper, 'now' | 'isOpen'>
  },
): Promise<ConductorMetrics> {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'rackward_' })
  const registers = [registry]
  gauges(store, parts, registers)
  if (parts.rooms) roomMetrics(registers, parts.rooms)
  if (parts.doubt) doubtMetrics(registers, parts.doubt)
  const bmcSeconds = new Histogram({
    name: 'rackward_bmc_act_seconds',
    help: 'time of a command to a BMC, its wait in the queue included, by priority and end (ok, or a fault)',
    labelNames: ['priority', 'end'],
    buckets: BMC_BUCKETS,
    registers,
  })
  const requestSeconds = new Histogram({
    name: 'rackward_api_request_seconds',
    help: 'time of a request of the API, by method and status',
    labelNames: ['method', 'status'],
    buckets: REQUEST_BUCKETS,
    registers,
  })
  const limitsReached = new Counter({
    name: 'rackward_limit_reached_total',
    help: 'what was refused because a limit was reached, by its key below limits in the configuration',
    labelNames: ['limit'],
    registers,
  })
  new Counter({
    name: 'rackward_boot_events_dropped_total',
    help: 'events of the boot services that came faster than they could be written',
    registers,
    collect() {
      this.reset()
      this.inc(parts.events.queue.dropped)
    },
  })
  const count = journalCounters(registers)
  const stop = parts.events.hub.follow((batch) => batch.events.forEach(count))
  return {
    registry,
    onBmc: ({ priority, seconds, end }) => bmcSeconds.observe({ priority, end }, seconds),
    onLimit: (limit) => limitsReached.inc({ limit }),
    onBootTotals: bootMetrics(registers, limitsReached),
    onRequest: ({ method, status, seconds }) => requestSeconds.observe({ method, status }, seconds),
    stop,
  }
}

function gauges(
  store: Store,
  parts: { bootDown: () => boolean | undefined; agents: () => number },
  registers: Registry[],
): void {
  new Gauge({
    name: 'rackward_nodes',
    help: 'nodes by provision state, power and whether they are in maintenance',
    labelNames: ['provision_state', 'power_state', 'maintenance'],
    registers,
    async collect() {
      const groups = new Map<string, { labels: Record<string, string>; count: number }>()
      // A state that nobody is in is told as well: an alert on it must not be silent for want of a series.
      for (const state of Object.keys(STATES))
        groups.set(state, {
          labels: { provision_state: state, power_state: 'power off', maintenance: 'false' },
          count: 0,
        })
      for (const { provisionState, powerState, maintenance, count } of await store.nodeCounts()) {
        const labels = {
          provision_state: provisionState,
          power_state: powerState ?? 'unknown',
          maintenance: String(maintenance),
        }
        groups.set(labels.power_state === 'power off' && !maintenance ? provisionState : JSON.stringify(labels), {
          labels,
          count,
        })
      }
      this.reset()
      for (const { labels, count } of groups.values()) this.set(labels, count)
    },
  })
  new Gauge({
    name: 'rackward_agents',
    help: 'deploy agents that were heard within the last minute',
    registers,
    collect() {
      this.set(parts.agents())
    },
  })
  new Gauge({
    name: 'rackward_boot_services_up',
    help: '1 when DHCP, TFTP and HTTP boot run; no series when they are not configured',
    registers,
    collect() {
      const down = parts.bootDown()
      if (down !== undefined) this.set(down ? 0 : 1)
    },
  })
}

function journalCounters(registers: Registry[]): (event: EventRecord) => void {
  const state = new Histogram({
    name: 'rackward_node_state_seconds',
    help: 'how long nodes were in a state when they left it, by model',
    labelNames: ['model', 'state'],
    buckets: PHASE_BUCKETS,
    registers,
  })
  const arrows = new Counter({
    name: 'rackward_node_transitions_total',
    help: 'arrows that nodes followed',
    labelNames: ['from', 'to'],
    registers,
  })
  const errors = new Counter({
    name: 'rackward_node_errors_total',
    help: 'errors of nodes by fault',
    labelNames: ['fault'],
    registers,
  })
  const slow = new Counter({
    name: 'rackward_node_slow_total',
    help: 'states that became unusually long for the model, firmware and image of the node, told once each',
    labelNames: ['model', 'state'],
    registers,
  })
  const boots = new Counter({
    name: 'rackward_boot_steps_total',
    help: 'milestones of network boots: DHCP, TFTP, HTTP',
    labelNames: ['step'],
    registers,
  })
  const unknown = new Counter({
    name: 'rackward_dhcp_unknown_total',
    help: 'DHCP requests of MACs that nobody enrolled, once a minute each',
    registers,
  })
  const warnings = new Counter({
    name: 'rackward_boot_troubles_total',
    help: 'warnings of the boot services',
    registers,
  })
  const imageBytes = new Counter({
    name: 'rackward_image_bytes_total',
    help: 'bytes of images that nodes fetched, as they are stored, by source: the image server, or other nodes',
    labelNames: ['source'],
    registers,
  })
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : 'unknown')
  return ({ kind, detail }) => {
    switch (kind) {
      case 'state':
        arrows.inc({ from: text(detail.from), to: text(detail.to) })
        if (typeof detail.tookMs === 'number')
          state.observe({ model: text(detail.model), state: text(detail.from) }, detail.tookMs / 1000)
        return
      case 'slow':
        return slow.inc({ model: text(detail.model), state: text(detail.state) })
      case 'error':
        return errors.inc({ fault: text(detail.fault) })
      case 'seen':
        return boots.inc({ step: text(detail.step) })
      case 'unknown-mac':
        return unknown.inc()
      case 'trouble':
        return warnings.inc()
      case 'agent-done':
        return countImage(detail.moved as ImageMoved | undefined, imageBytes)
    }
  }
}

function countImage(moved: ImageMoved | undefined, bytes: Counter<'source'>): void {
  if (!moved) return
  const fromNeighbours = Math.min(moved.shared?.fromNeighbours ?? 0, moved.fetchedBytes)
  bytes.inc({ source: 'neighbours' }, fromNeighbours)
  bytes.inc({ source: 'server' }, moved.fetchedBytes - fromNeighbours)
}

export const faultLabel = (error: unknown): string => (isFault(error) ? error.code : 'unknown')

/** What keeps the conductor from its work, as text; none: it is ready. */
export async function notReadyReasons(store: Store, bootDown: () => boolean | undefined): Promise<string[]> {
  const reasons: string[] = []
  await store.conductors().catch((error: Error) => reasons.push(`the store cannot be read: ${error.message}`))
  const unwritten = await store.writeFailure().catch((error: Error) => error.message)
  if (unwritten !== undefined) reasons.push(`the store cannot be written: ${unwritten}`)
  if (bootDown() === true) reasons.push('the boot services do not answer: no node can be booted')
  return reasons
}

/** More are not named; the log has them all. */
const DAMAGED_SHOWN = 100

/** Records and images that cannot be read, such as "node UUID" and "image ID". */
export const damagedNames = async (store: Store, images: Pick<ImageStore, 'broken'>): Promise<string[]> =>
  [
    ...store.damaged().map(({ kind, uuid }) => `${kind} ${uuid}`),
    ...(await images.broken()).map(({ id }) => `image ${id}`),
  ].slice(0, DAMAGED_SHOWN)
