/** Sensors of servers as metrics, as many as the limits let through: names come from BMCs, which must not grow the
 *  metrics without end. */
import { Gauge, type Registry } from 'prom-client'
import type { SensorSync } from './sensor-sync.ts'

const HEALTH = { OK: 0, Warning: 1, Critical: 2 } as const

export function sensorMetrics(registry: Registry, sync: Pick<SensorSync, 'all'>): void {
  const registers = [registry]
  const labelNames = ['node', 'kind', 'sensor', 'unit']
  new Gauge({
    name: 'rackward_sensor_reading',
    help: 'what a sensor of a server showed last, by node, kind, name and unit (limits.bmc.sensors and sensorSeries)',
    labelNames,
    registers,
    collect() {
      this.reset()
      for (const { node, sensors } of sync.all())
        for (const { kind, name, unit, reading } of sensors) this.set({ node, kind, sensor: name, unit }, reading)
    },
  })
  new Gauge({
    name: 'rackward_sensor_health',
    help: 'health of a sensor: 0 is OK, 1 Warning, 2 Critical; no series where the BMC says none',
    labelNames: ['node', 'kind', 'sensor'],
    registers,
    collect() {
      this.reset()
      for (const { node, sensors } of sync.all())
        for (const { kind, name, health } of sensors)
          if (health !== null) this.set({ node, kind, sensor: name }, HEALTH[health])
    },
  })
}
