/** What the smaller resources have in common: create, list, show, change, delete, with fields and verbs gated by version. */
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
import { gateBody, needs, type Ask, type Reply, type Route, type RouteParts } from './route.ts'
import type { Gates } from './versions.ts'
import { links, time } from './views.ts'

export interface ResourceParts extends RouteParts {
  readonly clock: Clock
  readonly random: Random
  /** The limit of a record. */
  readonly recordBytes: number
}

type Body = Readonly<Record<string, unknown>>

export interface Resource {
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
  readonly view?: (body: Body, object: ObjectRecord, ask: Ask) => Record<string, unknown>
  readonly filter?: (ask: Ask) => Promise<ObjectFilter> | ObjectFilter
  /** What must be unique among the kind, beside the name. */
  readonly uniqueKey?: (body: Body) => string | null
  /** How it is said that another has it. */
  readonly taken?: (body: Body) => string
  /** Fills in defaults and refuses what does not do. `before` is absent on creation. */
  readonly check?: (
    ask: Ask,
    body: Record<string, unknown>,
    before?: ObjectRecord,
  ) => Promise<Record<string, unknown>> | Record<string, unknown>
  readonly sees?: (ask: Ask, object: ObjectRecord) => boolean | Promise<boolean>
  /** Refuses who may not create, change or delete. `object` is absent on creation. */
  readonly mayWrite?: (ask: Ask, object?: ObjectRecord) => Promise<void> | void
  readonly beforeRemove?: (ask: Ask, object: ObjectRecord) => Promise<void>
  readonly afterAdd?: (object: ObjectRecord) => Promise<void>
}

export function resourceRoutes(parts: ResourceParts, resource: Resource): Route[] {
  const { kind, path, since, role = 'admin', readRole = 'reader' } = resource
  const { store } = parts
  const below = resource.belowWrite ?? 404
  const find = (ask: Ask) => findObject(parts, resource, ask)
  const query = { ...PAGE_QUERY, ...resource.filters }
  const list = (ask: Ask, detail?: boolean) =>
    listObjects(parts, resource, { ask, ...(detail === undefined ? {} : { detail }) })
  return [
    { method: 'get', path, role: readRole, since, query, says: `lists ${kind}s`, handle: (ask) => list(ask) },
    ...(resource.detailPath
      ? [
          {
            method: 'get',
            path: `${path}/detail`,
            role: readRole,
            since,
            query,
            says: `lists ${kind}s in full`,
            handle: (ask) => list(ask, true),
          } satisfies Route,
        ]
      : []),
    {
      method: 'post',
      path,
      role,
      since,
      below,
      says: `creates a ${kind}`,
      handle: (ask) => addObject(parts, resource, ask),
    },
    {
      method: 'get',
      path: `${path}/:ident`,
      role: readRole,
      since,
      query: { fields: 8 },
      says: `shows a ${kind}`,
      handle: async (ask) => ({ body: show(resource, ask, await find(ask)) }),
    },
    {
      method: 'patch',
      path: `${path}/:ident`,
      role,
      since: resource.patchSince ?? since,
      below: resource.patchSince === undefined ? below : 405,
      says: `changes a ${kind} by a JSON patch`,
      async handle(ask) {
        const { uuid } = await find(ask)
        return parts.turns.take(`${kind} ${uuid}`, () => untilFresh(() => change(ask)))
      },
    },
    {
      method: 'delete',
      path: `${path}/:ident`,
      role,
      since,
      below,
      says: `deletes a ${kind}`,
      async handle(ask) {
        const object = await orDamaged(ask, find(ask))
        if (!object) return removeDamaged(parts, kind, ask.params.ident ?? '')
        await resource.mayWrite?.(ask, object)
        await resource.beforeRemove?.(ask, object)
        await store.objects.remove(kind, object.uuid)
      },
    },
  ]

  async function change(ask: Ask): Promise<Reply> {
    const before = await find(ask)
    await resource.mayWrite?.(ask, before)
    const named = { ...before.body, ...(Object.hasOwn(resource.patchable, 'name') ? { name: before.name } : {}) }
    const wire = Object.fromEntries(
      Object.keys(resource.patchable).map((name) => [name, (named as Body)[name] ?? null]),
    )
    const { result, touched, whole } = applyJsonPatch(wire, ask.body, { allowed: resource.patchable, minor: ask.minor })
    // A key within a field is not gated by version: so it is in Ironic.
    for (const name of whole) needs(ask, resource.writes?.[name] ?? resource.fields[name] ?? 1, name)
    const kept = Object.fromEntries(
      Object.entries(before.body).filter(([name]) => !Object.hasOwn(resource.patchable, name)),
    )
    const given = checkInput(
      resource.create.partial(),
      Object.fromEntries(Object.entries(result).filter(([name, value]) => value !== null || touched.has(name))),
    )
    const body = await checked(resource, { ask, body: { ...kept, ...given } as Record<string, unknown>, before })
    const next = packed(resource, { ...before, updatedAtMs: parts.clock.now() }, body)
    checkSize(`${kind} ${next.uuid}`, next.body, { before: before.body, limitBytes: parts.recordBytes })
    const after = await store.objects.put(next).catch(phrased(resource, { node_uuid: before.nodeUuid, ...body }))
    return { body: show(resource, ask, after) }
  }
}

