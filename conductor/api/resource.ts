/** What the smaller resources have in common: create, list, show, change, delete, with fields and verbs gated by
 *  version. */
import { Fault, isFault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Random } from '../../kit/random.ts'
import { untilFresh } from '../store/again.ts'
import type { ObjectFilter, ObjectRecord } from '../store/port.ts'
import { checkSize } from '../node/policy/size.ts'
import { orDamaged } from './access.ts'
import type { Role } from './auth.ts'
import { applyJsonPatch } from './json-patch.ts'
import { PAGE_QUERY, readWanted, sendList, showOne } from './listing.ts'
import { checkIdent, checkInput, type z } from './node-input.ts'
import { gateBody, needs, type ApiRequest, type ApiResponse, type Route, type RouteParts } from './route.ts'
import type { Gates } from './versions.ts'
import { links, time } from './views.ts'

export interface ResourceParts extends RouteParts {
  readonly clock: Clock
  readonly random: Random
  /** The limit of a record. */
  readonly recordBytes: number
}

type Body = Readonly<Record<string, unknown>>

export interface ApiResource {
  /** What it is called in messages and in the store. */
  readonly kind: string
  /** `/v1/chassis`. */
  readonly path: string
  readonly envelope: string
  readonly since: number
  /** How writing is refused below that version: some resources are 405 there. */
  readonly belowWrite?: 404 | 405
  readonly role?: Role
  readonly readRole?: Role
  readonly fields: Gates
  /** Fields that were shown before they could be written: since when that is. */
  readonly writes?: Gates
  readonly summary: readonly string[]
  readonly create: z.ZodObject
  /** What PATCH may touch, with the value that removing it gives. */
  readonly patchable: Readonly<Record<string, unknown>>
  readonly patchSince?: number
  readonly filters?: Gates
  /** `/v1/chassis/detail`. */
  readonly detailPath?: true
  /** Fields that only show what is; the rest is stored as it came. */
  readonly view?: (body: Body, object: ObjectRecord, request: ApiRequest) => Record<string, unknown>
  readonly filter?: (request: ApiRequest) => Promise<ObjectFilter> | ObjectFilter
  /** What must be unique among the kind, beside the name. */
  readonly uniqueKey?: (body: Body) => string | null
  /** How it is said that another has it. */
  readonly taken?: (body: Body) => string
  /** Fills in defaults and refuses what does not do. `before` is absent on creation. */
  readonly check?: (
    request: ApiRequest,
    body: Record<string, unknown>,
    before?: ObjectRecord,
  ) => Promise<Record<string, unknown>> | Record<string, unknown>
  readonly sees?: (request: ApiRequest, object: ObjectRecord) => boolean | Promise<boolean>
  /** Refuses who may not create, change or delete. `object` is absent on creation. */
  readonly mayWrite?: (request: ApiRequest, object?: ObjectRecord) => Promise<void> | void
  readonly beforeRemove?: (request: ApiRequest, object: ObjectRecord) => Promise<void>
  readonly afterAdd?: (object: ObjectRecord) => Promise<void>
  readonly afterChange?: (object: ObjectRecord) => Promise<void>
}

