/** /v1/nodes: Ironic's paths, fields and status codes. Routes check and translate; `NodeService` decides. */
import { Router, type Request, type Response } from 'express'
import { Fault } from '../../kit/fault.ts'
import type { Verb } from '../node/arrows.ts'
import type { NodeRecord } from '../node/record.ts'
import type { NodeService } from '../node/service.ts'
import { isState } from '../node/states.ts'
import type { NodeFilter, Store } from '../store/port.ts'
import { checkQuery, flag, minorOf, needs, nextLink, PAGE_ARGUMENTS, readPage, single } from './context.ts'
import { applyJsonPatch } from './json-patch.ts'
import { BootDeviceBody, checkInput, MaintenanceBody, NODE_PATCHABLE, NodeCreate, NodePatched, PowerBody, ProvisionBody } from './node-input.ts'
import { NODE_FIELDS, NODE_FILTERS, parseFields, TARGETS, visible } from './versions.ts'
import { MASK, NODE_SUMMARY, nodeView, statesView, type ViewParts } from './views.ts'

export interface NodeRouteParts {
  readonly nodes: NodeService
  readonly store: Store
  view(request: Request): ViewParts
}

export function nodeRoutes(parts: NodeRouteParts): Router {
  const router = Router()
  const show = (node: NodeRecord, request: Request, response: Response) => {
    const minor = minorOf(response)
    const fields = parseFields(single(request, 'fields'), NODE_FIELDS, minor)
    return shim(visible(nodeView(node, parts.view(request)), { gates: NODE_FIELDS, minor, ...(fields ? { fields } : {}) }), minor)
  }

  router.get('/', (request, response) => list(parts, { request, response, detail: flag(request, 'detail') ?? false }))
  router.get('/detail', (request, response) => list(parts, { request, response, detail: true }))
  router.post('/', async (request, response) => {
    const given = checkInput(NodeCreate, request.body)
    const node = await parts.nodes.create(fromWire(given))
    // Before 1.11 a new node was available at once; a node that nobody checked is not, whatever version asks.
    response
      .status(201)
      .location(`${parts.view(request).base}/v1/nodes/${node.uuid}`)
      .json(show(node, request, response))
  })
  router.get('/:ident', async (request, response) => {
    checkQuery(request, ['fields'])
    response.json(show(await parts.nodes.find(request.params.ident), request, response))
  })
  router.patch('/:ident', async (request, response) => {
    const before = await parts.nodes.find(request.params.ident)
    const { touched } = applyJsonPatch(toWire(before), request.body, NODE_PATCHABLE)
    const node = await parts.nodes.update(before.uuid, new Set([...touched].map(camel)), (now) => {
      const { result } = applyJsonPatch(toWire(now), request.body, NODE_PATCHABLE)
      return { ...now, ...keepMasked(fromWire(checkInput(NodePatched, result)), now) }
    })
    response.json(show(node, request, response))
  })
  router.delete('/:ident', async (request, response) => {
    await parts.nodes.remove(request.params.ident)
    response.status(204).end()
  })
  stateRoutes(router, parts)
  return router
}

