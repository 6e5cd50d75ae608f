/** Versions of BIOS, BMC and network adapters, each with the member of the firmware inventory that an update targets. A
 *  resource that the BMC does not show, such as the adapters of a server that is off, is left out. */
import type { FirmwareSeen } from '../parts/updates.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { isSame, lastOf } from './links.ts'
import { managersOf } from './manager.ts'
import type { PowerParts } from './power.ts'
import { readSystem } from './system.ts'
import { Walk } from './walk.ts'

const MAX_ADAPTERS = 16
const text = (value: unknown): string | null => (typeof value === 'string' && value !== '' ? value.slice(0, 255) : null)

export async function firmwareInventory(
  { client, path }: PowerParts,
  signal: AbortSignal,
): Promise<readonly FirmwareSeen[]> {
  const system = await readSystem(client, path, signal)
  const walk = new Walk(client, (work) => work(signal))
  const targets = await firmwareTargets(client, walk, signal)
  const maker = text(system.body.Manufacturer)
  const bios = {
    component: 'bios',
    version: text(system.body.BiosVersion),
    vendor: maker,
    model: text(system.body.Model),
    serialNumber: text(system.body.SerialNumber),
    target: targetOf(targets, { related: path, name: /bios/i }),
  }
  const [managerPath] = await managersOf(client, system, signal)
  const manager = managerPath === undefined ? undefined : await walk.follow({ '@odata.id': managerPath })
  const links = isDict(system.body.Links) ? system.body.Links : {}
  const chassis = await walk.follow(Array.isArray(links.Chassis) ? links.Chassis[0] : undefined)
  return [
    bios,
    ...(manager === undefined || managerPath === undefined
      ? []
      : [
          {
            component: 'bmc',
            version: text(manager.FirmwareVersion),
            vendor: maker,
            model: text(manager.Model),
            serialNumber: text(manager.SerialNumber),
            target: targetOf(targets, { related: managerPath, name: /bmc|idrac|ilo|xcc/i }),
          },
        ]),
    ...(await adapters(walk, { list: chassis?.NetworkAdapters, targets })),
  ]
}

interface Target {
  readonly path: string
  readonly name: string
  readonly related: readonly string[]
}

/** Dell lists previous and available images beside the installed ones. */
const OTHER_IMAGES = /^(previous|available)-/i

async function firmwareTargets(client: RedfishClient, walk: Walk, signal: AbortSignal): Promise<readonly Target[]> {
  const service = await walk.follow((await client.root(signal)).UpdateService)
  return (await walk.members(service?.FirmwareInventory)).flatMap((body) => {
    const path = linkOf(body)
    if (path === null || OTHER_IMAGES.test(lastOf(path))) return []
    const related = (Array.isArray(body.RelatedItem) ? body.RelatedItem : []).flatMap((item) => linkOf(item) ?? [])
    return [{ path, name: `${String(body.Id)} ${String(body.Name)}`, related }]
  })
}

const targetOf = (targets: readonly Target[], of: { related: string; name: RegExp }): string | null =>
  targets.find(({ related }) => related.some((one) => isSame(one, of.related)))?.path ??
  targets.find(({ name }) => of.name.test(name))?.path ??
  null

/** Ids of adapters change over restarts: they are known by their serial numbers. */
async function adapters(
  walk: Walk,
  { list, targets }: { readonly list: unknown; readonly targets: readonly Target[] },
): Promise<readonly FirmwareSeen[]> {
  return (await walk.members(list)).slice(0, MAX_ADAPTERS).flatMap((body) => {
    const serialNumber = text(body.SerialNumber)
    const path = linkOf(body)
    if (serialNumber === null) return []
    const controller: Dict = Array.isArray(body.Controllers) && isDict(body.Controllers[0]) ? body.Controllers[0] : {}
    const own = path === null ? undefined : targets.find(({ related }) => related.some((one) => isSame(one, path)))
    return [
      {
        component: `nic:${serialNumber}`,
        version: text(controller.FirmwarePackageVersion),
        vendor: text(body.Manufacturer),
        model: text(body.Model),
        serialNumber,
        target: own?.path ?? null,
      },
    ]
  })
}