export function resourceRoutes(parts: ResourceParts, resource: ApiResource): Route[] {
  const { kind, path, since, role = 'admin', readRole = 'reader' } = resource
  const { store } = parts
  const below = resource.belowWrite ?? 404
  const find = (request: ApiRequest) => findObject(parts, resource, request)
  const query = { ...PAGE_QUERY, ...resource.filters }
  const list = (request: ApiRequest, detail?: boolean) =>
    listObjects(parts, resource, { request, ...(detail === undefined ? {} : { detail }) })
  return [
    {
      method: 'get',
      path,
      role: readRole,
      since,
      query,
      summary: `lists ${kind}s`,
      handle: (request) => list(request),
    },
    ...(resource.detailPath
      ? [
          {
            method: 'get',
            path: `${path}/detail`,
            role: readRole,
            since,
            query,
            summary: `lists ${kind}s in full`,
            handle: (request) => list(request, true),
          } satisfies Route,
        ]
      : []),
    {
      method: 'post',
      path,
      role,
      since,
      below,
      summary: `creates a ${kind}`,
      handle: (request) => addObject(parts, resource, request),
    },
    {
      method: 'get',
      path: `${path}/:ident`,
      role: readRole,
      since,
      query: { fields: 8 },
      summary: `shows a ${kind}`,
      handle: async (request) => ({ body: show(resource, request, await find(request)) }),
    },
    {
      method: 'patch',
      path: `${path}/:ident`,
      role,
      since: resource.patchSince ?? since,
      below: resource.patchSince === undefined ? below : 405,
      summary: `changes a ${kind} by a JSON patch`,
      async handle(request) {
        const { uuid } = await find(request)
        return parts.turns.take(`${kind} ${uuid}`, () => untilFresh(() => change(request)))
      },
    },
    {
      method: 'delete',
      path: `${path}/:ident`,
      role,
      since,
      below,
      summary: `deletes a ${kind}`,
      async handle(request) {
        const object = await orDamaged(request, find(request))
        if (!object) return removeDamaged(parts, kind, request.params.ident ?? '')
        await resource.mayWrite?.(request, object)
        await resource.beforeRemove?.(request, object)
        await store.objects.remove(kind, object.uuid)
      },
    },
  ]

  async function change(request: ApiRequest): Promise<ApiResponse> {
    const before = await find(request)
    await resource.mayWrite?.(request, before)
    const named = { ...before.body, ...(Object.hasOwn(resource.patchable, 'name') ? { name: before.name } : {}) }
    const wire = Object.fromEntries(
      Object.keys(resource.patchable).map((name) => [name, (named as Body)[name] ?? null]),
    )
    const { result, touched, whole } = applyJsonPatch(wire, request.body, {
      allowed: resource.patchable,
      minor: request.minor,
    })
    // A key within a field is not gated by version: so it is in Ironic.
    for (const name of whole) needs(request, resource.writes?.[name] ?? resource.fields[name] ?? 1, name)
    const kept = Object.fromEntries(
      Object.entries(before.body).filter(([name]) => !Object.hasOwn(resource.patchable, name)),
    )
    const given = checkInput(
      resource.create.partial(),
      Object.fromEntries(Object.entries(result).filter(([name, value]) => value !== null || touched.has(name))),
    )
    const body = await checked(resource, { request, body: { ...kept, ...given } as Record<string, unknown>, before })
    const next = packed(resource, { ...before, updatedAtMs: parts.clock.now() }, body)
    checkSize(`${kind} ${next.uuid}`, next.body, { before: before.body, limitBytes: parts.recordBytes })
    const after = await store.objects.put(next).catch(phrased(resource, { node_uuid: before.nodeUuid, ...body }))
    await resource.afterChange?.(after)
    return { body: show(resource, request, after) }
  }
}

const checked = async (
  resource: ApiResource,
  at: { request: ApiRequest; body: Record<string, unknown>; before?: ObjectRecord },
) => (await resource.check?.(at.request, at.body, at.before)) ?? at.body

async function addObject(parts: ResourceParts, resource: ApiResource, request: ApiRequest): Promise<ApiResponse> {
  gateBody(request, request.body, { ...resource.fields, ...resource.writes })
  await resource.mayWrite?.(request)
  const given = checkInput(resource.create, request.body) as Record<string, unknown>
  const { uuid, ...body } = await checked(resource, { request, body: given })
  const fresh: ObjectRecord = {
    kind: resource.kind,
    uuid: typeof uuid === 'string' ? uuid : parts.random.uuid(),
    name: null,
    nodeUuid: null,
    uniqueKey: null,
    version: 0,
    createdAtMs: parts.clock.now(),
    updatedAtMs: null,
    body: {},
  }
  const object = packed(resource, fresh, body)
  checkSize(`${object.kind} ${object.uuid}`, object.body, { limitBytes: parts.recordBytes })
  await parts.store.objects.add(object).catch(phrased(resource, body))
  await resource.afterAdd?.(object)
  return {
    status: 201,
    location: `${request.view.base}${resource.path}/${object.uuid}`,
    body: show(resource, request, object),
  }
}

