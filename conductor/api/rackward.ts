/** /rackward/v1: what Ironic has no word for. Every route has schemas, which check its input and make its OpenAPI
 *  document. */
import { Fault } from '../../kit/fault.ts'
import type { WebhookState } from '../events/webhooks.ts'
import { conductorOf } from './views.ts'
import { explain, lockOf } from '../node/query/explain.ts'
import { driftOf } from '../node/hardware-documents.ts'
import { comparedOf, isTimed } from '../node/query/usual.ts'
import { pastTimes } from '../node/run/past-times.ts'
import { NO_PAST } from '../node/policy/usual-time.ts'
import { portAccounts, tellsSomething, type PortAccount } from '../node/query/port-accounts.ts'
import type { EventWatch } from '../node/run/bmc-events/watch.ts'
import { startsImage, type LoaderRule } from '../node/run/loader-rule.ts'
import type { PowerSync } from '../node/run/power-sync.ts'
import type { NodeRecord } from '../node/record.ts'
import { mustBeWhole, mustOwn, standing } from './access.ts'
import { actRoutes } from './acts.ts'
import { admissionRoutes, type AdmissionRouteParts } from './admission.ts'
import { checkInput, z } from './node-input.ts'
import { eventRoute, type EventRouteParts } from './event-route.ts'
import { boardRoutes, type BoardParts } from './board.ts'
import { rackRoutes } from './rack.ts'
import { roomRoutes, type RoomRouteParts } from './rooms.ts'
import { storeRoutes, type StoreRouteParts } from './store.ts'
import { rolloutRoutes, type RolloutRouteParts } from './rollouts.ts'
import { hookRoutes, type HookRouteParts } from './hooks.ts'
import { seriesRoutes, type SeriesRouteParts } from './image-series.ts'
import { imageRoutes, type ImageRouteParts } from './images.ts'
import { sessionRoutes, type SessionRouteParts } from './session-routes.ts'
import { linkRoutes } from './link-routes.ts'
import { nodeOf } from './nodes/routes.ts'
import { openApi } from './openapi.ts'
import { healthRoutes } from './health.ts'
import { stepRoutes } from './steps.ts'
import { tpmRoutes } from './tpm.ts'
import { meshRoutes, type MeshParts } from './mesh.ts'
import type { ApiRequest, DescribedRoute, Route } from './route.ts'
import { Accounts, LockBroken, Locked, PortAccounts, PowerPass, WebhookStates } from './rackward-schemas.ts'
import { veilDrift, veilNode, veilPoll } from './veil.ts'

export interface RackwardParts
  extends
    RolloutRouteParts,
    SeriesRouteParts,
    RoomRouteParts,
    StoreRouteParts,
    MeshParts,
    EventRouteParts,
    SessionRouteParts,
    ImageRouteParts,
    AdmissionRouteParts,
    BoardParts,
    HookRouteParts {
  readonly powerSync: PowerSync
  readonly eventWatch: Pick<EventWatch, 'of'>
  readonly loaderRule: Pick<LoaderRule, 'look'>
  readonly webhooks: { states(): Promise<WebhookState[]> }
}

const ConsoleQuery = z.strictObject({
  steal: z.enum(['true', 'false']).default('false').describe('end the session of another first: a BMC has one'),
})
const LockQuery = z.strictObject({
  reason: z.string().min(1).max(500).describe('kept in last_error and in the history'),
})

/** How far back unknown MACs are looked for, in events. */
const STRANGERS = 500
const TOLD_AGAIN_MS = 3_600_000
const EVERY_PORT = { limit: 1000, sortKey: 'id', descending: false } as const

export function rackwardRoutes(parts: RackwardParts): Route[] {
  const described = [
    ...describedRoutes(parts),
    ...stepRoutes(parts),
    ...actRoutes(parts),
    ...tpmRoutes(parts),
    ...healthRoutes(parts),
    ...meshRoutes(parts),
    ...sessionRoutes(parts),
    ...linkRoutes(parts),
    ...boardRoutes(parts),
    ...imageRoutes(parts),
    ...seriesRoutes(parts),
    ...admissionRoutes(parts),
    ...rackRoutes(parts),
    ...rolloutRoutes(parts),
    ...roomRoutes(parts),
    ...storeRoutes(parts),
    ...hookRoutes(parts),
  ]
  const document = openApi(described)
  return [
    ...described.map((route) => ({
      ...route,
      query: Object.fromEntries(Object.keys(route.query?.shape ?? {}).map((name) => [name, 1])),
      handle: (request: ApiRequest) =>
        route.handle(
          request,
          route.query
            ? (checkInput(route.query, Object.fromEntries(request.query.raw())) as Record<string, unknown>)
            : {},
        ),
    })),
    {
      method: 'get',
      path: '/rackward/v1/openapi.json',
      role: 'public',
      summary: 'this document',
      handle: () => ({ body: document }),
    },
  ]
}

