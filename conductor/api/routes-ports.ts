/** /v1/ports and /v1/nodes/{id}/ports. */
import { Router, type Request, type Response } from 'express'
import { Fault } from '../../kit/fault.ts'
import type { NodeService } from '../node/service.ts'
import type { PortRecord, Store } from '../store/port.ts'
import { checkQuery, flag, minorOf, needs, nextLink, PAGE_ARGUMENTS, readPage, single } from './context.ts'
import { applyJsonPatch } from './json-patch.ts'
import { checkInput, PORT_PATCHABLE, PortCreate } from './node-input.ts'
import { parseFields, PORT_FIELDS, visible } from './versions.ts'
import { portView, type ViewParts } from './views.ts'

export interface PortRouteParts {
  readonly nodes: NodeService
  readonly store: Store
  view(request: Request): ViewParts
}

const SUMMARY = ['uuid', 'address', 'links'] as const

export function portRoutes(parts: PortRouteParts): Router {
  const router = Router()
  const show = (port: PortRecord, request: Request, response: Response) => {
    const minor = minorOf(response)
    const fields = parseFields(single(request, 'fields'), PORT_FIELDS, minor)
    return visible(portView(port, parts.view(request)), { gates: PORT_FIELDS, minor, ...(fields ? { fields } : {}) })
  }
  router.get('/', (request, response) => listPorts(parts, { request, response }))
  router.get('/detail', (request, response) => listPorts(parts, { request, response, detail: true }))
  router.post('/', async (request, response) => {
    const given = checkInput(PortCreate, request.body)
    const port = await parts.nodes.addPort({ nodeUuid: given.node_uuid, address: given.address, ...fieldsOf(given) })
    response
      .status(201)
      .location(`${parts.view(request).base}/v1/ports/${port.uuid}`)
      .json(show(port, request, response))
  })
  router.get('/:uuid', async (request, response) => {
    checkQuery(request, ['fields'])
    response.json(show(await parts.nodes.port(request.params.uuid), request, response))
  })
  router.patch('/:uuid', async (request, response) => {
    const port = await parts.nodes.updatePort(request.params.uuid, (now) => {
      const { result } = applyJsonPatch(wireOf(now), request.body, PORT_PATCHABLE)
      const given = checkInput(PortCreate.omit({ uuid: true }), result)
      if (given.node_uuid !== now.nodeUuid) throw new Fault('input.invalid', 'node_uuid: a port cannot change its node; delete it and create it there')
      return { ...now, address: given.address, ...fieldsOf(given) }
    })
    response.json(show(port, request, response))
  })
  router.delete('/:uuid', async (request, response) => {
    await parts.nodes.removePort(request.params.uuid)
    response.status(204).end()
  })
  return router
}

/** The ports of one node, under its own path. */
export async function listNodePorts(parts: PortRouteParts, request: Request, response: Response): Promise<void> {
  const node = await parts.nodes.find(String(request.params.ident))
  await listPorts(parts, { request, response, nodeUuid: node.uuid, base: `/v1/nodes/${String(request.params.ident)}/ports` })
}

async function listPorts(
  parts: PortRouteParts,
  { request, response, ...at }: { request: Request; response: Response; detail?: boolean; nodeUuid?: string; base?: string },
): Promise<void> {
  const minor = minorOf(response)
  checkQuery(request, [...PAGE_ARGUMENTS, 'address', 'node', 'node_uuid'])
  if (request.query.detail !== undefined) needs(response, 43, 'detail')
  const fields = parseFields(single(request, 'fields'), PORT_FIELDS, minor)
  const detail = at.detail ?? flag(request, 'detail') ?? false
  if (fields && detail) throw new Fault('input.invalid', 'fields and detail exclude each other')
  const ident = single(request, 'node') ?? single(request, 'node_uuid')
  const nodeUuid = at.nodeUuid ?? (ident === undefined ? undefined : (await parts.nodes.find(ident)).uuid)
  const address = single(request, 'address')?.toLowerCase()
  const page = readPage(request)
  const ports = await parts.store.ports({ ...(nodeUuid ? { nodeUuid } : {}), ...(address ? { address } : {}) }, page)
  const view = parts.view(request)
  const names = fields ?? (detail ? undefined : SUMMARY)
  const shown = ports.map((port) => visible(portView(port, view), { gates: PORT_FIELDS, minor, ...(names ? { fields: names } : {}) }))
  response.json({
    ports: shown,
    ...nextLink(request, `${view.base}${at.base ?? '/v1/ports'}`, { count: ports.length, limit: page.limit, last: ports.at(-1)?.uuid }),
  })
}

function fieldsOf(given: {
  uuid?: string | undefined
  extra?: Record<string, unknown> | undefined
  pxe_enabled?: boolean | undefined
  local_link_connection?: Record<string, unknown> | undefined
  physical_network?: string | null | undefined
}): Partial<PortRecord> {
  return {
    ...(given.uuid === undefined ? {} : { uuid: given.uuid }),
    ...(given.extra === undefined ? {} : { extra: given.extra }),
    ...(given.pxe_enabled === undefined ? {} : { pxeEnabled: given.pxe_enabled }),
    ...(given.local_link_connection === undefined ? {} : { localLinkConnection: given.local_link_connection }),
    ...(given.physical_network === undefined ? {} : { physicalNetwork: given.physical_network }),
  }
}

const wireOf = (port: PortRecord): Record<string, unknown> => ({
  address: port.address,
  node_uuid: port.nodeUuid,
  extra: port.extra,
  pxe_enabled: port.pxeEnabled,
  local_link_connection: port.localLinkConnection,
  physical_network: port.physicalNetwork,
})
