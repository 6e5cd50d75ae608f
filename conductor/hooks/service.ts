/** What alerts that are posted to a hook lead to: a look of the mesh, maintenance of a node, or the drain of a host;
 *  and what ends with them. The same alert twice is one; nothing here fences. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import type { Random } from '../../kit/random.ts'
import { Turns } from '../../kit/turns.ts'
import type { MeshLink } from '../mesh/link.ts'
import type { NodeService } from '../node/service.ts'
import type { Store } from '../store/port.ts'
import type { Alert } from './alerts.ts'
import type { HookConfig } from './config.ts'
import { hostDrain, markOf, nodeMaintenance, refusedBy, type HoldEffect } from './holding.ts'
import { addHeld, everyHeld, HELD, keepHeld, type HeldRecord } from './records.ts'

export const DID = ['hinted', 'held', 'known', 'ended', 'left', 'refused'] as const

export interface Done {
  readonly fingerprint: string
  readonly target: string | null
  readonly did: (typeof DID)[number]
  readonly why: string | null
}

export interface HookServiceParts {
  readonly store: Pick<Store, 'objects' | 'journal'>
  readonly nodes: Pick<NodeService, 'find' | 'update'>
  readonly link: Pick<MeshLink, 'registry' | 'request'> | undefined
  readonly clock: Clock
  readonly random: Random
  readonly kept: number
  readonly onLimit: OnLimit
}

/** A sender has given up by then, and sends again: what waits for a mesh that does not answer is bounded. */
const PATIENCE_MS = 30_000
/** How often an alert is taken up that another conductor has in hand, too. */
const TRIES = 5
/** Later alerts of one that was refused say nothing new. */
const REFUSALS_KNOWN = 1_000
const HINT_MS = 10_000

type Outcome = Pick<Done, 'did'> & { readonly why?: string }

export class HookService {
  private readonly parts: HookServiceParts
  private readonly turns = new Turns()
  private readonly refused = new Set<string>()
  private readonly hinted = new Map<string, number>()

  constructor(parts: HookServiceParts) {
    this.parts = parts
  }

  /** Throws, once all alerts were tried, what the sender is to try again: each alert that is done stays done. */
  async take(hook: HookConfig, alerts: readonly Alert[]): Promise<Done[]> {
    const { clock } = this.parts
    const sinceMs = clock.now()
    const done: Done[] = []
    let broken: Fault | undefined
    for (const alert of alerts)
      try {
        const { did, why = null } = await this.turns.take(hook.name, () => {
          if (clock.now() - sinceMs > PATIENCE_MS) throw new Fault('hook.unfinished', 'the alerts before it took long')
          return this.tried(hook, alert)
        })
        const one = { fingerprint: alert.fingerprint, target: alert.target ?? null, did, why }
        done.push(one)
        await this.tell(hook, alert, one)
      } catch (error) {
        if (!isFault(error)) throw error
        broken ??= error
      }
    if (broken !== undefined) throw unfinished(broken)
    return done
  }

  /** What hooks hold now. */
  held = (): Promise<HeldRecord[]> => everyHeld(this.parts.store)

  /** The senders of a site post the same alert to several conductors: what one of them wrote meanwhile is read
   *  again. */
  private async tried(hook: HookConfig, alert: Alert): Promise<Outcome> {
    for (let i = 1; ; i += 1)
      try {
        return await this.one(hook, alert)
      } catch (error) {
        if (i === TRIES || !isFault(error, 'store.moved')) throw error
      }
  }

  private async one(hook: HookConfig, alert: Alert): Promise<Outcome> {
    // What was held is ended by its record, whatever its alert or the configuration says of its host by now.
    if (!alert.firing) return this.resolved(hook, alert)
    const { target } = alert
    if (target === undefined) return { did: 'refused', why: `it does not name its host (${hook.label})` }
    if (hook.only && !hook.only.includes(target)) return { did: 'refused', why: 'the hook may not act on it' }
    return hook.act === 'hint' ? this.hint(hook, target) : this.hold(hook, { ...alert, target })
  }

