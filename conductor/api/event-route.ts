/** /rackward/v1/events: what happened, as a page or as a stream. */
import { turn } from '../../kit/clock.ts'
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { EventParts } from '../events/parts.ts'
import type { LiveFeed } from '../events/live.ts'
import { streamEvents, type LiveSource } from '../events/stream.ts'
import { EVENT_KINDS, wireEvent } from '../events/wire.ts'
import type { NodeRecord } from '../node/record.ts'
import type { EventFilter, SeenEvent } from '../store/port.ts'
import { seenNode, standing } from './access.ts'
import { ANYBODY } from './auth.ts'
import { z } from './node-input.ts'
import { Events } from './rackward-schemas.ts'
import type { ApiRequest, ApiResponse, DescribedRoute, RouteParts } from './route.ts'
import type { OpenSession } from './sessions.ts'
import { veilEvent } from './veil.ts'

export interface EventRouteParts extends RouteParts {
  readonly clock: Clock
  readonly events: EventParts
  readonly live: LiveFeed
  /** Ends the streams when the conductor stops. */
  readonly signal: AbortSignal
}

const Seq = z.coerce.number().int().min(0)
const Words = z
  .string()
  .max(1000)
  .transform((text) => text.split(',').filter((word) => word !== ''))
const Kinds = Words.refine(
  (kinds) => kinds.every((kind) => Object.hasOwn(EVENT_KINDS, kind)),
  `names a kind that does not exist; there are ${Object.keys(EVENT_KINDS).join(', ')}`,
)

const EventQuery = z.strictObject({
  after: Seq.optional().describe(
    'events later than this sequence number; 0 for all that are kept. Last-Event-ID wins over it',
  ),
  node: z.string().max(255).optional().describe('of this node alone, by UUID or name'),
  kinds: Kinds.optional().describe(
    `of these kinds alone, separated by commas: ${Object.entries(EVENT_KINDS)
      .map(([kind, says]) => `${kind} (${says})`)
      .join('; ')}`,
  ),
  newest: z
    .enum(['true', 'false'])
    .default('false')
    .describe('the newest events of `node` in place of the first ones, for JSON answers; without after'),
  live: z
    .enum(['true', 'false'])
    .default('false')
    .describe(
      'for a stream: adds messages of type "live", which have no id and are not kept. {"progress": [..]} says how far the agents of nodes are; {"mesh": {..}} is the report of the mesh, for users of no project: `summary` each time, `hosts` and `incidents` (ids) that changed, `gone`, and `problem`. All that is known comes first; who did not read in time gets what changed meanwhile, as it is then',
    ),
  limit: z.coerce.number().int().min(1).max(1000).default(100).describe('how many, for JSON answers'),
})

export const eventRoute = (parts: EventRouteParts): DescribedRoute => ({
  method: 'get',
  path: '/rackward/v1/events',
  role: 'reader',
  query: EventQuery,
  answer: Events,
  answerType: 'text/event-stream',
  summary:
    'everything that happens, in order: as a stream for "Accept: text/event-stream", which Last-Event-ID resumes; else as a page',
  handle: (request, query) => events(parts, request, query as z.infer<typeof EventQuery>),
})

async function events(
  parts: EventRouteParts,
  request: ApiRequest,
  query: z.infer<typeof EventQuery>,
): Promise<ApiResponse | void> {
  const { store, clock, signal, nodes } = parts
  const of = query.node === undefined ? undefined : await seenNode(nodes, request.actor, query.node)
  const nodeUuid = of?.uuid
  const lastId = request.httpRequest.get('last-event-id')
  if (lastId !== undefined && !/^\d{1,15}$/.test(lastId))
    throw new Fault('input.invalid', 'Last-Event-ID is not a sequence number')
  const after = lastId === undefined ? query.after : Number(lastId)
  // A confined user sees what happens to its own nodes.
  const project = request.actor.project === null ? {} : { project: request.actor.project }
  const filter: EventFilter = {
    ...(nodeUuid ? { nodeUuid } : {}),
    ...(query.kinds ? { kinds: query.kinds } : {}),
    ...project,
  }
  // What a lessee is told leaves out what tells of the BMC.
  const veil = {
    of: (event: SeenEvent) => event.nodeUuid !== null && standing(request.actor, event) === 'lessee',
    async show(event: SeenEvent): Promise<SeenEvent> {
      const node = await store.node(String(event.nodeUuid)).catch((error: unknown) => {
        if (!isFault(error, 'store.damaged')) throw error
      })
      return { ...event, detail: node ? veilEvent(event, node).detail : {} }
    },
  }
  const { journal } = store
  if (request.httpRequest.accepts(['json', 'text/event-stream']) === 'text/event-stream') {
    const session = request.httpResponse.locals.session as OpenSession | undefined
    // Those who look through a link take no places of its maker.
    const holder = session?.isLink ? `link ${session.uuid}` : `user ${request.actor.user}`
    const leave = parts.events.places.take(request.actor === ANYBODY ? null : holder)
    const { hub, batch } = parts.events
    const afterSeq = after ?? (await journal.lastSeq())
    const sees = (node: NodeRecord) =>
      (nodeUuid === undefined || node.uuid === nodeUuid) && standing(request.actor, node) !== 'none'
    const seesMesh = nodeUuid === undefined && request.actor.project === null
    const live: LiveSource | undefined =
      query.live === 'true' ? (send) => parts.live.follow({ sees, seesMesh, send }) : undefined
    return streamEvents(
      request.httpResponse,
      { afterSeq, filter, veil },
      { journal, hub, clock, signal, batch, live },
    ).finally(leave)
  }
  const page: SeenEvent[] = []
  const add = async (event: SeenEvent) => void page.push(veil.of(event) ? await veil.show(event) : event)
  if (query.newest === 'true') {
    if (!of || after !== undefined) throw new Fault('input.invalid', 'newest: goes with node, and without after')
    const { nodeUuid: _, ...only } = filter
    const newest = await journal.ofNode(of.uuid, query.limit, only)
    for (const event of newest.toReversed()) await add({ ...event, owner: of.owner, lessee: of.lessee })
    return { body: { events: page.map(wireEvent), last_seq: page.at(-1)?.seq ?? 0 } }
  }
  for (let seq = after ?? 0; ; await turn()) {
    const { events: found, upToSeq, end } = await journal.scan(seq, filter, query.limit - page.length)
    for (const event of found) await add(event)
    seq = upToSeq
    if (end || page.length === query.limit || request.httpResponse.destroyed)
      return { body: { events: page.map(wireEvent), last_seq: seq } }
  }
}
