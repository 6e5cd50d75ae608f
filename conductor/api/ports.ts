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
import { gateBody, needs, type Ask, type Route, type RouteParts } from './route.ts'
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
  const show = (ask: Ask, port: PortRecord) => showOne(ask, portView(port, ask.view), PORT_FIELDS)
  const portOf = async (ask: Ask) => {
    const ident = ask.params.ident ?? ''
    checkIdent(ident, 'port')
    const port = await ports.find(ident)
    const node = await nodes.find(port.nodeUuid)
    if (standing(ask.actor, node) === 'none')
      throw new Fault('object.missing', `there is no port ${JSON.stringify(ident.slice(0, 255))}`)
    return { port, node }
  }
  const list = (
    path: string,
    more: Partial<Route> & { detail?: boolean; of?: (ask: Ask) => Promise<PortFilter> },
  ): Route => ({
    method: 'get',
    path,
    role: 'reader',
    query: { ...PAGE_QUERY, ...(more.of ? {} : FILTERS) },
    ...(more.since === undefined ? {} : { since: more.since }),
    says: 'lists ports',
    handle: async (ask) =>
      listPorts(parts, ask, {
        filter: (await more.of?.(ask)) ?? {},
        ...(more.detail === undefined ? {} : { detail: more.detail }),
      }),
  })
  return [
    list('/v1/ports', {}),
    list('/v1/ports/detail', { detail: true }),
    list('/v1/nodes/:ident/ports', { of: async (ask) => ({ nodeUuid: (await nodeOf(parts, ask)).uuid }) }),
    list('/v1/nodes/:ident/ports/detail', {
      detail: true,
      of: async (ask) => ({ nodeUuid: (await nodeOf(parts, ask)).uuid }),
    }),
    list('/v1/portgroups/:ident/ports', {
      since: 24,
      of: async (ask) => ({ portgroupUuid: await groupOf(parts, ask, ask.params.ident ?? '') }),
    }),
    {
      method: 'post',
      path: '/v1/ports',
      role: 'admin',
      says: 'adds a port to a node',
      async handle(ask) {
        gateBody(ask, ask.body, { ...PORT_FIELDS, node_ident: 94 })
        const given = checkInput(PortCreate, ask.body)
        checkLink(ask, given)
        const ident = given.node_uuid ?? given.node_ident
        if (ident === undefined) throw new Fault('input.missing', 'node_uuid is missing')
        const node = await namedNode(nodes, ask.actor, { field: 'node_uuid', ident })
        mustOwn(ask.actor, node, 'ports')
        mustClaim(ask, 'address')
        const port = await ports.add({ nodeUuid: node.uuid, address: given.address, ...fieldsOf(given) })
        return { status: 201, location: `${ask.view.base}/v1/ports/${port.uuid}`, body: show(ask, port) }
      },
    },
    {
      method: 'get',
      path: '/v1/ports/:ident',
      role: 'reader',
      query: { fields: 8 },
      says: 'shows a port',
      handle: async (ask) => ({ body: show(ask, (await portOf(ask)).port) }),
    },
    {
      method: 'patch',
      path: '/v1/ports/:ident',
      role: 'admin',
      says: 'changes a port by a JSON patch',
      async handle(ask) {
        const { port } = await portOf(ask)
        return turns.take(`port ${port.uuid}`, async () => ({ body: show(ask, await untilFresh(() => change(ask))) }))
      },
    },
    {
      method: 'delete',
      path: '/v1/ports/:ident',
      role: 'admin',
      says: 'removes a port',
      async handle(ask) {
        const found = await orDamaged(ask, portOf(ask))
        if (!found) return ports.removeDamaged(ask.params.ident ?? '')
        const { port, node } = found
        mustOwn(ask.actor, node, 'ports')
        await ports.remove(port, node)
      },
    },
  ]

  async function change(ask: Ask): Promise<PortRecord> {
    const { port, node } = await portOf(ask)
    mustOwn(ask.actor, node, 'ports')
    const { result, touched } = applyJsonPatch(wireOf(port), ask.body, { allowed: PORT_PATCHABLE, minor: ask.minor })
    for (const name of touched) needs(ask, PORT_FIELDS[name] ?? 1, name)
    const given = checkInput(PortCreate.omit({ uuid: true }), result)
    checkLink(ask, given)
    if (given.node_uuid !== port.nodeUuid)
      throw new Fault('input.invalid', 'node_uuid: a port cannot change its node; delete it and create it there')
    if (given.address !== port.address) mustClaim(ask, 'address')
    const next = { ...port, address: given.address, ...fieldsOf(given) }
    if (next.pxeEnabled && !port.pxeEnabled) mustClaim(ask, 'pxe_enabled')
    await checkGroup(ask, next.portgroupUuid)
    return ports.update(port, next, { node, confined: ask.actor.project !== null })
  }

  /** A bundle of a node that the user does not see is not there; of another node that it sees, the service says so. */
  async function checkGroup(ask: Ask, uuid: string | null): Promise<void> {
    const group = uuid === null ? undefined : await parts.store.objects.find('portgroup', uuid)
    if (group && !(await seesNodeOf(parts.store, ask.actor, group)))
      throw new Fault('input.invalid', `portgroup_uuid: there is no portgroup ${JSON.stringify(uuid)}`)
  }
}

/** The MAC address decides whose server is answered at boot, and no project can prove that a card is its own: it is claimed by an administrator of all projects,
 *  or by an inspection of the server that it is in. */
const mustClaim = (ask: Ask, field: string) =>
  mustBeWhole(
    ask.actor,
    `${field}: only an inspection of the node or an administrator of all projects says which cards boot as a node`,
  )

const groupOf = async ({ store }: RouteParts, ask: Ask, ident: string) =>
  (await seenObject(store, ask.actor, { kind: 'portgroup', ident })).uuid

async function listPorts(parts: PortRouteParts, ask: Ask, at: { filter: PortFilter; detail?: boolean }): Promise<void> {
  const { query } = ask
  const wanted = readWanted(ask, {
    gates: PORT_FIELDS,
    summary: SUMMARY,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const ident = query.text('node') ?? query.text('node_uuid')
  const group = query.text('portgroup')
  const whole: PortFilter = {
    ...at.filter,
    ...(ident === undefined ? {} : { nodeUuid: (await seenNode(parts.nodes, ask.actor, ident)).uuid }),
    ...(group === undefined ? {} : { portgroupUuid: await groupOf(parts, ask, group) }),
    ...(query.has('address') ? { address: (query.text('address') ?? '').toLowerCase() } : {}),
    ...(query.has('shard') ? { shard: query.words('shard') ?? [] } : {}),
    ...(query.has('conductor_groups') ? { conductorGroups: query.words('conductor_groups') ?? [] } : {}),
    ...(query.has('description_contains') ? { descriptionContains: query.text('description_contains') ?? '' } : {}),
    ...(ask.actor.project === null ? {} : { project: ask.actor.project }),
  }
  await sendList(ask, {
    envelope: 'ports',
    wanted,
    gates: PORT_FIELDS,
    fetch: (page) => parts.store.ports(whole, page),
    ident: (port) => port.uuid,
    view: (port) => portView(port, ask.view),
  })
}

function checkLink(ask: Ask, { local_link_connection: link }: z.infer<typeof PortCreate>): void {
  if (link?.network_type !== undefined) needs(ask, 64, 'local_link_connection/network_type')
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
