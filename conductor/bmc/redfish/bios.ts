/** BIOS settings through the resources Bios and its settings object (DSP2046, Bios). They hold from the next start of
 *  the server on. */
import { Fault, isFault } from '../../../kit/fault.ts'
import type { Bios, BiosNow, BiosRegistryEntry, BiosValue, BiosValues } from '../parts/bios.ts'
import { readBiosRegistry } from './bios-registry.ts'
import { isDict, linkOf, type Dict, type RedfishClient, type Resource } from './client.ts'
import { clearPendingJob } from './dell-jobs.ts'
import { actionOf } from './links.ts'
import { faultOf, says } from './messages.ts'
import type { AtSystem, PowerParts } from './power.ts'
import { readSystem, valuesOf } from './system.ts'

/** Stages of a start in which settings that were ordered may not have been applied yet (schema ComputerSystem,
 *  BootProgress). */
const EARLY = new Set([
  'PrimaryProcessorInitializationStarted',
  'BusInitializationStarted',
  'MemoryInitializationStarted',
  'SecondaryProcessorInitializationStarted',
  'PCIResourceConfigStarted',
  'SystemHardwareInitializationComplete',
])
/** Nothing that is sensible has more; the rest is not read. */
const MAX_ATTRIBUTES = 5_000

export function redfishBios(at: AtSystem): Bios {
  const known = new Map<string, readonly BiosRegistryEntry[]>()
  return {
    read: (signal) => at(signal, (parts) => read(parts, signal)),
    registry: (signal) =>
      at(signal, async (parts) => {
        const { bios, system } = await biosOf(parts, signal)
        const { AttributeRegistry: name } = bios.body
        if (typeof name !== 'string' || name === '') return []
        const key = `${name} ${String(system.body.BiosVersion)}`
        const entries = known.get(key) ?? (await readBiosRegistry(parts.client, name, signal))
        known.clear()
        known.set(key, entries)
        return entries
      }),
    apply: (wanted, signal) => at(signal, (parts) => apply(parts, wanted, signal)),
    reset: (signal) =>
      at(signal, async (parts) => {
        const { bios } = await biosOf(parts, signal)
        const action = actionOf(bios.body, '#Bios.ResetBios')
        if (!action)
          throw new Fault('node.unsupported', 'the BMC offers no reset of BIOS settings (Actions/#Bios.ResetBios)')
        const { refusal, task } = await parts.client.order(action.target, {}, signal)
        if (refusal) throw faultOf(refusal, `reset of the BIOS settings of ${parts.path}`)
        return task
      }),
  }
}

async function biosOf({ client, path }: PowerParts, signal: AbortSignal) {
  const system = await readSystem(client, path, signal)
  const link = linkOf(system.body.Bios)
  if (link === null) throw new Fault('node.unsupported', 'the BMC shows no BIOS settings (Bios of the system)')
  return { system, bios: await client.get(link, signal) }
}

async function read(parts: PowerParts, signal: AbortSignal): Promise<BiosNow> {
  const { system, bios } = await biosOf(parts, signal)
  if (!isDict(bios.body.Attributes))
    throw new Fault('node.unsupported', 'the BMC shows no BIOS settings (Attributes of Bios)')
  const pending = await settingsOf(parts.client, bios, signal)
  const progress = isDict(system.body.BootProgress) ? system.body.BootProgress.LastState : undefined
  return {
    current: valuesIn(bios.body),
    pending: pending && isDict(pending.body.Attributes) ? valuesIn(pending.body) : null,
    isStarting: EARLY.has(String(progress)),
  }
}

/** Where the next settings are written; undefined: the BMC does not show it. Some leave out the link. */
async function settingsOf(client: RedfishClient, bios: Resource, signal: AbortSignal): Promise<Resource | undefined> {
  const link = linkOf(settingsInfo(bios).SettingsObject) ?? `${bios.path}/Settings`
  return client.get(link, signal).catch((error: unknown) => {
    if (isFault(error, 'bmc.path')) return undefined
    throw error
  })
}

const settingsInfo = ({ body }: Resource): Dict => (isDict(body['@Redfish.Settings']) ? body['@Redfish.Settings'] : {})

async function apply(parts: PowerParts, wanted: BiosValues, signal: AbortSignal): Promise<string | null> {
  const { client, path } = parts
  const { bios } = await biosOf(parts, signal)
  const settings = (await settingsOf(client, bios, signal)) ?? bios
  const times = valuesOf(settingsInfo(bios).SupportedApplyTimes)
  const timed = times?.includes('OnReset') ? { '@Redfish.SettingsApplyTime': { ApplyTime: 'OnReset' } } : {}
  let { refusal, task } = await client.order(settings, { Attributes: wanted, ...timed }, signal)
  if (refusal && 'ApplyTime' in (timed['@Redfish.SettingsApplyTime'] ?? {}) && says(refusal, 'PropertyUnknown'))
    ({ refusal, task } = await client.order(settings, { Attributes: wanted }, signal))
  if (refusal && says(refusal, 'SYS011')) {
    // Dell seals what waits for the next start as a job: it is taken back, and ordered again together with the new
    // values.
    const before = isDict(settings.body.Attributes) ? valuesIn(settings.body) : {}
    const current = valuesIn(bios.body)
    const waiting = Object.fromEntries(Object.entries(before).filter(([name, value]) => current[name] !== value))
    await clearPendingJob(client, signal)
    const fresh = (await settingsOf(client, bios, signal)) ?? bios
    ;({ refusal, task } = await client.order(fresh, { Attributes: { ...waiting, ...wanted }, ...timed }, signal))
  }
  if (refusal) throw faultOf(refusal, `BIOS settings of ${path}`)
  return task
}

function valuesIn(body: Dict): BiosValues {
  const attributes = isDict(body.Attributes) ? body.Attributes : {}
  return Object.fromEntries(
    Object.entries(attributes)
      .filter(([name, value]) => name.length <= 255 && isValue(value))
      .slice(0, MAX_ATTRIBUTES),
  ) as BiosValues
}

const isValue = (value: unknown): value is BiosValue =>
  value === null ||
  typeof value === 'number' ||
  typeof value === 'boolean' ||
  (typeof value === 'string' && value.length <= 4096)