function stateRoutes(router: Router, parts: NodeRouteParts): void {
  const accepted = (request: Request, response: Response, node: NodeRecord) =>
    response
      .status(202)
      .location(`${parts.view(request).base}/v1/nodes/${node.uuid}/states`)
      .end()

  router.get('/:ident/validate', async (request, response) => void response.json(await parts.nodes.validate(request.params.ident)))
  router.get('/:ident/states', async (request, response) => {
    response.json(visible(statesView(await parts.nodes.find(request.params.ident)), { gates: NODE_FIELDS, minor: minorOf(response) }))
  })
  router.put('/:ident/states/power', async (request, response) => {
    const { target, timeout } = checkInput(PowerBody, request.body)
    if (timeout) {
      needs(response, 27, 'timeout')
      throw new Fault('input.invalid', 'timeout: not supported yet; provision.powerTimeoutSeconds of the configuration holds for every power act')
    }
    if (target.startsWith('soft')) {
      needs(response, 27, `target ${target}`)
      throw new Fault('input.invalid', `target: "${target}" is not supported by this driver yet; use "power off" or "rebooting"`)
    }
    accepted(request, response, await parts.nodes.setPower(request.params.ident, target as 'power on'))
  })
  router.put('/:ident/states/provision', async (request, response) => {
    const { verb, configdrive } = readProvision(request, response)
    accepted(request, response, await parts.nodes.provision(request.params.ident, verb, configdrive === undefined ? {} : { configdrive }))
  })
  router.get('/:ident/management/boot_device', async (request, response) => {
    const { device, persistent } = await parts.nodes.bootDevice(request.params.ident)
    response.json({ boot_device: device, persistent })
  })
  router.get('/:ident/management/boot_device/supported', async (request, response) => {
    await parts.nodes.find(request.params.ident)
    response.json({ supported_boot_devices: ['pxe', 'disk'] })
  })
  router.put('/:ident/management/boot_device', async (request, response) => {
    const { boot_device, persistent } = checkInput(BootDeviceBody, request.body)
    await parts.nodes.setBootDevice(request.params.ident, { device: boot_device, once: !persistent })
    response.status(204).end()
  })
  router.put('/:ident/maintenance', async (request, response) => {
    const { reason } = checkInput(MaintenanceBody, request.body ?? {})
    const node = await parts.nodes.update(request.params.ident, new Set(['maintenance']), (now) => ({
      ...now,
      maintenance: true,
      maintenanceReason: reason ?? null,
    }))
    response
      .status(202)
      .location(`${parts.view(request).base}/v1/nodes/${node.uuid}`)
      .end()
  })
  router.delete('/:ident/maintenance', async (request, response) => {
    await parts.nodes.update(request.params.ident, new Set(['maintenance']), (now) => ({ ...now, maintenance: false }))
    response.status(202).end()
  })
  router.get('/:ident/inventory', async (request, response) => {
    if (minorOf(response) < 81) throw new Fault('object.missing', 'there is no such resource')
    const node = await parts.nodes.find(request.params.ident)
    const inventory = await parts.store.inventory(node.uuid)
    if (inventory === undefined) throw new Fault('object.missing', `node ${node.uuid} has no inventory: inspect it first`)
    response.json(inventory)
  })
}

function readProvision(request: Request, response: Response): { verb: Verb; configdrive?: unknown } {
  const body = checkInput(ProvisionBody, request.body)
  const known = TARGETS[body.target]
  if (!known)
    throw new Fault('input.invalid', `target: ${JSON.stringify(body.target)} is not a verb of this conductor; there are ${Object.keys(TARGETS).join(', ')}`)
  needs(response, known.since, `target ${body.target}`)
  const verb = known.verb as Verb
  if (body.configdrive !== undefined && body.configdrive !== null) {
    if (verb !== 'deploy' && verb !== 'rebuild') throw new Fault('input.invalid', `configdrive: the target ${body.target} takes none`)
    if (verb === 'rebuild') needs(response, 35, 'configdrive with rebuild')
    if (typeof body.configdrive === 'object') needs(response, body.configdrive.vendor_data ? 59 : 56, 'configdrive as an object')
    if (typeof body.configdrive === 'string' && !/^[A-Za-z0-9+/=\s]+$/.test(body.configdrive))
      throw new Fault('input.invalid', 'configdrive: as text it is the base64 of a gzipped ISO; URLs are not supported')
  }
  if (verb === 'clean' && !body.clean_steps) throw new Fault('input.missing', 'clean_steps is missing')
  if (verb !== 'clean' && body.clean_steps) throw new Fault('input.invalid', `clean_steps: the target ${body.target} takes none`)
  for (const { interface: at, step } of body.clean_steps ?? []) {
    if (at !== 'deploy' || step !== 'erase_devices_metadata')
      throw new Fault('input.invalid', `clean_steps: there is no step ${at}.${step}; there is deploy.erase_devices_metadata`)
  }
  return { verb, ...(body.configdrive === undefined || body.configdrive === null ? {} : { configdrive: body.configdrive }) }
}

