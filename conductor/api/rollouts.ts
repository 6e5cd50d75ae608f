/** /rackward/v1/rollouts: a plan becomes a roll-out, which the conductor carries on; how far it is; pause, resume,
 *  cancel. */
import { findArrow, move } from '../../kit/arrows.ts'
import { turn as othersTurn, type Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import {
  addRollout,
  addTurns,
  countsOf,
  openRollouts,
  putRollout,
  removeRollout,
  ROLLOUT,
  rolloutOf,
  turnsOf,
  type KeptRollout,
} from '../rollouts/kept.ts'
import { END_TEXTS, planHash, unagreed, type EndKind, type Plan } from '../rollouts/plan.ts'
import { ROLLOUT_TABLE } from '../rollouts/states.ts'
import type { NodeTurn } from '../rollouts/step.ts'
import { untilFresh } from '../store/again.ts'
import { mustBeWhole } from './access.ts'
import { checkInput } from './node-input.ts'
import { checkAct, checkItem } from './rollout-checks.ts'
import { RolloutBody, RolloutChange, RolloutList, RolloutView } from './rollout-schemas.ts'
import type { ApiRequest, DescribedRoute, RouteParts } from './route.ts'
import { time } from './views.ts'

export interface RolloutRouteParts extends RouteParts {
  readonly clock: Clock
  readonly random: Random
  /** Ended roll-outs that are kept; as many may be under way. */
  readonly rolloutsKept: number
}

const PATH = '/rackward/v1/rollouts'
/** Nodes that are looked at before everybody else has a turn. */
const AT_A_TIME = 50
/** Nodes that are stored in one transaction, which nothing else interrupts. */
const TURNS_AT_ONCE = 250

export const rolloutRoutes = (parts: RolloutRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: PATH,
    role: 'operator',
    answer: RolloutList,
    summary: 'roll-outs, the newest last',
    async handle(request) {
      mustBeWhole(request.actor, 'rollouts')
      const kept = (await parts.store.objects.every(ROLLOUT)).map(rolloutOf)
      return { body: { rollouts: await Promise.all(kept.map((one) => viewOf(parts, one))) } }
    },
  },
  {
    method: 'post',
    path: PATH,
    role: 'admin',
    takes: 'config drive',
    body: RolloutBody,
    answer: RolloutView,
    summary: 'begins to roll a plan out; refused when something that it depends on has changed, or is not agreed to',
    async handle(request) {
      mustBeWhole(request.actor, 'rollouts')
      return { status: 201, body: await viewOf(parts, await begin(parts, request)) }
    },
  },
  {
    method: 'get',
    path: `${PATH}/:id`,
    role: 'operator',
    answer: RolloutView,
    summary: 'a roll-out, with how far each node is',
    async handle(request) {
      mustBeWhole(request.actor, 'rollouts')
      return { body: await viewOf(parts, await found(parts, request), true) }
    },
  },
  {
    method: 'patch',
    path: `${PATH}/:id`,
    role: 'admin',
    body: RolloutChange,
    answer: RolloutView,
    summary: 'pauses, resumes or cancels a roll-out; what a node is in the middle of goes on by itself',
    async handle(request) {
      mustBeWhole(request.actor, 'rollouts')
      const { event } = checkInput(RolloutChange, request.body)
      return { body: await viewOf(parts, await untilFresh(() => change(parts, request, event))) }
    },
  },
]

async function found({ store }: RolloutRouteParts, request: ApiRequest): Promise<KeptRollout> {
  const { id = '' } = request.params
  const object = await store.objects.find(ROLLOUT, id)
  if (!object) throw new Fault('object.missing', `there is no roll-out ${JSON.stringify(id.slice(0, 255))}`)
  return rolloutOf(object)
}

async function change(
  parts: RolloutRouteParts,
  request: ApiRequest,
  event: 'pause' | 'resume' | 'cancel',
): Promise<KeptRollout> {
  const rollout = await found(parts, request)
  if (!findArrow(ROLLOUT_TABLE.arrows, rollout.state, event))
    throw new Fault('object.conflict', `the roll-out is ${rollout.state}: it takes no "${event}"`)
  const counts = event === 'pause' ? {} : countsOf(await turnsOf(parts.store, rollout.object.uuid))
  const patch = {
    ...(event === 'resume' ? { forgiven: counts.failed ?? 0, why: null } : {}),
    ...(event === 'cancel' ? { counts, secrets: {}, why: `cancelled by ${request.actor.user}` } : {}),
    ...(event === 'pause' ? { why: `paused by ${request.actor.user}` } : {}),
  }
  return putRollout(parts.store, move(ROLLOUT_TABLE, rollout, { on: event, patch }), parts.clock.now())
}