function describedRoutes(parts: RackwardParts): DescribedRoute[] {
  const { store, clock, worker } = parts
  return [
    eventRoute(parts),
    {
      method: 'get',
      path: '/rackward/v1/nodes/:ident/explain',
      role: 'reader',
      answer: Accounts,
      summary:
        'what a node waits for, since when, whether that is usual, what was last seen of it, and the likely causes',
      handle: async (request) => ({ body: await account(parts, request, await nodeOf(parts, request)) }),
    },
    {
      method: 'get',
      path: '/rackward/v1/nodes/:ident/ports',
      role: 'reader',
      answer: PortAccounts,
      summary: 'what was seen of the ports of a node: card model, switch port (DHCP option 82), loader',
      handle: async (request) => ({ body: { ports: await portsFor(request, await nodeOf(parts, request)) } }),
    },
    {
      method: 'get',
      path: '/rackward/v1/nodes/:ident/console',
      role: 'operator',
      query: ConsoleQuery,
      answer: 'websocket',
      summary: 'the serial console of a node, as a websocket: binary messages, what is typed and what it sends',
      handle() {
        throw new Fault(
          'input.invalid',
          'Upgrade: a console is a websocket; use "rackward node console", or any client of RFC 6455',
        )
      },
    },
    {
      method: 'get',
      path: '/rackward/v1/nodes/:ident/lock',
      role: 'reader',
      answer: Locked,
      summary: 'the lock of a node: its holder, since when, and the reason',
      handle: async (request) => ({
        body: { lock: lockOf(...(await heldNode(request))) },
      }),
    },
    {
      method: 'delete',
      path: '/rackward/v1/nodes/:ident/lock',
      role: 'admin',
      query: LockQuery,
      answer: LockBroken,
      summary:
        'breaks the lock of a node: its pending effects are abandoned, and a node in a working state fails; a wait for the proof of a boot mode or of Secure Boot is given up',
      async handle(request, query) {
        const node = await nodeOf(parts, request)
        mustOwn(request.actor, node, 'lock')
        const after = await worker.breakLock(node.uuid, `${request.actor.user} broke the lock: ${String(query.reason)}`)
        return {
          body: {
            provision_state: after.provisionState,
            abandoned: node.workflow.pendingEffects.map((effect) => effect.do),
          },
        }
      },
    },
    {
      method: 'get',
      path: '/rackward/v1/power-sync',
      role: 'reader',
      answer: PowerPass,
      summary: 'how the last pass over all BMCs went',
      handle(request) {
        mustBeWhole(request.actor, 'power-sync')
        const { last } = parts.powerSync
        return {
          body: {
            last: last
              ? { asked: last.asked, failed: last.failed, not_asked: last.notAsked, took_seconds: last.tookMs / 1000 }
              : null,
          },
        }
      },
    },
    {
      method: 'get',
      path: '/rackward/v1/webhooks',
      role: 'operator',
      answer: WebhookStates,
      summary: 'how far each webhook has come',
      async handle(request) {
        mustBeWhole(request.actor, 'webhooks')
        return { body: { webhooks: await parts.webhooks.states() } }
      },
    },
  ]

  async function heldNode(request: ApiRequest): Promise<Parameters<typeof lockOf>> {
    const node = await nodeOf(parts, request)
    return [node, { conductor: conductorOf(node, request.view) ?? request.view.conductor, nowMs: clock.now() }]
  }

  /** A confined user learns that there is another node, and not which one. */
  async function sharersFor(request: ApiRequest, node: NodeRecord): Promise<string[]> {
    if (standing(request.actor, node) === 'lessee') return []
    const sharers = await store.sharersOfBmc(node)
    return request.actor.project === null || sharers.length === 0 ? sharers : ['another node']
  }

  /** A lessee is told nothing of the switches of the house. */
  async function portsFor(request: ApiRequest, node: NodeRecord): Promise<PortAccount[]> {
    if (standing(request.actor, node) === 'lessee') return []
    const ports = await store.ports({ nodeUuid: node.uuid }, EVERY_PORT)
    return portAccounts(ports, await store.portSightings(node.uuid))
  }

  async function account(
    { powerSync, eventWatch, loaderRule, bootRooms, doubt }: RackwardParts,
    request: ApiRequest,
    node: NodeRecord,
  ) {
    const { sightings } = request.view
    const live = sightings.look(node.uuid)
    // Unknown MACs that asked since this boot began: one of them may be a card of this node.
    const lately =
      live.bootedAtMs > 0
        ? await store.journal.after(
            Math.max(0, (await store.journal.lastSeq()) - STRANGERS),
            { kinds: ['unknown-mac'] },
            STRANGERS,
          )
        : []
    const wanted = lately.filter(({ detail }) => detail.netboot === true)
    const macsOf = (events: typeof lately) => [...new Set(events.map(({ detail }) => String(detail.mac)))].slice(0, 5)
    // Each is told once an hour.
    const before = wanted.filter(({ atMs }) => atMs < live.bootedAtMs && atMs > live.bootedAtMs - TOLD_AGAIN_MS)
    const leased = standing(request.actor, node) === 'lessee'
    const poll = powerSync.of(node.uuid)
    const drift = await driftOf(store, node.uuid)
    return explain({
      node: leased ? veilNode(node) : node,
      live,
      nowMs: clock.now(),
      conductor: conductorOf(node, request.view) ?? request.view.conductor,
      holder: request.view.holderOf(node),
      poll: leased ? veilPoll(poll, node) : poll,
      drift: leased ? veilDrift(drift, node) : drift,
      loader: startsImage(node) ? await loaderRule.look(node) : undefined,
      events: leased ? undefined : eventWatch.of(node.uuid),
      past: isTimed(node.provisionState) ? await pastTimes(store.journal)(comparedOf(node)) : NO_PAST,
      sharers: await sharersFor(request, node),
      ports: (await portsFor(request, node)).filter(tellsSomething),
      strangers: macsOf(wanted.filter(({ atMs }) => atMs >= live.bootedAtMs)),
      strangersBefore: macsOf(before),
      segments: leased ? [] : ((await bootRooms?.segmentsOf(node.uuid)) ?? []),
      doubt: doubt.inDoubt ? { claims: leased ? [] : doubt.now.claims } : undefined,
      othersHeard: leased || live.bootedAtMs === 0 ? 0 : sightings.othersSince(node.uuid, live.bootedAtMs),
    })
  }
}
