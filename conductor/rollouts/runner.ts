/** Carries roll-outs out: looks at each running one, does what step.ts says, and records before it acts. An
 *  interruption at any point ends nothing twice and forgets nothing. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import { move } from '../../kit/arrows.ts'
import { sha256Hex } from '../../kit/digest.ts'
import type { Actor } from '../api/auth.ts'
import { isLocked, type NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { openRollouts, putRollout, putTurn, turnsOf, type KeptRollout, type KeptTurn } from './kept.ts'
import { RECORD, recordObject } from './records.ts'
import { requestOf, type StageRequest } from './requests.ts'
import { deedsOf, verdictOf, type Deed, type NodeFacts } from './step.ts'
import { ROLLOUT_TABLE, TURN_TABLE } from './states.ts'
import type { Stage } from './plan.ts'

export interface RolloutParts {
  readonly store: Store
  readonly clock: Clock
  readonly log: Log
  /** Sends a request as this user, through all that the API checks. */
  readonly send: (request: StageRequest, by: { actor: Actor; id: string }) => Promise<void>
  /** The user as it is now; undefined: it has no access any more. */
  readonly actorOf: (by: Actor) => Actor | undefined
  readonly fingerprintOf: (node: NodeRecord) => Promise<string>
}

const ROUND_MS = 500

export class Rollouts {
  private readonly parts: RolloutParts
  private loop: Loop | undefined

  constructor(parts: RolloutParts) {
    this.parts = parts
  }

  start(): void {
    const { clock, log } = this.parts
    const onError = (error: unknown) =>
      log.error({ err: error }, 'roll-outs could not be looked at; they are looked at again')
    this.loop = new Loop({ clock, everyMs: ROUND_MS, onError }, () => this.round())
  }

  async stop(): Promise<void> {
    await this.loop?.stop()
  }

  async round(): Promise<void> {
    const { store, clock } = this.parts
    for (const rollout of await openRollouts(store)) {
      if (rollout.state !== 'running') continue
      const turns = await turnsOf(store, rollout.object.uuid)
      for (const deed of deedsOf(rollout, turns, clock.now())) {
        const more = await this.perform(rollout, deed).catch((error: unknown) => this.onError(error, rollout))
        if (more === false) break
      }
    }
  }

  /** Somebody else wrote: the next round sees it. */
  private onError(error: unknown, { object }: KeptRollout): boolean {
    if (!isFault(error, 'store.moved'))
      this.parts.log.error({ err: error, rollout: object.uuid }, 'a roll-out could not go on; it is tried again')
    return false
  }

  private async perform(rollout: KeptRollout, deed: Deed<KeptTurn>): Promise<void> {
    const { store, clock } = this.parts
    const nowMs = clock.now()
    if (deed.do === 'begin') return this.begin(deed.turn)
    if (deed.do === 'go on') return this.goOn(rollout, deed.turn)
    if (deed.do === 'canaries done')
      return void (await putRollout(store, { ...rollout, canariesDoneAtMs: nowMs }, nowMs))
    const next =
      deed.do === 'stop'
        ? move(ROLLOUT_TABLE, rollout, { on: 'failures', patch: { why: deed.why } })
        : move(ROLLOUT_TABLE, rollout, { on: 'finish', patch: { why: null, secrets: {} } })
    await putRollout(store, next, nowMs)
  }

  private async begin(turn: KeptTurn): Promise<void> {
    const { store, clock, fingerprintOf } = this.parts
    const { uuid, fingerprint, node: name } = turn.item
    const node = uuid === null ? await store.nodeByName(name) : await store.node(uuid)
    const isSame = uuid === null ? !node : node !== undefined && (await fingerprintOf(node)) === fingerprint
    const next = isSame
      ? move(TURN_TABLE, turn, { on: 'begin', patch: {} })
      : move(TURN_TABLE, turn, { on: 'fail', patch: { why: 'it has changed since the plan was made; plan again' } })
    await putTurn(store, next, clock.now())
  }

  private async goOn(rollout: KeptRollout, turn: KeptTurn): Promise<void> {
    const { store, clock } = this.parts
    const node = await store.node(turn.nodeUuid)
    const verdict = verdictOf(turn, node && factsOf(node))
    const put = (next: KeptTurn) => putTurn(store, next, clock.now())
    switch (verdict.next) {
      case 'wait':
        return
      case 'next':
        return void (await put({ ...turn, stage: turn.stage + 1, mark: null }))
      case 'fail':
        return void (await put(move(TURN_TABLE, turn, { on: 'fail', patch: { why: verdict.why } })))
      case 'mark':
        return this.send(rollout, await put({ ...turn, mark: verdict.mark }))
      case 'send':
        return this.send(rollout, turn)
      case 'finish':
        await this.record(rollout, turn)
        return void (await put(move(TURN_TABLE, turn, { on: 'finish', patch: {} })))
    }
  }

  private async send(rollout: KeptRollout, turn: KeptTurn): Promise<void> {
    const { store, clock, send, actorOf } = this.parts
    const stage = turn.item.stages[turn.stage] as Stage
    try {
      const actor = actorOf(rollout.by)
      if (!actor) throw new Fault('access.denied', `user ${rollout.by.user} has no access any more`)
      await this.request(stage, {
        turn,
        rollout,
        sent: (request) => send(request, { actor, id: `rollout-${rollout.object.uuid}` }),
      })
    } catch (error) {
      // What may pass by itself is sent again in the next round.
      if (isFault(error) && error.retry) return
      const why = `${stage.do === 'verb' ? stage.verb : stage.do}: ${isFault(error) ? error.message : (error as Error).message}`
      return void (await putTurn(
        store,
        move(TURN_TABLE, turn, { on: 'fail', patch: { why: why.slice(0, 2_000) } }),
        clock.now(),
      ))
    }
    if (stage.do !== 'verb') await putTurn(store, { ...turn, stage: turn.stage + 1, mark: null }, clock.now())
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

/** The same for the same text (RFC 9562, version 8). */
export function uuidFrom(text: string): string {
  const hex = sha256Hex(text)
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`
}