async function begin(parts: RolloutRouteParts, request: ApiRequest): Promise<KeptRollout> {
  const { plan, agreed, secrets } = checkInput(RolloutBody, request.body)
  if (planHash(plan) !== plan.hash)
    throw new Fault('input.invalid', 'plan: it was changed after it was made; make a new plan')
  const missing = plan.secrets.find((name) => !Object.hasOwn(secrets, name))
  if (missing !== undefined) throw new Fault('input.missing', `secrets/${missing} is missing`)
  const [kind, nodes] = (Object.entries(unagreed(plan, agreed))[0] ?? []) as [EndKind?, string[]?]
  if (kind && nodes)
    throw new Fault(
      'input.invalid',
      `agreed/${kind}: ${nodes[0]} ${END_TEXTS[kind]}; agree to it for ${nodes.length} nodes`,
    )

  const open = await openRollouts(parts.store)
  const other = open.find(({ site }) => site === plan.site)
  if (other) throw busy(plan, other)
  if (open.length >= parts.rolloutsKept)
    throw new Fault('object.conflict', `${open.length} roll-outs have not ended (limits.api.rolloutsKept): cancel some`)
  const names = new Set(plan.items.map(({ node }) => node))
  const uuids = new Set(plan.items.map(({ uuid, node }) => uuid ?? node))
  if (names.size < plan.items.length || uuids.size < plan.items.length)
    throw new Fault('input.invalid', 'plan/items: a node stands there twice; make a new plan')
  for (const [i, item] of plan.items.entries()) {
    if (i % AT_A_TIME === 0) await othersTurn()
    await checkItem(parts, item)
  }
  for (const act of plan.acts ?? []) await checkAct(parts, act)
  await prune(parts)
  return keep(parts, request, { plan, secrets })
}

/** One of a site at a time: two plans at once would not see each other. */
const busy = ({ site }: Plan, other: KeptRollout | undefined): Fault =>
  new Fault(
    'object.conflict',
    other
      ? `the roll-out ${other.object.uuid} of the site ${site} is ${other.state}: wait, or cancel it`
      : `the site ${site} has had another roll-out meanwhile; plan again`,
  )

/** Forgets the oldest ones that have ended. */
async function prune({ store, rolloutsKept }: RolloutRouteParts): Promise<void> {
  const all = (await store.objects.every(ROLLOUT)).map(rolloutOf)
  const ended = all.filter(({ state }) => ROLLOUT_TABLE.final.includes(state))
  for (const { object } of ended.slice(0, Math.max(0, ended.length - rolloutsKept + 1)))
    await removeRollout(store, object.uuid)
}

/** The roll-out first, which holds the site; it runs when all of its nodes are stored. */
async function keep(
  parts: RolloutRouteParts,
  request: ApiRequest,
  { plan, secrets }: { plan: Plan; secrets: Readonly<Record<string, string>> },
): Promise<KeptRollout> {
  const { store, clock, random } = parts
  const at = { uuid: random.uuid(), nowMs: clock.now() }
  const { user, role, project } = request.actor
  const body = {
    state: 'preparing',
    roll: plan.roll,
    forgiven: 0,
    canariesDoneAtMs: null,
    why: null,
    site: plan.site,
    hash: plan.hash,
    by: { user, role, project },
    secrets: Object.fromEntries(plan.secrets.map((name) => [name, secrets[name] ?? ''])),
    counts: null,
    ...(plan.acts ? { acts: plan.acts } : {}),
  } as const
  const rollout = await addRollout(store, body, at).catch(async (error: unknown) => {
    if (!isFault(error, 'object.conflict')) throw error
    throw busy(
      plan,
      (await openRollouts(store)).find(({ site }) => site === plan.site),
    )
  })
  try {
    await keepTurns(parts, plan, at)
    return await putRollout(store, move(ROLLOUT_TABLE, rollout, { on: 'begin', patch: {} }), clock.now())
  } catch (error) {
    await removeRollout(store, at.uuid)
    throw isFault(error, 'store.moved')
      ? new Fault('object.conflict', 'the roll-out was cancelled before it began', { cause: error })
      : error
  }
}

async function keepTurns(
  { store, random }: RolloutRouteParts,
  { items }: Plan,
  { uuid: rolloutUuid, nowMs }: { uuid: string; nowMs: number },
): Promise<void> {
  const first = { state: 'waiting', stage: 0, mark: null, why: null } as const
  const at = { newUuid: () => random.uuid(), rolloutUuid, nowMs }
  for (let from = 0; from < items.length; from += TURNS_AT_ONCE) {
    await othersTurn()
    const turns = items.slice(from, from + TURNS_AT_ONCE).map((item, i): NodeTurn => ({
      ...first,
      position: from + i,
      item,
      nodeUuid: item.uuid ?? random.uuid(),
    }))
    await addTurns(store, turns, at)
  }
}

async function viewOf({ store }: RolloutRouteParts, rollout: KeptRollout, whole = false): Promise<RolloutView> {
  const { object, roll, canariesDoneAtMs } = rollout
  const canaries = new Set(roll.canaries)
  const turns = rollout.counts && !whole ? [] : await turnsOf(store, object.uuid)
  return {
    id: object.uuid,
    site: rollout.site,
    state: rollout.state,
    why: rollout.why,
    by: rollout.by.user,
    plan: rollout.hash,
    created_at: time(object.createdAtMs),
    updated_at: time(object.updatedAtMs),
    counts: { ...(rollout.counts ?? countsOf(turns)) },
    at_once: roll.at_once,
    at_once_per_rack: roll.at_once_per_rack,
    stop_after: roll.stop_after,
    canaries: canaries.size,
    canaries_done_at: time(canariesDoneAtMs),
    held_until: time(canariesDoneAtMs === null ? null : canariesDoneAtMs + roll.hold_seconds * 1000),
    ...(whole
      ? { nodes: turns.toSorted((a, b) => a.position - b.position).map((one) => nodeView(one, canaries)) }
      : {}),
  }
}

function nodeView({ item, nodeUuid, state, stage, why }: NodeTurn, canaries: ReadonlySet<string>) {
  const now = item.stages[stage]
  return {
    node: item.node,
    uuid: nodeUuid,
    canary: canaries.has(item.node),
    state,
    stage,
    stages: item.stages.length,
    doing: state === 'running' && now ? (now.do === 'verb' ? now.verb : now.do) : null,
    why,
  }
}
