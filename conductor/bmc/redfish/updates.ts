/** Firmware through the UpdateService: versions of BIOS, BMC and network adapters, SimpleUpdate from our URL, and a BMC
 *  that comes back from its own update. */
import { Fault, isFault } from '../../../kit/fault.ts'
import type { FirmwareSeen, KnownIdentity, Updates } from '../parts/updates.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { findManager } from './manager.ts'
import { faultOf, says } from './messages.ts'
import type { AtSystem, PowerParts } from './power.ts'
import { readSystem, uuidOf, valuesOf } from './system.ts'

const MAX_ADAPTERS = 16
const MAX_MEMBERS = 200
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value.slice(0, 255) : null)

export const redfishUpdates = (at: AtSystem): Updates => ({
  identity: (signal) =>
    at(signal, async ({ client, path }) => identityOf((await readSystem(client, path, signal)).body)),
  inventory: (signal) => at(signal, (parts) => inventory(parts, signal)),
  update: (order, signal) => at(signal, ({ client }) => update(client, order, signal)),
  reconnect: (known, signal) => at(signal, (parts) => reconnect(parts, known, signal)),
})

const identityOf = (body: Dict): KnownIdentity => ({ uuid: uuidOf(body), serialNumber: text(body.SerialNumber) })

async function inventory({ client, path }: PowerParts, signal: AbortSignal): Promise<readonly FirmwareSeen[]> {
  const system = await readSystem(client, path, signal)
  const managerPath = await findManager(client, system, signal)
  const manager = (await client.get(managerPath, signal)).body
  const targets = await firmwareTargets(client, signal)
  const maker = text(system.body.Manufacturer)
  return [
    {
      component: 'bios',
      version: text(system.body.BiosVersion),
      vendor: maker,
      model: text(system.body.Model),
      serialNumber: text(system.body.SerialNumber),
      target: targetOf(targets, { related: path, name: /bios/i }),
    },
    {
      component: 'bmc',
      version: text(manager.FirmwareVersion),
      vendor: maker,
      model: text(manager.Model),
      serialNumber: text(manager.SerialNumber),
      target: targetOf(targets, { related: managerPath, name: /bmc|idrac|ilo|xcc/i }),
    },
    ...(await adapters(client, { chassis: chassisOf(system.body), targets }, signal)),
  ]
}

interface Target {
  readonly path: string
  readonly name: string
  readonly related: readonly string[]
}

/** Dell lists previous and available images beside the installed ones. */
const OTHER_IMAGES = /^(previous|available)-/i

async function firmwareTargets(client: RedfishClient, signal: AbortSignal): Promise<readonly Target[]> {
  const service = linkOf((await client.root(signal)).UpdateService)
  const list = service === null ? null : linkOf((await client.get(service, signal)).body.FirmwareInventory)
  if (list === null) return []
  const found: Target[] = []
  for (const path of await memberPaths(client, list, signal)) {
    if (OTHER_IMAGES.test(path.split('/').at(-1) ?? '')) continue
    const { body } = await client.get(path, signal)
    const related = (Array.isArray(body.RelatedItem) ? body.RelatedItem : []).flatMap((item) => linkOf(item) ?? [])
    found.push({ path, name: `${String(body.Id)} ${String(body.Name)}`, related })
  }
  return found
}

const targetOf = (targets: readonly Target[], of: { related: string; name: RegExp }): string | null =>
  targets.find(({ related }) => related.includes(of.related))?.path ??
  targets.find(({ name }) => of.name.test(name))?.path ??
  null

const chassisOf = (system: Dict): string | null => {
  const links = isDict(system.Links) ? system.Links : {}
  return Array.isArray(links.Chassis) ? linkOf(links.Chassis[0]) : null
}

/** Ids of adapters change over restarts: they are known by their serial numbers. */
async function adapters(
  client: RedfishClient,
  { chassis, targets }: { chassis: string | null; targets: readonly Target[] },
  signal: AbortSignal,
): Promise<readonly FirmwareSeen[]> {
  const list = chassis === null ? null : linkOf((await client.get(chassis, signal)).body.NetworkAdapters)
  if (list === null) return []
  const found: FirmwareSeen[] = []
  for (const path of (await memberPaths(client, list, signal)).slice(0, MAX_ADAPTERS)) {
    const { body } = await client.get(path, signal)
    const serialNumber = text(body.SerialNumber)
    if (serialNumber === null) continue
    const controller = Array.isArray(body.Controllers) && isDict(body.Controllers[0]) ? body.Controllers[0] : {}
    found.push({
      component: `nic:${serialNumber}`,
      version: text(controller.FirmwarePackageVersion),
      vendor: text(body.Manufacturer),
      model: text(body.Model),
      serialNumber,
      target: targets.find(({ related }) => related.includes(path))?.path ?? null,
    })
  }
  return found
}

async function memberPaths(client: RedfishClient, list: string, signal: AbortSignal): Promise<readonly string[]> {
  const { Members } = (await client.get(list, signal)).body
  return (Array.isArray(Members) ? Members : []).slice(0, MAX_MEMBERS).flatMap((member) => linkOf(member) ?? [])
}

async function update(
  client: RedfishClient,
  { url, target }: Parameters<Updates['update']>[0],
  signal: AbortSignal,
): Promise<string | null> {
  const service = linkOf((await client.root(signal)).UpdateService)
  const body = service === null ? {} : (await client.get(service, signal)).body
  const actions = isDict(body.Actions) ? body.Actions : {}
  const action = isDict(actions['#UpdateService.SimpleUpdate']) ? actions['#UpdateService.SimpleUpdate'] : {}
  if (typeof action.target !== 'string' || !action.target.startsWith('/'))
    throw new Fault('node.unsupported', 'the BMC offers no SimpleUpdate (Actions/#UpdateService.SimpleUpdate)')
  const protocols = valuesOf(action['TransferProtocol@Redfish.AllowableValues'])
  if (protocols && !protocols.includes('HTTP'))
    throw new Fault('node.unsupported', `the BMC fetches no firmware over HTTP; it has ${protocols.join(', ')}`)
  const order = { ImageURI: url, TransferProtocol: 'HTTP' }
  let { refusal, task } = await client.order(
    action.target,
    { ...order, ...(target ? { Targets: [target] } : {}) },
    signal,
  )
  if (refusal && target && says(refusal, 'ActionParameterUnknown', 'ActionParameterNotSupported', 'PropertyUnknown'))
    ({ refusal, task } = await client.order(action.target, order, signal))
  if (refusal) throw faultOf(refusal, 'firmware update')
  return task
}

/** Another key is kept only when the system behind it is the known one: an update of the BMC makes a new
 *  certificate. */
async function reconnect(
  { client, path }: PowerParts,
  known: KnownIdentity | null,
  signal: AbortSignal,
): Promise<string | null> {
  const read = async () => identityOf((await readSystem(client, path, signal)).body)
  client.reopen('same key')
  try {
    await read()
    return null
  } catch (error) {
    if (!isFault(error, 'bmc.identity') || known === null) throw error
    client.reopen('any key')
    const seen = await read().catch((why: unknown) => {
      client.reopen('former key')
      throw why
    })
    if (known.uuid !== null && seen.uuid === known.uuid && seen.serialNumber === known.serialNumber)
      return client.wire.pin
    client.reopen('former key')
    throw new Fault(
      'bmc.identity',
      `the BMC came back with another key, and the system behind it is ${seen.uuid} instead of ${known.uuid}`,
      { cause: error },
    )
  }
}