  private async hint(hook: HookConfig, host: string): Promise<Outcome> {
    const { clock } = this.parts
    const link = this.link()
    const { hosts } = await link.registry()
    if (!hosts.some(({ name }) => name === host)) return NO_SUCH
    const nowMs = clock.now()
    // Bounded by the hosts of the mesh.
    const lastMs = this.hinted.get(host) ?? -Infinity
    if (nowMs >= lastMs && nowMs - lastMs < HINT_MS) return { did: 'known' }
    const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(host)}/hint`
    const { status } = await link.request('POST', path, { body: { reason: markOf(hook.name) }, onBehalfOf: 'hook' })
    if (status !== 200) throw refusedBy(status, `the hint about ${host}`)
    this.hinted.set(host, nowMs)
    return { did: 'hinted' }
  }

  private async hold(hook: HookConfig, alert: Alert & { target: string }): Promise<Outcome> {
    const { store, clock, random } = this.parts
    const all = await everyHeld(store)
    const before = all.find(({ body }) => body.hook === hook.name && body.fingerprint === alert.fingerprint)
    if (before?.body.state === 'held') return { did: 'known' }
    const effect = this.effectOf(hook.act)
    const mark = markOf(hook.name)
    const found = await effect.look(alert.target, mark)
    if (!found) return NO_SUCH
    const why = typeof found.held === 'object' ? found.held.by : undefined
    // What was done before a restart is held already, and takes no further place.
    const isDone = before !== undefined && found.held === 'ours'
    const refusal = why ?? (isDone ? undefined : await this.full(hook, all, found.key))
    if (refusal !== undefined) {
      if (before) await store.objects.remove(HELD, before.uuid)
      return { did: 'refused', why: refusal }
    }

    const { fingerprint, name } = alert
    const body = {
      hook: hook.name,
      act: hook.act,
      fingerprint,
      alert: name,
      target: found.key,
      state: 'begun',
    } as const
    const at = { uuid: random.uuid(), nowMs: clock.now() }
    const record = before ?? (await addHeld(store, body, at))
    if (!record) return { did: 'known' }
    const refused =
      (before ? undefined : await this.late(hook, record)) ?? (await effect.begin(record.body.target, mark))
    if (refused !== undefined) {
      await store.objects.remove(HELD, record.uuid)
      return { did: 'refused', why: refused }
    }
    await keepHeld(store, record, { state: 'held', nowMs: clock.now() })
    return { did: 'held' }
  }

  /** Two conductors may each have found the last free place: both records are there now, and each sees the other. */
  private async late(hook: HookConfig, record: HeldRecord): Promise<string | undefined> {
    const others = (await everyHeld(this.parts.store)).filter(({ uuid }) => uuid !== record.uuid)
    return this.full(hook, others, record.body.target)
  }

  /** Why nothing further is held. What a person has ended meanwhile does not count. */
  private async full(hook: HookConfig, all: readonly HeldRecord[], key: string): Promise<string | undefined> {
    const { kept, onLimit } = this.parts
    if (all.length >= kept) {
      onLimit('hooks.kept', { hook: hook.name })
      return `hooks hold for ${kept} alerts (limits.hooks.kept)`
    }
    const others = all.filter(({ body }) => body.hook === hook.name && body.act === hook.act && body.target !== key)
    const targets = new Set(others.map(({ body }) => body.target))
    if (targets.size < hook.atOnce) return undefined
    const begun = new Set(others.flatMap(({ body }) => (body.state === 'begun' ? [body.target] : [])))
    let held = 0
    for (const target of targets)
      if (begun.has(target) || (await this.effectOf(hook.act).look(target, markOf(hook.name)))?.held === 'ours')
        held += 1
    return held < hook.atOnce ? undefined : `the hook holds ${held} already (atOnce)`
  }

  private async resolved(hook: HookConfig, { fingerprint }: Alert): Promise<Outcome> {
    const { store, clock } = this.parts
    const ofHook = async () => (await everyHeld(store)).filter(({ body }) => body.hook === hook.name)
    const record = (await ofHook()).find(({ body }) => body.fingerprint === fingerprint)
    if (!record) return { did: 'known' }
    const { act, target } = record.body
    // Before it is asked who else holds it: of two alerts that are resolved at two conductors, one is the last.
    await keepHeld(store, record, { state: 'ending', nowMs: clock.now() })
    const isShared = (await ofHook()).some(
      ({ uuid, body }) => uuid !== record.uuid && body.act === act && body.target === target && body.state !== 'ending',
    )
    // The act of the record: the configuration may say another one by now.
    const ended = !isShared && (await this.effectOf(act).end(target, markOf(hook.name)))
    await store.objects.remove(HELD, record.uuid)
    if (ended) return { did: 'ended' }
    return { did: 'left', why: isShared ? 'another alert holds it' : 'it was ended or taken over by others' }
  }

  private effectOf(act: HookConfig['act']): HoldEffect {
    return act === 'drain' ? hostDrain(this.link()) : nodeMaintenance(this.parts.nodes, this.parts.link)
  }

  private link(): Pick<MeshLink, 'registry' | 'request'> {
    const { link } = this.parts
    if (!link) throw new Fault('object.missing', 'this conductor knows no mesh: set mesh.arbiters in its configuration')
    return link
  }

  private async tell(hook: HookConfig, alert: Alert, { did, target, why }: Done): Promise<void> {
    if (did === 'known') return
    const key = `${hook.name} ${alert.fingerprint}`
    const isKnown = this.refused.has(key)
    if (did !== 'refused') this.refused.delete(key)
    else if (isKnown) return
    else {
      if (this.refused.size >= REFUSALS_KNOWN) this.refused.clear()
      this.refused.add(key)
    }
    const { store, clock } = this.parts
    const detail = { hook: hook.name, act: hook.act, alert: alert.name, target, did, ...(why === null ? {} : { why }) }
    await store.journal.add({ atMs: clock.now(), nodeUuid: null, kind: 'hook', detail })
  }
}

/** The alerts are right, and what failed is ours: senders try again after a status of 5xx alone. */
const unfinished = (fault: Fault): Fault =>
  ['mesh.leaderless', 'mesh.refused', 'hook.unfinished'].includes(fault.code)
    ? fault
    : new Fault('hook.unfinished', fault.message, { cause: fault })

const NO_SUCH: Outcome = { did: 'refused', why: 'there is no host or node of that name' }
