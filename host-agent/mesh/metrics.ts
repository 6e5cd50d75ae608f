/** An arbiter's metrics for Prometheus, read from the core when they are asked for. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Clock } from '../../kit/clock.ts'
import { INCIDENT_STATES } from '../fence/states.ts'
import { INTENT_STATES } from '../evacuate/intents.ts'
import type { ArbiterCore } from './core.ts'

const HOST_STATES = ['healthy', 'degraded', 'suspect', 'held', 'confirmed'] as const

export function meshMetrics(core: ArbiterCore, clock: Clock): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'rackward_' })
  const gauge = (
    name: string,
    help: string,
    read: (set: (value: number, labels?: Record<string, string>) => void) => void,
    labelNames: readonly string[] = [],
  ) =>
    new Gauge({
      name: `rackward_mesh_${name}`,
      help,
      registers: [registry],
      labelNames: [...labelNames],
      collect() {
        this.reset()
        read((value, labels) => (labels ? this.set(labels, value) : this.set(value)))
      },
    })
  gauge('leads', '1 on the arbiter that leads', (set) => set(core.leads(clock.now()) ? 1 : 0))
  gauge('epoch', 'epoch of the last lease of this arbiter', (set) => set(core.lease?.epoch ?? 0))
  gauge('lease_left_seconds', 'how long the lease surely lasts', (set) => set(Math.max(0, core.leaseLeftMs(clock.now()) / 1000)))
  gauge('armed', '1 when hosts may be fenced', (set) => set(core.shelf.policy.value.armed ? 1 : 0))
  gauge(
    'hosts',
    'hosts by verdict, as the leader sees them',
    (set) =>
      count(
        HOST_STATES,
        [...core.verdicts.values()].map(({ state }) => state),
        set,
      ),
    ['state'],
  )
  gauge(
    'incidents',
    'incidents in the store by state',
    (set) =>
      count(
        INCIDENT_STATES,
        [...core.shelf.incidents.values()].map(({ value }) => value.state),
        set,
      ),
    ['state'],
  )
  gauge(
    'instances',
    'instances of incidents by state',
    (set) =>
      count(
        INTENT_STATES,
        [...core.shelf.intents.values()].map(({ value }) => value.state),
        set,
      ),
    ['state'],
  )
  gauge('unprotected_instances', 'instances that would not be moved', (set) =>
    set(
      Object.values(core.survey?.instances ?? {})
        .flat()
        .filter(({ unprotected }) => unprotected !== null).length,
    ),
  )
  gauge(
    'heartbeat_age_seconds',
    'since the newest heartbeat of each node',
    (set) => {
      for (const [host, age] of Object.entries(core.book.heard(clock.now()))) set(age / 1000, { node: host })
    },
    ['node'],
  )
  return registry
}

function count(all: readonly string[], seen: readonly string[], set: (value: number, labels: Record<string, string>) => void): void {
  for (const state of all) set(seen.filter((one) => one === state).length, { state })
}
