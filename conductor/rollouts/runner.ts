/** Carries roll-outs out: looks at each running one, does what step.ts says, and records before it acts. An
 *  interruption at any point ends nothing twice and forgets nothing. */
import { turn as othersTurn, type Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import { move } from '../../kit/arrows.ts'
import { uuidFrom } from '../../kit/digest.ts'
import type { Actor } from '../api/auth.ts'
import { isLocked, type NodeRecord } from '../node/record.ts'
import { moved } from '../store/moved.ts'
import type { Store } from '../store/port.ts'
import {
  countsOf,
  openRollouts,
  putRollout,
  putTurn,
  ROLLOUT,
  turnsOf,
  type KeptRollout,
  type KeptTurn,
} from './kept.ts'
import { RECORD, recordObject } from './records.ts'
import { requestOf, type StageRequest } from './requests.ts'
import { deedsOf, verdictOf, type Deed, type NodeFacts } from './step.ts'
import { ROLLOUT_TABLE, TURN_TABLE } from './states.ts'
import { sendAct } from './send-act.ts'
import { recordAct } from './site-records.ts'
import type { SiteAct } from './site-acts.ts'
import type { Stage } from './plan.ts'

export interface SentBy {
  readonly actor: Actor
  readonly id: string
  /** That the node must still have for a verb; null: any. */
  readonly generation: number | null
}

export interface RolloutParts {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Sends a request as this user, through all that the API checks. */
  readonly send: (request: StageRequest, by: SentBy) => Promise<void>
  /** The user as it is now; undefined: it has no access any more. */
  readonly actorOf: (by: Actor) => Actor | undefined
  readonly fingerprintOf: (node: NodeRecord) => Promise<string>
}

const ROUND_MS = 500
/** A roll-out whose nodes are not all stored after this time is stored by nobody any more. */
const PREPARING_MS = 600_000
/** Nodes that are looked at before everybody else has a turn. */
const AT_A_TIME = 50
const MASK = '******'

export class Rollouts {
  private readonly parts: RolloutParts
  private loop: Loop | undefined
  /** By roll-out, and by their UUIDs: read once, for nobody else changes them. */
  private readonly turns = new Map<string, Map<string, KeptTurn>>()

  constructor(parts: RolloutParts) {
    this.parts = parts
  }

  start(): void {
    const { clock, log } = this.parts
    const onError = (error: unknown) =>
      log.error({ err: error }, 'roll-outs could not be looked at; they are looked at again')
    this.loop = new Loop({ clock, everyMs: ROUND_MS, onError }, (signal) => this.round(signal))
  }

  async stop(): Promise<void> {
    await this.loop?.stop()
  }

  async round(signal?: AbortSignal): Promise<void> {
    const { store, clock } = this.parts
    const open = await openRollouts(store)
    const running = open.filter(({ state }) => state === 'running')
    for (const uuid of this.turns.keys())
      if (!running.some(({ object }) => object.uuid === uuid)) this.turns.delete(uuid)
    for (const rollout of open)
      if (rollout.state === 'preparing' && clock.now() - rollout.object.createdAtMs > PREPARING_MS)
        await this.abandon(rollout)

    for (const rollout of running) {
      const turns = await this.turnsOf(rollout)
      for (const [i, deed] of deedsOf(rollout, turns, clock.now()).entries()) {
        if (signal?.aborted) return
        if (i % AT_A_TIME === 0) await othersTurn()
        if (!(await this.perform(rollout, deed).catch((error: unknown) => this.onError(error, rollout)))) break
      }
    }
  }

  private async turnsOf({ object }: KeptRollout): Promise<KeptTurn[]> {
    const known = this.turns.get(object.uuid)
    if (known) return [...known.values()]
    const read = await turnsOf(this.parts.store, object.uuid)
    this.turns.set(object.uuid, new Map(read.map((turn) => [turn.object.uuid, turn])))
    return read
  }

  private async put(rollout: KeptRollout, next: KeptTurn): Promise<KeptTurn> {
    const { store, clock } = this.parts
    const stored = await putTurn(store, next, clock.now())
    this.turns.get(rollout.object.uuid)?.set(stored.object.uuid, stored)
    return stored
  }

  /** Somebody else wrote: the next round sees it. */
  private onError(error: unknown, { object }: KeptRollout): boolean {
    this.turns.delete(object.uuid)
    if (!isFault(error, 'store.moved'))
      this.parts.log.error({ err: error, rollout: object.uuid }, 'a roll-out could not go on; it is tried again')
    return false
  }

  private async abandon(rollout: KeptRollout): Promise<void> {
    const why = 'the conductor that stored it ended before it was whole; apply again'
    const next = move(ROLLOUT_TABLE, rollout, { on: 'cancel', patch: { why, secrets: {} } })
    await putRollout(this.parts.store, next, this.parts.clock.now()).catch((error: unknown) =>
      this.onError(error, rollout),
    )
  }

  /** Throws `store.moved` when it was paused or cancelled since it was read: who asked for that is answered already. */
  private async mustStillRun({ object }: KeptRollout): Promise<void> {
    const now = await this.parts.store.objects.find(ROLLOUT, object.uuid)
    if (now?.version !== object.version) throw moved(ROLLOUT, object.uuid)
  }

  /** False: what comes next is decided anew first, for a node has failed, or the roll-out has changed. */
  private async perform(rollout: KeptRollout, deed: Deed<KeptTurn>): Promise<boolean> {
    const { store, clock } = this.parts
    const nowMs = clock.now()
    if (deed.do === 'begin') return this.begin(rollout, deed.turn)
    if (deed.do === 'go on') return this.goOn(rollout, deed.turn)
    if (deed.do === 'act') return this.actOn(rollout, deed.act)
    if (deed.do === 'canaries done') {
      await putRollout(store, { ...rollout, canariesDoneAtMs: nowMs }, nowMs)
      return false
    }
    const counts = deed.do === 'finish' ? countsOf(await this.turnsOf(rollout)) : null
    const next =
      deed.do === 'stop'
        ? move(ROLLOUT_TABLE, rollout, { on: 'failures', patch: { why: deed.why } })
        : move(ROLLOUT_TABLE, rollout, { on: 'finish', patch: { why: null, secrets: {}, counts } })
    await putRollout(store, next, nowMs)
    return false
  }

  /** An act on no node: set, so that it may be sent twice. */
  private async actOn(rollout: KeptRollout, act: SiteAct): Promise<boolean> {
    const { store, clock, send, actorOf } = this.parts
    await this.mustStillRun(rollout)
    const failed = await sendAct(act, { store, rollout, send, actor: actorOf(rollout.by) })
    if (failed === 'again') return false
    if (failed) {
      await putRollout(store, move(ROLLOUT_TABLE, rollout, { on: 'failures', patch: { why: failed.why } }), clock.now())
      return false
    }
    await recordAct(store, act, { site: rollout.site, by: rollout.by.user, nowMs: clock.now() })
    await putRollout(store, { ...rollout, acts: rollout.acts?.slice(1) ?? [] }, clock.now())
    return false
  }

  private async begin(rollout: KeptRollout, turn: KeptTurn): Promise<boolean> {
    const { store, fingerprintOf } = this.parts
    const { uuid, fingerprint, node: name } = turn.item
    const node = uuid === null ? await store.nodeByName(name) : await store.node(uuid)
    const isSame = uuid === null ? !node : node !== undefined && (await fingerprintOf(node)) === fingerprint
    const next = isSame
      ? move(TURN_TABLE, turn, { on: 'begin', patch: {} })
      : move(TURN_TABLE, turn, { on: 'fail', patch: { why: 'it has changed since the plan was made; plan again' } })
    await this.mustStillRun(rollout)
    return this.goOn(rollout, await this.put(rollout, next))
  }

  /** As far as the node gets without waiting. False: it has failed. */
  private async goOn(rollout: KeptRollout, turn: KeptTurn): Promise<boolean> {
    for (let now: KeptTurn | undefined = turn; now;) {
      if (now.state !== 'running') return now.state !== 'failed'
      now = await this.stepOn(rollout, now)
    }
    return true
  }

  /** The turn after one step; undefined: there is something to wait for. */
  private async stepOn(rollout: KeptRollout, turn: KeptTurn): Promise<KeptTurn | undefined> {
    const node = await this.parts.store.node(turn.nodeUuid)
    const verdict = verdictOf(turn, node && factsOf(node))
    const put = (next: KeptTurn) => this.put(rollout, next)
    if (verdict.next === 'wait') return undefined
    await this.mustStillRun(rollout)
    switch (verdict.next) {
      case 'next':
        return put({ ...turn, stage: turn.stage + 1, mark: null })
      case 'fail':
        return put(move(TURN_TABLE, turn, { on: 'fail', patch: { why: verdict.why } }))
      case 'mark':
        return this.send(rollout, await put({ ...turn, mark: verdict.mark }))
      case 'send':
        return this.send(rollout, turn)
      case 'finish':
        await this.record(rollout, turn)
        return put(move(TURN_TABLE, turn, { on: 'finish', patch: {} }))
    }
  }

  private async send(rollout: KeptRollout, turn: KeptTurn): Promise<KeptTurn | undefined> {
    const { store, send, actorOf } = this.parts
    const stage = turn.item.stages[turn.stage] as Stage
    const id = `rollout-${rollout.object.uuid}`
    try {
      const actor = actorOf(rollout.by)
      if (!actor) throw new Fault('access.denied', `user ${rollout.by.user} has no access any more`)
      const sent = (request: StageRequest) => send(request, { actor, id, generation: turn.mark })
      await this.request(stage, { turn, rollout, sent })
    } catch (error) {
      // What may pass by itself is sent again in the next round.
      if (isFault(error) && error.retry) return undefined
      // Another conductor has sent it, before it lost the duty or after it got it: the next round sees how that ends.
      if (stage.do === 'verb' && (await store.node(turn.nodeUuid))?.workflow.generation !== turn.mark) return undefined
      const says = masked(isFault(error) ? error.message : (error as Error).message, rollout.secrets)
      const why = `${stage.do === 'verb' ? stage.verb : stage.do}: ${says}`.slice(0, 2_000)
      return this.put(rollout, move(TURN_TABLE, turn, { on: 'fail', patch: { why } }))
    }
    return stage.do === 'verb' ? undefined : this.put(rollout, { ...turn, stage: turn.stage + 1, mark: null })
  }

  /** A request that was sent before an interruption has been carried out already. */
  private async request(
    stage: Stage,
    at: { turn: KeptTurn; rollout: KeptRollout; sent: (request: StageRequest) => Promise<void> },
  ): Promise<void> {
    const { store } = this.parts
    const { nodeUuid, stage: index } = at.turn
    const portUuid = uuidFrom(`${at.turn.object.uuid} ${index}`)
    if (stage.do === 'create' && (await store.node(nodeUuid))) return
    if (stage.do === 'add port' && (await store.port(portUuid))) return
    if (stage.do === 'remove port' && !(await store.port(stage.uuid))) return
    if (stage.do === 'delete' && !(await store.node(nodeUuid))) return
    const { secrets } = at.rollout
    await at.sent(requestOf(await this.withoutGone(stage, nodeUuid), { nodeUuid, portUuid, secrets }))
  }

  /** Removes only what is there: a patch that was carried out once is carried out again as it is. */
  private async withoutGone(stage: Stage, nodeUuid: string): Promise<Stage> {
    if (stage.do !== 'patch' || !stage.patch.some(({ op }) => op === 'remove')) return stage
    const node = await this.parts.store.node(nodeUuid)
    const maps: Readonly<Record<string, unknown>> = {
      driver_info: node?.driverInfo,
      properties: node?.properties,
      extra: node?.extra,
      network_data: node?.networkData,
    }
    const isThere = (path: string) => {
      const [, field = '', ...key] = path.split('/').map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'))
      const map = maps[field]
      return key.length === 0 || map === undefined || Object.hasOwn(map as object, key.join('/'))
    }
    return { ...stage, patch: stage.patch.filter(({ op, path }) => op !== 'remove' || isThere(path)) }
  }

  private async record({ by }: KeptRollout, { item, nodeUuid }: KeptTurn): Promise<void> {
    const { store, clock } = this.parts
    if (!item.record || !(await store.node(nodeUuid))) return
    const next = recordObject(nodeUuid, item.record, { by: by.user, nowMs: clock.now() })
    const before = await store.objects.find(RECORD, nodeUuid)
    if (before) await store.objects.put({ ...next, version: before.version, createdAtMs: before.createdAtMs })
    else await store.objects.add(next)
  }
}

const factsOf = (node: NodeRecord): NodeFacts => ({
  provisionState: node.provisionState,
  generation: node.workflow.generation,
  phase: node.workflow.phase,
  isLocked: isLocked(node),
  lastError: node.lastError,
})

/** A refusal may quote what it refuses. */
const masked = (text: string, secrets: KeptRollout['secrets']): string =>
  Object.values(secrets)
    .filter((secret) => secret !== '')
    .toSorted((a, b) => b.length - a.length)
    .reduce((left, secret) => left.replaceAll(secret, MASK), text)
