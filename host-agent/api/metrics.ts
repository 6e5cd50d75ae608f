/** An arbiter's metrics for Prometheus, read from the core when they are asked for. */
import { collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Clock } from '../../kit/clock.ts'
import { INCIDENT_STATES } from '../protocol/records.ts'
import { INTENT_STATES } from '../protocol/records.ts'
import type { ArbiterState } from '../arbiter/state.ts'

const HOST_STATES = ['healthy', 'degraded', 'suspect', 'held', 'confirmed'] as const

export function meshMetrics(core: ArbiterState, clock: Clock): Registry {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry, prefix: 'rackward_' })
  type Set = (value: number, labels?: Record<string, string>) => void
  const gauge = (name: string, about: { help: string; labels?: readonly string[] }, read: (set: Set) => void) =>
    new Gauge({
      name: `rackward_mesh_${name}`,
      help: about.help,
      registers: [registry],
      labelNames: [...(about.labels ?? [])],
      collect() {
        this.reset()
        read((value, labels) => (labels ? this.set(labels, value) : this.set(value)))
      },
    })
  gauge('leads', { help: '1 on the arbiter that leads' }, (set) => set(core.leads(clock.now()) ? 1 : 0))
  gauge('epoch', { help: 'epoch of the last lease of this arbiter' }, (set) => set(core.lease?.epoch ?? 0))
  gauge('lease_left_seconds', { help: 'how long the lease surely lasts' }, (set) =>
    set(Math.max(0, core.leaseLeftMs(clock.now()) / 1000)),
  )
  gauge('armed', { help: '1 when hosts may be fenced' }, (set) => set(core.cluster.policy.value.armed ? 1 : 0))
  const by = { labels: ['state'] }
  gauge('hosts', { help: 'hosts by verdict, as the leader sees them', ...by }, (set) =>
    count(HOST_STATES, [...core.verdicts.values()], set),
  )
  gauge('incidents', { help: 'incidents in the store by state', ...by }, (set) =>
    count(INCIDENT_STATES, valuesOf(core.cluster.incidents), set),
  )
  gauge('instances', { help: 'instances of incidents by state', ...by }, (set) =>
    count(INTENT_STATES, valuesOf(core.cluster.intents), set),
  )
  gauge('unprotected_instances', { help: 'instances that would not be moved' }, (set) => {
    const instances = Object.values(core.memory.inventory.value?.instances ?? {}).flat()
    set(instances.filter(({ unprotected }) => unprotected !== null).length)
  })
  gauge('heartbeat_age_seconds', { help: 'since the newest heartbeat of each node', labels: ['node'] }, (set) => {
    for (const [node, age] of Object.entries(core.evidence.heard(clock.now()))) set(age / 1000, { node })
  })
  return registry
}

const valuesOf = <T>(map: ReadonlyMap<string, { readonly value: T }>): T[] =>
  [...map.values()].map(({ value }) => value)

function count(
  all: readonly string[],
  seen: readonly { readonly state: string }[],
  set: (value: number, labels: Record<string, string>) => void,
): void {
  for (const state of all) set(seen.filter((one) => one.state === state).length, { state })
}