const checked = async (resource: Resource, at: { ask: Ask; body: Record<string, unknown>; before?: ObjectRecord }) =>
  (await resource.check?.(at.ask, at.body, at.before)) ?? at.body

async function addObject(parts: ResourceParts, resource: Resource, ask: Ask): Promise<Reply> {
  gateBody(ask, ask.body, { ...resource.fields, ...resource.writes })
  await resource.mayWrite?.(ask)
  const given = checkInput(resource.create, ask.body) as Record<string, unknown>
  const { uuid, ...body } = await checked(resource, { ask, body: given })
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
  return { status: 201, location: `${ask.view.base}${resource.path}/${object.uuid}`, body: show(resource, ask, object) }
}

/** A duplicate of the unique key, in the words of the resource. */
const phrased = (resource: Resource, body: Body) => (error: unknown) => {
  const other = isFault(error, 'object.conflict') && resource.taken && error.field === 'unique_key'
  throw other ? new Fault('object.conflict', resource.taken?.(body) ?? '', { cause: error }) : error
}

/** Name, node and unique key have columns of their own. */
function packed(resource: Resource, object: ObjectRecord, body: Record<string, unknown>): ObjectRecord {
  const { name, node_uuid: nodeUuid, ...rest } = body
  return {
    ...object,
    name: typeof name === 'string' ? name : null,
    nodeUuid: typeof nodeUuid === 'string' ? nodeUuid : object.nodeUuid,
    uniqueKey: resource.uniqueKey?.(body) ?? null,
    body: rest,
  }
}

export async function findObject(parts: RouteParts, resource: Resource, ask: Ask): Promise<ObjectRecord> {
  const ident = ask.params.ident ?? ''
  checkIdent(ident, resource.kind)
  const object = await parts.store.objects.find(resource.kind, ident)
  if (!object || (resource.sees && !(await resource.sees(ask, object))))
    throw new Fault('object.missing', `there is no ${resource.kind} ${JSON.stringify(ident.slice(0, 255))}`)
  return object
}

async function listObjects(
  parts: RouteParts,
  resource: Resource,
  at: { ask: Ask; detail?: boolean; filter?: ObjectFilter },
): Promise<void> {
  const { ask } = at
  const wanted = readWanted(ask, {
    gates: resource.fields,
    summary: resource.summary,
    ...(at.detail === undefined ? {} : { detail: at.detail }),
  })
  const filter = { ...(await resource.filter?.(ask)), ...at.filter }
  await sendList(ask, {
    envelope: resource.envelope,
    wanted,
    gates: resource.fields,
    fetch: (page) => parts.store.objects.list(resource.kind, filter, page),
    ident: (object) => object.uuid,
    view: (object) => objectView(resource, ask, object),
  })
}

/** The things of one node under its own path. */
export const ofNode = (
  parts: RouteParts,
  resource: Resource,
  at: { path: string; since: number; nodeUuid: (ask: Ask) => Promise<string> },
): Route => ({
  method: 'get',
  path: at.path,
  role: 'reader',
  since: at.since,
  query: PAGE_QUERY,
  says: `lists the ${resource.kind}s of a node`,
  handle: async (ask) => listObjects(parts, resource, { ask, filter: { nodeUuid: await at.nodeUuid(ask) } }),
})

/** Nothing is known of it that could forbid it. */
async function removeDamaged({ store }: RouteParts, wanted: string, ident: string): Promise<void> {
  const object = store
    .damaged()
    .find(({ kind, uuid, name }) => kind === wanted && (uuid === ident.toLowerCase() || name === ident))
  if (object) await store.objects.remove(wanted, object.uuid)
}

const show = (resource: Resource, ask: Ask, object: ObjectRecord) =>
  showOne(ask, objectView(resource, ask, object), resource.fields)

export function objectView(resource: Resource, ask: Ask, object: ObjectRecord): Record<string, unknown> {
  const own: Record<string, unknown> = {
    uuid: object.uuid,
    name: object.name,
    node_uuid: object.nodeUuid,
    ...object.body,
    created_at: time(object.createdAtMs),
    updated_at: time(object.updatedAtMs),
    links: links(ask.view, `${resource.path.replace('/v1/', '')}/${object.uuid}`),
  }
  const whole = { ...own, ...resource.view?.(object.body, object, ask) }
  return Object.fromEntries(Object.keys(resource.fields).map((name) => [name, whole[name] ?? null]))
}
