/** /v1/allocations and /v1/nodes/{id}/allocation. */
import { Fault, isFault } from '../../../kit/fault.ts'
import { ALLOCATION, type Allocations } from '../../node/allocations.ts'
import type { ObjectRecord } from '../../store/port.ts'
import { mustBeWhole, mustOwn, namedNode, seenNode, standing } from '../access.ts'
import type { Actor } from '../auth.ts'
import { NewDict, NewUuid, ObjectName, z } from '../node-input.ts'
import { nodeOf } from '../nodes/routes.ts'
import { needs, type ApiRequest, type Route } from '../route.ts'
import { objectView, resourceRoutes, type ApiResource, type ResourceParts } from '../resource.ts'
import { Trait } from '../traits.ts'
import { visible } from '../versions.ts'

export interface AllocationRouteParts extends ResourceParts {
  readonly allocations: Allocations
  /** Throws `store.doubt` while it is not known which nodes are free. */
  readonly mayAct?: () => void
}

const Create = z.strictObject({
  uuid: NewUuid,
  name: ObjectName.nullish(),
  resource_class: z.string().min(1).max(80).nullish(),
  traits: z
    .array(Trait)
    .max(50)
    .nullish()
    .transform((given) => given ?? []),
  candidate_nodes: z.array(z.string().max(255)).max(1000).nullish(),
  node: z.string().max(255).nullish(),
  owner: z.string().max(255).nullish(),
  extra: NewDict,
})

export function allocationRoutes(parts: AllocationRouteParts): Route[] {
  const { nodes, store, allocations } = parts
  const sees = (request: ApiRequest, object: ObjectRecord) =>
    request.actor.project === null || object.body.owner === request.actor.project
  const allocation: ApiResource = {
    kind: ALLOCATION,
    path: '/v1/allocations',
    envelope: 'allocations',
    since: 52,
    belowWrite: 405,
    role: 'operator',
    fields: {
      uuid: 1,
      name: 52,
      node_uuid: 52,
      state: 52,
      last_error: 52,
      resource_class: 52,
      traits: 52,
      candidate_nodes: 52,
      extra: 52,
      owner: 60,
      created_at: 1,
      updated_at: 1,
      links: 1,
    },
    summary: [
      'uuid',
      'name',
      'node_uuid',
      'state',
      'last_error',
      'resource_class',
      'traits',
      'candidate_nodes',
      'extra',
      'owner',
      'links',
    ],
    create: Create,
    patchable: { name: null, extra: {} },
    patchSince: 57,
    filters: { node: 52, resource_class: 52, state: 52, owner: 60 },
    async filter(request) {
      const ident = request.query.text('node')
      const where = Object.fromEntries(
        ['resource_class', 'state', 'owner'].flatMap((name) =>
          request.query.has(name) ? [[name, request.query.text(name) ?? '']] : [],
        ),
      )
      return {
        where,
        ...(request.actor.project === null ? {} : { ownedBy: request.actor.project }),
        ...(ident === undefined ? {} : { nodeUuid: (await seenNode(nodes, request.actor, ident)).uuid }),
      }
    },
    sees,
    async check(request, body, before) {
      if (before) return body
      return fresh(request, body)
    },
    async afterAdd(object) {
      if (object.body.state === 'allocating') return allocations.begin(object)
      const node = await nodes.find(String(object.nodeUuid))
      await allocations.backfill(object, node).catch(async (error: unknown) => {
        await store.objects.remove(ALLOCATION, object.uuid)
        throw error
      })
    },
    beforeRemove: (_ask, object) => allocations.release(object),
  }

  async function fresh(request: ApiRequest, body: Record<string, unknown>): Promise<Record<string, unknown>> {
    parts.mayAct?.()
    const { node: ident, candidate_nodes: candidates, ...rest } = body
    if (ident !== undefined && ident !== null) needs(request, 58, 'node')
    if (request.actor.project !== null && (body.owner ?? request.actor.project) !== request.actor.project)
      mustBeWhole(request.actor, 'owner')
    const base = {
      extra: {},
      traits: [],
      resource_class: null,
      ...rest,
      owner: body.owner ?? request.actor.project,
      last_error: null,
    }
    if (typeof ident === 'string') {
      const node = await namedNode(nodes, request.actor, { field: 'node', ident })
      mustOwn(request.actor, node, 'node')
      const uuid = body.uuid ?? node.instanceUuid ?? undefined
      return {
        ...base,
        uuid,
        resource_class: body.resource_class ?? node.resourceClass,
        candidate_nodes: [],
        node_uuid: node.uuid,
        state: 'active',
      }
    }
    if (typeof body.resource_class !== 'string') throw new Fault('input.missing', 'resource_class is missing')
    const uuids = await candidateUuids(request.actor, (candidates ?? []) as string[])
    return { ...base, candidate_nodes: uuids, state: 'allocating' }
  }

  async function candidateUuids(actor: Actor, idents: readonly string[]): Promise<string[]> {
    const found = await Promise.all(
      idents.map(async (ident) =>
        seenNode(nodes, actor, ident).catch((error: unknown) => {
          if (isFault(error, 'object.missing')) return undefined
          throw error
        }),
      ),
    )
    const missing = idents.filter((_, i) => !found[i]).map((ident) => ident.slice(0, 255))
    if (missing.length > 0)
      throw new Fault('input.invalid', `candidate_nodes: Nodes cannot be found: ${missing.join(', ')}`)
    return found.flatMap((node) => (node ? [node.uuid] : []))
  }

  const ofNode = async (request: ApiRequest): Promise<ObjectRecord> => {
    const node = await nodeOf(parts, request)
    const found = node.allocationUuid ? await store.objects.find(ALLOCATION, node.allocationUuid) : undefined
    // The owner of the node may always release it, whoever it was allocated for.
    if (!found || !(sees(request, found) || standing(request.actor, node) === 'owner'))
      throw new Fault('object.missing', `node ${node.uuid} has no allocation`)
    return found
  }
  return [
    ...resourceRoutes(parts, allocation),
    {
      method: 'get',
      path: '/v1/nodes/:ident/allocation',
      role: 'reader',
      since: 52,
      summary: 'shows the allocation of a node',
      handle: async (request) => ({
        body: visible(objectView(allocation, request, await ofNode(request)), {
          gates: allocation.fields,
          minor: request.minor,
        }),
      }),
    },
    {
      method: 'delete',
      path: '/v1/nodes/:ident/allocation',
      role: 'operator',
      since: 52,
      summary: 'deletes the allocation of a node',
      async handle(request) {
        const found = await ofNode(request)
        await allocations.release(found)
        await store.objects.remove(ALLOCATION, found.uuid)
      },
    },
  ]
}