async function list(parts: NodeRouteParts, { request, response, detail }: { request: Request; response: Response; detail: boolean }): Promise<void> {
  const minor = minorOf(response)
  checkQuery(request, [...PAGE_ARGUMENTS, ...Object.keys(NODE_FILTERS)])
  for (const [name, since] of Object.entries(NODE_FILTERS)) if (request.query[name] !== undefined) needs(response, since, `the filter ${name}`)
  if (request.query.detail !== undefined) needs(response, 43, 'detail')
  const fields = parseFields(single(request, 'fields'), NODE_FIELDS, minor)
  if (fields) needs(response, 8, 'fields')
  if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
  const page = readPage(request)
  const nodes = await parts.store.nodes(readFilter(request), page)
  const view = parts.view(request)
  const names = fields ?? (detail ? undefined : NODE_SUMMARY)
  const shown = nodes.map((node) => shim(visible(nodeView(node, view), { gates: NODE_FIELDS, minor, ...(names ? { fields: names } : {}) }), minor))
  response.json({ nodes: shown, ...nextLink(request, `${view.base}/v1/nodes`, { count: nodes.length, limit: page.limit, last: nodes.at(-1)?.uuid }) })
}

function readFilter(request: Request): NodeFilter {
  const state = single(request, 'provision_state')
  if (state !== undefined && !isState(state)) throw new Fault('input.invalid', `provision_state: ${JSON.stringify(state.slice(0, 64))} is not a state`)
  const whole: Record<string, unknown> = {
    instanceUuid: single(request, 'instance_uuid'),
    associated: flag(request, 'associated'),
    maintenance: flag(request, 'maintenance'),
    provisionState: state,
    driver: single(request, 'driver'),
    resourceClass: single(request, 'resource_class'),
    fault: single(request, 'fault'),
    owner: single(request, 'owner'),
    descriptionContains: single(request, 'description_contains'),
  }
  return Object.fromEntries(Object.entries(whole).filter(([, value]) => value !== undefined)) as NodeFilter
}

/** Older versions knew other words for some states (Ironic's version history, 1.2 and 1.39). */
function shim(view: Record<string, unknown>, minor: number): Record<string, unknown> {
  if (minor < 2 && view.provision_state === 'available') return { ...view, provision_state: null }
  if (minor < 39 && view.provision_state === 'inspect wait') return { ...view, provision_state: 'inspecting' }
  return view
}

/** Clients read a record, change a part and send all of it back: a mask among it means the value that it stands for. */
function keepMasked<T extends Partial<NodeRecord>>(next: T, now: NodeRecord): T {
  const keep = (given: Readonly<Record<string, unknown>> | undefined, known: Readonly<Record<string, unknown>>) =>
    Object.fromEntries(Object.entries(given ?? known).map(([key, value]) => [key, value === MASK && key in known ? known[key] : value]))
  return { ...next, driverInfo: keep(next.driverInfo, now.driverInfo), instanceInfo: keep(next.instanceInfo, now.instanceInfo) }
}

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

const fromWire = <T extends object>(wire: T) =>
  Object.fromEntries(
    Object.entries(wire)
      .filter(([, value]) => value !== undefined)
      .map(([name, value]) => [camel(name), value]),
  ) as Partial<NodeRecord> & { driver: string }

/** The patchable part of a record; a secret stays readable here, so that a patch of another key keeps it. */
const toWire = (node: NodeRecord): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(node)
      .map(([name, value]) => [snake(name), value] as const)
      .filter(([name]) => Object.hasOwn(NODE_PATCHABLE, name)),
  )