/** A duplicate of the unique key, in the words of the resource. */
const phrased = (resource: ApiResource, body: Body) => (error: unknown) => {
  const other = isFault(error, 'object.conflict') && resource.taken && error.field === 'unique_key'
  throw other ? new Fault('object.conflict', resource.taken?.(body) ?? '', { cause: error }) : error
}

/** Name, node and unique key have columns of their own. */
function packed(resource: ApiResource, object: ObjectRecord, body: Record<string, unknown>): ObjectRecord {
  const { name, node_uuid: nodeUuid, ...rest } = body
  return {
    ...object,
    name: typeof name === 'string' ? name : null,
    nodeUuid: typeof nodeUuid === 'string' ? nodeUuid : object.nodeUuid,
    uniqueKey: resource.uniqueKey?.(body) ?? null,
    body: rest,
  }
}

export async function findObject(parts: RouteParts, resource: ApiResource, request: ApiRequest): Promise<ObjectRecord> {
  const ident = request.params.ident ?? ''
  checkIdent(ident, resource.kind)
  const object = await parts.store.objects.find(resource.kind, ident)
  if (!object || (resource.sees && !(await resource.sees(request, object))))
    throw new Fault('object.missing', `there is no ${resource.kind} ${JSON.stringify(ident.slice(0, 255))}`)
  return object
}

async function listObjects(
  parts: RouteParts,
  resource: ApiResource,
  at: { request: ApiRequest; detail?: boolean; filter?: ObjectFilter },
): Promise<void> {
  const { request } = at
  const wanted = readWanted(request, {
    gates: resource.fields,
    summary: resource.summary,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const filter = { ...(await resource.filter?.(request)), ...at.filter }
  await sendList(request, {
    envelope: resource.envelope,
    wanted,
    gates: resource.fields,
    fetch: (page) => parts.store.objects.list(resource.kind, filter, page),
    ident: (object) => object.uuid,
    view: (object) => objectView(resource, request, object),
  })
}

/** The things of one node under its own path. */
export const ofNode = (
  parts: RouteParts,
  resource: ApiResource,
  at: { path: string; since: number; nodeUuid: (request: ApiRequest) => Promise<string> },
): Route => ({
  method: 'get',
  path: at.path,
  role: 'reader',
  since: at.since,
  query: PAGE_QUERY,
  summary: `lists the ${resource.kind}s of a node`,
  handle: async (request) =>
    listObjects(parts, resource, { request, filter: { nodeUuid: await at.nodeUuid(request) } }),
})

/** Nothing is known of it that could forbid it. */
async function removeDamaged({ store }: RouteParts, wanted: string, ident: string): Promise<void> {
  const object = store
    .damaged()
    .find(({ kind, uuid, name }) => kind === wanted && (uuid === ident.toLowerCase() || name === ident))
  if (object) await store.objects.remove(wanted, object.uuid)
}

const show = (resource: ApiResource, request: ApiRequest, object: ObjectRecord) =>
  showOne(request, objectView(resource, request, object), resource.fields)

export function objectView(resource: ApiResource, request: ApiRequest, object: ObjectRecord): Record<string, unknown> {
  const own: Record<string, unknown> = {
    uuid: object.uuid,
    name: object.name,
    node_uuid: object.nodeUuid,
    ...object.body,
    created_at: time(object.createdAtMs),
    updated_at: time(object.updatedAtMs),
    links: links(request.view, `${resource.path.replace('/v1/', '')}/${object.uuid}`),
  }
  const whole = { ...own, ...resource.view?.(object.body, object, request) }
  return Object.fromEntries(Object.keys(resource.fields).map((name) => [name, whole[name] ?? null]))
}
