/** /v1/ports, /v1/nodes/{id}/ports and /v1/portgroups/{id}/ports. */
import { Fault } from '../../kit/fault.ts'
import type { PortService } from '../node/ports.ts'
import { untilFresh } from '../store/again.ts'
import type { PortFilter, PortRecord } from '../store/port.ts'
import { mustBeWhole, mustOwn, namedNode, orDamaged, seenNode, seenObject, seesNodeOf, standing } from './access.ts'
import { applyJsonPatch } from './json-patch.ts'
import { PAGE_QUERY, readWanted, sendList, showOne } from './listing.ts'
import { checkIdent, checkInput, PORT_PATCHABLE, PortCreate, type z } from './node-input.ts'
import { nodeOf } from './nodes/routes.ts'
import { gateBody, needs, type ApiRequest, type Route, type RouteParts } from './route.ts'
import { PORT_FIELDS } from './versions.ts'
import { portView } from './views.ts'

const SUMMARY = ['uuid', 'address', 'links'] as const
const FILTERS = {
  address: 1,
  node: 6,
  node_uuid: 1,
  portgroup: 24,
  shard: 82,
  description_contains: 97,
  conductor_groups: 99,
}

export interface PortRouteParts extends RouteParts {
  readonly ports: PortService
}

export function portRoutes(parts: PortRouteParts): Route[] {
  const { ports, nodes, turns } = parts
  const show = (request: ApiRequest, port: PortRecord) => showOne(request, portView(port, request.view), PORT_FIELDS)
  const portOf = async (request: ApiRequest) => {
    const ident = request.params.ident ?? ''
    checkIdent(ident, 'port')
    const port = await ports.find(ident)
    const node = await nodes.find(port.nodeUuid)
    if (standing(request.actor, node) === 'none')
      throw new Fault('object.missing', `there is no port ${JSON.stringify(ident.slice(0, 255))}`)
    return { port, node }
  }
  const list = (
    path: string,
    more: Partial<Route> & { detail?: boolean; of?: (request: ApiRequest) => Promise<PortFilter> },
  ): Route => ({
    method: 'get',
    path,
    role: 'reader',
    query: { ...PAGE_QUERY, ...(more.of ? {} : FILTERS) },
    ...(more.since === undefined ? {} : { since: more.since }),
    summary: 'lists ports',
    handle: async (request) =>
      listPorts(parts, request, {
        filter: (await more.of?.(request)) ?? {},
        ...(more.detail === undefined ? {} : { detail: more.detail }),
      }),
  })
  return [
    list('/v1/ports', {}),
    list('/v1/ports/detail', { detail: true }),
    list('/v1/nodes/:ident/ports', { of: async (request) => ({ nodeUuid: (await nodeOf(parts, request)).uuid }) }),
    list('/v1/nodes/:ident/ports/detail', {
      detail: true,
      of: async (request) => ({ nodeUuid: (await nodeOf(parts, request)).uuid }),
    }),
    list('/v1/portgroups/:ident/ports', {
      since: 24,
      of: async (request) => ({ portgroupUuid: await groupOf(parts, request, request.params.ident ?? '') }),
    }),
    {
      method: 'post',
      path: '/v1/ports',
      role: 'admin',
      summary: 'adds a port to a node',
      async handle(request) {
        gateBody(request, request.body, { ...PORT_FIELDS, node_ident: 94 })
        const given = checkInput(PortCreate, request.body)
        checkLink(request, given)
        const ident = given.node_uuid ?? given.node_ident
        if (ident === undefined) throw new Fault('input.missing', 'node_uuid is missing')
        const node = await namedNode(nodes, request.actor, { field: 'node_uuid', ident })
        mustOwn(request.actor, node, 'ports')
        mustClaim(request, 'address')
        const port = await ports.add({ nodeUuid: node.uuid, address: given.address, ...fieldsOf(given) })
        return { status: 201, location: `${request.view.base}/v1/ports/${port.uuid}`, body: show(request, port) }
      },
    },
    {
      method: 'get',
      path: '/v1/ports/:ident',
      role: 'reader',
      query: { fields: 8 },
      summary: 'shows a port',
      handle: async (request) => ({ body: show(request, (await portOf(request)).port) }),
    },
    {
      method: 'patch',
      path: '/v1/ports/:ident',
      role: 'admin',
      summary: 'changes a port by a JSON patch',
      async handle(request) {
        const { port } = await portOf(request)
        return turns.take(`port ${port.uuid}`, async () => ({
          body: show(request, await untilFresh(() => change(request))),
        }))
      },
    },
    {
      method: 'delete',
      path: '/v1/ports/:ident',
      role: 'admin',
      summary: 'removes a port',
      async handle(request) {
        const found = await orDamaged(request, portOf(request))
        if (!found) return ports.removeDamaged(request.params.ident ?? '')
        const { port, node } = found
        mustOwn(request.actor, node, 'ports')
        await ports.remove(port, node)
      },
    },
  ]

  async function change(request: ApiRequest): Promise<PortRecord> {
    const { port, node } = await portOf(request)
    mustOwn(request.actor, node, 'ports')
    const { result, touched } = applyJsonPatch(wireOf(port), request.body, {
      allowed: PORT_PATCHABLE,
      minor: request.minor,
    })
    for (const name of touched) needs(request, PORT_FIELDS[name] ?? 1, name)
    const given = checkInput(PortCreate.omit({ uuid: true }), result)
    checkLink(request, given)
    if (given.node_uuid !== port.nodeUuid)
      throw new Fault('input.invalid', 'node_uuid: a port cannot change its node; delete it and create it there')
    if (given.address !== port.address) mustClaim(request, 'address')
    const next = { ...port, address: given.address, ...fieldsOf(given) }
    if (next.pxeEnabled && !port.pxeEnabled) mustClaim(request, 'pxe_enabled')
    await checkGroup(request, next.portgroupUuid)
    return ports.update(port, next, { node, confined: request.actor.project !== null })
  }

  /** A bundle of a node that the user does not see is not there; of another node that it sees, the service says so. */
  async function checkGroup(request: ApiRequest, uuid: string | null): Promise<void> {
    const group = uuid === null ? undefined : await parts.store.objects.find('portgroup', uuid)
    if (group && !(await seesNodeOf(parts.store, request.actor, group)))
      throw new Fault('input.invalid', `portgroup_uuid: there is no portgroup ${JSON.stringify(uuid)}`)
  }
}

