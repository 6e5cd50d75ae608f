/** Events of BMCs as metrics: how nodes are watched, how many events came, and how many changes they did not
 *  announce. */
import { Counter, Gauge, type Registry } from 'prom-client'
import type { EventWatch } from './watch.ts'

export function eventMetrics(registry: Registry, watch: Pick<EventWatch, 'counts' | 'totals'>): void {
  const registers = [registry]
  new Gauge({
    name: 'rackward_bmc_event_sources',
    help: 'Redfish BMCs by how their changes become known: stream, push (a subscription), or poll (by the poll alone)',
    labelNames: ['way'],
    registers,
    collect() {
      const counts = watch.counts()
      for (const [way, label] of [
        ['stream', 'stream'],
        ['push', 'push'],
        [null, 'poll'],
      ] as const)
        this.set({ way: label }, counts.get(way) ?? 0)
    },
  })
  new Counter({
    name: 'rackward_bmc_events_total',
    help: 'events of BMCs; those that come together count once',
    labelNames: ['way'],
    registers,
    collect() {
      this.reset()
      this.inc({ way: 'stream' }, watch.totals.stream)
      this.inc({ way: 'push' }, watch.totals.push)
    },
  })
  new Counter({
    name: 'rackward_bmc_events_missed_total',
    help: 'changes of power or health that the poll found, and that no event of the BMC had announced',
    registers,
    collect() {
      this.reset()
      this.inc(watch.totals.missed)
    },
  })
}
