/** Readings of the chassis of a system: Thermal and Power, which nearly all BMCs have; where they are absent, the newer
 *  Sensors. */
import type { SensorKind, Sensors, SensorSeen } from '../parts/sensors.ts'
import type { Turn } from '../parts/inventory.ts'
import { isDict, type Dict, type RedfishClient } from './client.ts'
import { readSystem, type At } from './system.ts'
import { healthOf, lineOf, stateOf, Walk } from './walk.ts'

const MAX_NAME = 64

export const redfishSensors = (client: RedfishClient, at: At): Sensors => ({
  async read(turn: Turn): Promise<readonly SensorSeen[]> {
    const system = await turn((signal) => at(signal, async ({ path }) => (await readSystem(client, path, signal)).body))
    const walk = new Walk(client, turn)
    const links = isDict(system.Links) ? system.Links : {}
    const found: SensorSeen[] = []
    for (const chassis of await walk.all(Array.isArray(links.Chassis) ? links.Chassis.slice(0, 4) : [])) {
      const old = [...thermalOf(await walk.follow(chassis.Thermal)), ...powerOf(await walk.follow(chassis.Power))]
      found.push(...(old.length > 0 ? old : (await walk.members(chassis.Sensors)).flatMap(sensorOf)))
    }
    return unique(found)
  },
})

const listOf = (value: unknown): readonly Dict[] => (Array.isArray(value) ? value.filter(isDict) : [])

const thermalOf = (body: Dict = {}): SensorSeen[] => [
  ...listOf(body.Temperatures).flatMap((one) => seen({ kind: 'temperature', unit: 'Cel' }, one, one.ReadingCelsius)),
  ...listOf(body.Fans).flatMap((one) =>
    seen({ kind: 'fan', unit: one.ReadingUnits === 'Percent' ? '%' : 'RPM' }, one, one.Reading),
  ),
]

const powerOf = (body: Dict = {}): SensorSeen[] => [
  ...listOf(body.PowerControl).flatMap((one) => seen({ kind: 'power', unit: 'W' }, one, one.PowerConsumedWatts)),
  ...listOf(body.PowerSupplies).flatMap((one) =>
    seen({ kind: 'power', unit: 'W' }, one, one.PowerInputWatts ?? one.LastPowerOutputWatts),
  ),
  ...listOf(body.Voltages).flatMap((one) => seen({ kind: 'voltage', unit: 'V' }, one, one.ReadingVolts)),
]

/** ReadingType of the schema Sensor. */
const TYPES: Readonly<Record<string, SensorKind>> = {
  Temperature: 'temperature',
  Rotational: 'fan',
  Power: 'power',
  Voltage: 'voltage',
}

function sensorOf(body: Dict): SensorSeen[] {
  const kind = TYPES[String(body.ReadingType)]
  return kind ? seen({ kind, unit: lineOf(body.ReadingUnits, 16) ?? '' }, body, body.Reading) : []
}

function seen({ kind, unit }: { kind: SensorKind; unit: string }, body: Dict, reading: unknown): SensorSeen[] {
  if (typeof reading !== 'number' || !Number.isFinite(reading) || stateOf(body) === 'Absent') return []
  const name = lineOf(body.Name, MAX_NAME) ?? lineOf(body.FanName, MAX_NAME) ?? lineOf(body.MemberId, MAX_NAME)
  return name === null ? [] : [{ kind, name, reading, unit, health: healthOf(body) }]
}

/** Names that a BMC uses twice get a number. */
function unique(all: readonly SensorSeen[]): SensorSeen[] {
  const times = new Map<string, number>()
  return all.map((one) => {
    const key = `${one.kind} ${one.name}`
    const count = (times.get(key) ?? 0) + 1
    times.set(key, count)
    return count === 1 ? one : { ...one, name: `${one.name} ${count}` }
  })
}