/** The MAC address decides whose server is answered at boot, and no project can prove that a card is its own: it is
 *  claimed by an administrator of all projects, or by an inspection of the server that it is in. */
const mustClaim = (request: ApiRequest, field: string) =>
  mustBeWhole(
    request.actor,
    `${field}: only an inspection of the node or an administrator of all projects says which cards boot as a node`,
  )

const groupOf = async ({ store }: RouteParts, request: ApiRequest, ident: string) =>
  (await seenObject(store, request.actor, { kind: 'portgroup', ident })).uuid

async function listPorts(
  parts: PortRouteParts,
  request: ApiRequest,
  at: { filter: PortFilter; detail?: boolean },
): Promise<void> {
  const { query } = request
  const wanted = readWanted(request, {
    gates: PORT_FIELDS,
    summary: SUMMARY,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const ident = query.text('node') ?? query.text('node_uuid')
  const group = query.text('portgroup')
  const whole: PortFilter = {
    ...at.filter,
    ...(ident === undefined ? {} : { nodeUuid: (await seenNode(parts.nodes, request.actor, ident)).uuid }),
    ...(group === undefined ? {} : { portgroupUuid: await groupOf(parts, request, group) }),
    ...(query.has('address') ? { address: (query.text('address') ?? '').toLowerCase() } : {}),
    ...(query.has('shard') ? { shard: query.words('shard') ?? [] } : {}),
    ...(query.has('conductor_groups') ? { conductorGroups: query.words('conductor_groups') ?? [] } : {}),
    ...(query.has('description_contains') ? { descriptionContains: query.text('description_contains') ?? '' } : {}),
    ...(request.actor.project === null ? {} : { project: request.actor.project }),
  }
  await sendList(request, {
    envelope: 'ports',
    wanted,
    gates: PORT_FIELDS,
    fetch: (page) => parts.store.ports(whole, page),
    ident: (port) => port.uuid,
    view: (port) => portView(port, request.view),
  })
}

function checkLink(request: ApiRequest, { local_link_connection: link }: z.infer<typeof PortCreate>): void {
  if (link?.network_type !== undefined) needs(request, 64, 'local_link_connection/network_type')
}

/** Wire name -> record name of everything that is copied as it is; null resets. */
const COPIED = {
  uuid: ['uuid', undefined],
  name: ['name', null],
  description: ['description', null],
  extra: ['extra', {}],
  pxe_enabled: ['pxeEnabled', true],
  local_link_connection: ['localLinkConnection', {}],
  portgroup_uuid: ['portgroupUuid', null],
  physical_network: ['physicalNetwork', null],
  is_smartnic: ['isSmartnic', false],
  vendor: ['vendor', null],
  category: ['category', null],
} as const

const fieldsOf = (given: Readonly<Record<string, unknown>>): Partial<PortRecord> =>
  Object.fromEntries(
    Object.entries(COPIED).flatMap(([wire, [field, reset]]) =>
      given[wire] === undefined ? [] : [[field, given[wire] ?? reset]],
    ),
  )

const wireOf = (port: PortRecord): Record<string, unknown> => ({
  address: port.address,
  node_uuid: port.nodeUuid,
  ...Object.fromEntries(
    Object.entries(COPIED).flatMap(([wire, [field]]) => (wire === 'uuid' ? [] : [[wire, port[field]]])),
  ),
})
