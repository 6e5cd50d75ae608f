/** Lamps of system, chassis and drives: LocationIndicatorActive where there is one, else the older IndicatorLED; each
 *  change is read back. */
import { Fault } from '../../../kit/fault.ts'
import type { IndicatorComponent, Indicators, IndicatorSeen, IndicatorState } from '../parts/indicators.ts'
import { isDict, linkOf, type Dict, type RedfishClient, type Resource } from './client.ts'
import { faultOf } from './messages.ts'
import { readSystem, type At } from './system.ts'
import { Walk } from './walk.ts'

interface Lamp extends IndicatorSeen {
  readonly path: string
}

const MAX_DISKS = 64
const LED: Readonly<Record<string, IndicatorState>> = { Lit: 'on', Blinking: 'blinking', Off: 'off' }

export const redfishIndicators = (at: At): Indicators => ({
  list: (signal) =>
    at(signal, async (parts) =>
      (await lamps(parts, signal)).map(({ component, name, states }) => ({ component, name, states })),
    ),
  state: (name, signal) =>
    at(signal, async (parts) => {
      const { path } = await lamp(parts, name, signal)
      return stateOf(await parts.client.get(path, signal))
    }),
  set: (name, state, signal) =>
    at(signal, async (parts) => {
      const { path, states } = await lamp(parts, name, signal)
      if (!states.includes(state))
        throw new Fault('input.invalid', `state: the indicator ${name} can be ${states.join(', ')}`)
      await setLamp(parts.client, { path, name, state }, signal)
    }),
})

async function setLamp(
  client: RedfishClient,
  { path, name, state }: { path: string; name: string; state: IndicatorState },
  signal: AbortSignal,
): Promise<void> {
  const resource = await client.get(path, signal)
  if (stateOf(resource) === state) return
  const led = Object.entries(LED).find(([, one]) => one === state)?.[0]
  const isNew = typeof resource.body.LocationIndicatorActive === 'boolean'
  const wanted: Dict = isNew ? { LocationIndicatorActive: state !== 'off' } : { IndicatorLED: led }
  const refusal = await client.patch(resource, wanted, signal)
  if (refusal) throw faultOf(refusal, `indicator ${name}`)
  const seen = stateOf(await client.get(path, signal))
  if (seen !== state)
    throw new Fault('bmc.unproven', `the BMC took "${state}" for the indicator ${name} and shows "${seen}"`)
}

function stateOf({ body }: Resource): IndicatorState {
  if (typeof body.LocationIndicatorActive === 'boolean') return body.LocationIndicatorActive ? 'on' : 'off'
  return LED[String(body.IndicatorLED)] ?? 'off'
}

async function lamp(parts: { client: RedfishClient; path: string }, name: string, signal: AbortSignal): Promise<Lamp> {
  const found = (await lamps(parts, signal)).find((one) => one.name === name)
  if (!found) throw new Fault('object.missing', `there is no indicator ${JSON.stringify(name.slice(0, 64))}`)
  return found
}

/** Resources that have one of the two properties. */
async function lamps(
  { client, path }: { client: RedfishClient; path: string },
  signal: AbortSignal,
): Promise<readonly Lamp[]> {
  const system = await readSystem(client, path, signal)
  const walk = new Walk(client, (work) => work(signal))
  const links = isDict(system.body.Links) ? system.body.Links : {}
  const chassis = await walk.all(Array.isArray(links.Chassis) ? links.Chassis.slice(0, 4) : [])
  const found = [...lampOf('system', system.body, path), ...chassis.flatMap((body) => lampOf('chassis', body))]
  const drives: Dict[] = []
  for (const storage of await walk.members(system.body.Storage))
    if (drives.length < MAX_DISKS) drives.push(...(await walk.all(storage.Drives)))
  return [...found, ...drives.slice(0, MAX_DISKS).flatMap((body) => lampOf('disk', body))]
}

function lampOf(component: IndicatorComponent, body: Dict, at: string | null = linkOf(body)): Lamp[] {
  const isNew = typeof body.LocationIndicatorActive === 'boolean'
  if (at === null || (!isNew && typeof body.IndicatorLED !== 'string')) return []
  const id = at.split('/').findLast((part) => part !== '') ?? 'led'
  const name = component === 'system' ? 'led@system' : `${id}@${component}`
  return [{ component, name, path: at, states: isNew ? ['off', 'on'] : ['blinking', 'off', 'on'] }]
}
