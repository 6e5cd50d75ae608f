/** Chassis, portgroups, volume connectors and targets: what servers stand in and hang on. */
import { Fault } from '../../../kit/fault.ts'
import { isLocked } from '../../node/record.ts'
import { locked } from '../../node/policy/guards.ts'
import type { PortService } from '../../node/ports.ts'
import type { ObjectRecord } from '../../store/port.ts'
import { mustBeWhole, mustOwn, namedNode, seenNode, seesNodeOf } from '../access.ts'
import { PAGE_QUERY } from '../listing.ts'
import { Flag, NewDict, Mac, NewUuid, ObjectName, Uuid, z } from '../node-input.ts'
import { listNodes, nodeOf } from '../nodes/routes.ts'
import { unmask } from '../nodes/wire.ts'
import type { ApiRequest, Route } from '../route.ts'
import { findObject, ofNode, resourceRoutes, type ApiResource, type ResourceParts } from '../resource.ts'
import { NODE_FILTERS } from '../versions.ts'
import { links, maskSecrets } from '../views.ts'

const OWN = { uuid: 1, created_at: 1, updated_at: 1, links: 1 } as const
const text = (max: number) => z.string().max(max).nullish()

export function hardwareRoutes(parts: ResourceParts & { readonly ports: PortService }): Route[] {
  const { nodes, store } = parts
  /** The node that a thing belongs to: there, visible, and not busy. */
  const checkNode = async (request: ApiRequest, body: Record<string, unknown>, before?: ObjectRecord) => {
    if (before && body.node_uuid !== undefined && body.node_uuid !== before.nodeUuid)
      throw new Fault('input.invalid', 'node_uuid: it cannot change its node; delete it and create it there')
    const node = await namedNode(nodes, request.actor, {
      field: 'node_uuid',
      ident: String(body.node_uuid ?? before?.nodeUuid),
    })
    mustOwn(request.actor, node, 'node_uuid')
    if (isLocked(node)) throw locked(node)
    return node
  }
  /** What hangs on a leased node is its owner's. */
  const mayWrite = async (request: ApiRequest, object?: ObjectRecord) => {
    const node = object?.nodeUuid ? await store.node(object.nodeUuid) : undefined
    if (node) mustOwn(request.actor, node, 'node_uuid')
  }
  const sees = (request: ApiRequest, object: ObjectRecord) => seesNodeOf(store, request.actor, object)
  const project = (request: ApiRequest) => (request.actor.project === null ? {} : { project: request.actor.project })
  const byNode = async (request: ApiRequest) => {
    const ident = request.query.text('node')
    return {
      ...project(request),
      ...(ident === undefined ? {} : { nodeUuid: (await seenNode(nodes, request.actor, ident)).uuid }),
    }
  }

  const chassis: ApiResource = {
    kind: 'chassis',
    path: '/v1/chassis',
    envelope: 'chassis',
    since: 1,
    detailPath: true,
    fields: { ...OWN, description: 1, extra: 1, nodes: 1 },
    summary: ['uuid', 'description', 'links'],
    create: z.strictObject({ uuid: NewUuid, description: text(255), extra: NewDict }),
    patchable: { description: null, extra: {} },
    mayWrite: (request) => mustBeWhole(request.actor, 'chassis'),
    check: (_ask, body) => ({ extra: {}, ...body }),
    view: (_body, object, request) => ({ nodes: links(request.view, `chassis/${object.uuid}/nodes`) }),
    async beforeRemove(_ask, object) {
      const [node] = await store.nodes(
        { chassisUuid: object.uuid, includeChildren: true },
        { limit: 1, sortKey: 'id', descending: false },
      )
      // Ironic answers 400 here.
      if (node) throw new Fault('input.invalid', `chassis ${object.uuid} still holds node ${node.uuid}`)
    },
  }

  const portgroup: ApiResource = {
    kind: 'portgroup',
    path: '/v1/portgroups',
    envelope: 'portgroups',
    since: 23,
    detailPath: true,
    fields: {
      ...OWN,
      name: 23,
      address: 23,
      extra: 23,
      internal_info: 23,
      node_uuid: 23,
      standalone_ports_supported: 23,
      ports: 24,
      mode: 23,
      properties: 23,
      physical_network: 102,
      category: 103,
    },
    writes: { mode: 26, properties: 26 },
    summary: ['uuid', 'name', 'address', 'links'],
    create: z.strictObject({
      uuid: NewUuid,
      name: ObjectName.nullish(),
      address: Mac.nullish(),
      node_uuid: Uuid,
      extra: NewDict,
      standalone_ports_supported: Flag.optional(),
      mode: text(255),
      properties: NewDict,
      physical_network: text(64),
      category: text(80),
    }),
    patchable: {
      name: null,
      address: null,
      extra: {},
      node_uuid: null,
      standalone_ports_supported: true,
      mode: 'active-backup',
      properties: {},
      physical_network: null,
      category: null,
    },
    filters: { address: 23, node: 24, shard: 106 },
    filter: async (request) => ({
      ...(await byNode(request)),
      ...(request.query.has('shard') ? { shard: request.query.words('shard') ?? [] } : {}),
      ...(request.query.has('address')
        ? { where: { address: (request.query.text('address') ?? '').toLowerCase() } }
        : {}),
    }),
    uniqueKey: (body) => (typeof body.address === 'string' ? body.address : null),
    sees,
    mayWrite,
    async check(request, body, before) {
      await checkNode(request, body, before)
      // As with ports: no project can prove that a MAC address is its own.
      if (typeof body.address === 'string' && body.address !== before?.body.address)
        mustBeWhole(request.actor, 'address')
      const given = Object.fromEntries(
        Object.entries(body).filter(([name, value]) => !(name === 'mode' && value === null)),
      )
      return {
        extra: {},
        internal_info: {},
        standalone_ports_supported: true,
        mode: 'active-backup',
        properties: {},
        ...given,
      }
    },
    view: (_body, object, request) => ({ ports: links(request.view, `portgroups/${object.uuid}/ports`) }),
    afterChange: async ({ nodeUuid }) => (nodeUuid === null ? undefined : parts.ports.bundleChanged(nodeUuid)),
    async beforeRemove(_ask, object) {
      const [port] = await store.ports({ portgroupUuid: object.uuid }, { limit: 1, sortKey: 'id', descending: false })
      if (port) throw new Fault('input.invalid', `portgroup ${object.uuid} still bundles port ${port.uuid}`)
    },
  }

  const connector: ApiResource = {
    kind: 'volume connector',
    path: '/v1/volume/connectors',
    envelope: 'connectors',
    since: 32,
    fields: { ...OWN, type: 32, connector_id: 32, node_uuid: 32, extra: 32 },
    summary: ['uuid', 'connector_id', 'node_uuid', 'type', 'links'],
    create: z.strictObject({
      uuid: NewUuid,
      node_uuid: Uuid,
      type: z.enum(['wwnn', 'wwpn', 'iqn', 'ip', 'mac', 'port']),
      connector_id: z.string().min(1).max(255),
      extra: NewDict,
    }),
    patchable: { type: null, connector_id: null, extra: {}, node_uuid: null },
    filters: { node: 32, detail: 32 },
    filter: byNode,
    uniqueKey: (body) => `${String(body.type)} ${String(body.connector_id)}`,
    taken: (body) =>
      `A volume connector with type ${String(body.type)} and connector ID ${String(body.connector_id)} already exists`,
    sees,
    mayWrite,
    check: async (request, body, before) => {
      const node = await checkNode(request, body, before)
      if (before) mustBeOff(node, 'volume connector update')
      return { extra: {}, ...body }
    },
    beforeRemove: async (_ask, object) =>
      mustBeOff(await nodes.find(String(object.nodeUuid)), 'volume connector deletion'),
  }

  const target: ApiResource = {
    kind: 'volume target',
    path: '/v1/volume/targets',
    envelope: 'targets',
    since: 32,
    fields: { ...OWN, node_uuid: 32, volume_type: 32, boot_index: 32, volume_id: 32, properties: 32, extra: 32 },
    summary: ['uuid', 'boot_index', 'node_uuid', 'volume_id', 'volume_type', 'links'],
    create: z.strictObject({
      uuid: NewUuid,
      node_uuid: Uuid,
      volume_type: z.string().min(1).max(64),
      boot_index: z.coerce.number().int().min(0).max(1000),
      volume_id: z.string().min(1).max(255),
      properties: NewDict,
      extra: NewDict,
    }),
    patchable: { volume_type: null, boot_index: null, volume_id: null, properties: {}, extra: {}, node_uuid: null },
    filters: { node: 32, detail: 32 },
    filter: byNode,
    sees,
    mayWrite,
    uniqueKey: (body) => `${String(body.node_uuid)} ${String(body.boot_index)}`,
    taken: (body) => `A volume target with boot index '${String(body.boot_index)}' for the same node already exists`,
    check: async (request, body, before) => {
      const node = await checkNode(request, body, before)
      if (before) mustBeOff(node, 'volume target update')
      return {
        extra: {},
        ...body,
        properties: unmask(body.properties ?? {}, before?.body.properties),
        node_uuid: node.uuid,
      }
    },
    view: ({ properties }) => ({ properties: maskSecrets((properties ?? {}) as Record<string, unknown>) }),
    beforeRemove: async (_ask, object) =>
      mustBeOff(await nodes.find(String(object.nodeUuid)), 'volume target deletion'),
  }

  return [
    ...resourceRoutes(parts, chassis),
    {
      method: 'get',
      path: '/v1/chassis/:ident/nodes',
      role: 'reader',
      query: { ...PAGE_QUERY, ...NODE_FILTERS },
      summary: 'lists the nodes of a chassis',
      handle: async (request) =>
        listNodes(parts, request, { filter: { chassisUuid: (await findObject(parts, chassis, request)).uuid } }),
    },
    ...resourceRoutes(parts, portgroup),
    ofNode(parts, portgroup, {
      path: '/v1/nodes/:ident/portgroups',
      since: 24,
      nodeUuid: async (request) => (await nodeOf(parts, request)).uuid,
    }),
    {
      method: 'get',
      path: '/v1/volume',
      role: 'reader',
      since: 32,
      summary: 'names the volume resources',
      handle: (request) => ({
        body: {
          links: links(request.view, 'volume'),
          connectors: links(request.view, 'volume/connectors'),
          targets: links(request.view, 'volume/targets'),
        },
      }),
    },
    {
      method: 'get',
      path: '/v1/nodes/:ident/volume',
      role: 'reader',
      since: 32,
      summary: 'names the volume resources of a node',
      async handle(request) {
        const at = `nodes/${(await nodeOf(parts, request)).uuid}/volume`
        return {
          body: {
            links: links(request.view, at),
            connectors: links(request.view, `${at}/connectors`),
            targets: links(request.view, `${at}/targets`),
          },
        }
      },
    },
    ...resourceRoutes(parts, connector),
    ...resourceRoutes(parts, target),
    ofNode(parts, connector, {
      path: '/v1/nodes/:ident/volume/connectors',
      since: 32,
      nodeUuid: async (request) => (await nodeOf(parts, request)).uuid,
    }),
    ofNode(parts, target, {
      path: '/v1/nodes/:ident/volume/targets',
      since: 32,
      nodeUuid: async (request) => (await nodeOf(parts, request)).uuid,
    }),
  ]
}

/** A running server has its volumes in use. */
function mustBeOff(node: { uuid: string; powerState: string | null }, action: string): void {
  if (node.powerState === 'power off') return
  throw new Fault(
    'node.state',
    `The requested action "${action}" can not be performed on node "${node.uuid}" while it is in state "${node.powerState ?? 'None'}"`,
  )
}
