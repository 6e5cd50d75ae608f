/** Carries the intents of an incident on: looks where the instances are, asks the pure step for each, stores what it says, and only then asks for a move. */
import type { ArbiterState } from '../arbiter/state.ts'
import { ACT_MS } from '../protocol/timing.ts'
import { targetsFor } from '../arbiter/leader-context.ts'
import type { HostMemory } from '../arbiter/memory.ts'
import { intentKey } from '../protocol/records.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import { isOpen, stepIntent, TRIES, type IntentFacts } from './intents.ts'
import { type Intent } from '../protocol/records.ts'
import { intentsFor, placesFor } from './plan.ts'
import type { Whereabouts } from './instances.ts'

const LOCATE_MS = 500
const LIST_MS = 2_000
/** Consul takes 64 operations in one transaction. */
const AT_ONCE = 50

export const openIntents = (intents: readonly Intent[]): number => intents.filter(isOpen).length

/** Tells the manager that the host is down, asks it for all that ran there, and stores an intent for each. */
export function listInstances(core: ArbiterState, incident: Incident): void {
  const nowMs = core.world.now()
  const post = core.post(incident.host)
  if (post.driverBusy || nowMs - post.triedAtMs < (post.triedAtMs < 0 ? 0 : LIST_MS)) return
  post.driverBusy = true
  post.triedAtMs = nowMs
  const fail = (fault: string) => {
    post.driverBusy = false
    core.page(incident.host, 'listing', `the instances of ${incident.host} cannot be moved yet: ${fault}`)
  }
  if (!post.prepared) {
    const why = `fenced by Rackward: ${incident.proof?.says ?? ''}`
    return core.world.driver({ call: 'prepare', host: incident.host, why }, nowMs + ACT_MS, (answer) => {
      if (core.memories.get(incident.host) !== post) return
      if (!answer.ok) return fail(answer.fault)
      post.prepared = true
      post.driverBusy = false
      post.triedAtMs = Number.NEGATIVE_INFINITY
      listInstances(core, incident)
    })
  }
  core.world.driver({ call: 'list', host: incident.host }, nowMs + ACT_MS, (answer) => {
    if (core.memories.get(incident.host) !== post) return
    if (!answer.ok || !answer.listing) return fail(answer.ok ? 'no list' : answer.fault)
    if (!answer.listing.complete) return fail('part of its instances could not be looked up')
    const earlier = [...core.cluster.intents.values()]
      .map(({ value }) => value)
      .filter((intent) => intent.incident !== incident.id)
    const about = {
      incident: incident.id,
      host: incident.host,
      epoch: core.lease?.epoch ?? 0,
      at: core.world.wall(),
      mostHops: core.limits.hops,
      hopWindowMs: core.limits.hopWindowMs,
    }
    const known = new Set(core.cluster.intentsOf(incident.id).map(({ value }) => value.instance))
    const fresh = intentsFor(answer.listing, about, earlier).filter(({ instance }) => !known.has(instance))
    const store = (rest: readonly Intent[]): void => {
      if (rest.length === 0) {
        post.driverBusy = false
        post.listed = true
        return
      }
      const part = rest.slice(0, AT_ONCE)
      core.put(
        part.map((intent) => ({ key: intentKey(intent), value: intent, index: 0 })),
        { nowMs: core.world.now() },
        (ok) => (ok ? store(rest.slice(AT_ONCE)) : fail('the store did not take the list')),
      )
    }
    store(fresh)
  })
}

export function pursueIntents(core: ArbiterState, incident: Incident, nowMs: number): void {
  const post = core.post(incident.host)
  const kept = core.cluster.intentsOf(incident.id)
  const intents = kept.map(({ value }) => value)
  const places = placesFor(intents, targetsFor(core, nowMs))
  const truths = post.truths
  let look = intents.some(isOpen)
  for (const { key, index, value: intent, stateMs } of kept) {
    if (core.isWriting(key)) continue
    const move = moveOf(post, intent, nowMs)
    const facts: IntentFacts = {
      nowMs,
      at: core.world.wall(),
      epoch: core.lease?.epoch ?? 0,
      mayAct: mayAct(core, nowMs),
      truth: truths.get(intent.instance),
      truthAgeMs: nowMs - post.locatedAtMs,
      request: move.request,
      requestWhy: move.why,
      requestAgeMs: nowMs - move.sinceMs,
      settleMs: core.settleMs,
      place: places.get(intent.instance),
      targetFenced: intent.target !== null && isFenced(core, intent.target, intent.incident),
      stateAgeMs: nowMs - stateMs,
      tries: TRIES,
    }
    const step = stepIntent(intent, facts, core.intentGuards)
    if (step.page) core.page(incident.host, `${intent.instance} ${intent.state}`, step.page)
    const next = step.next
    const start = () => step.act?.do === 'start' && request(core, { incident, post }, step.act.intent)
    if (next) core.put([{ key, value: next, index }], { nowMs }, (ok) => ok && start())
    else start()
    if (step.act?.do === 'locate') look = true
  }
  if (look) locate(core, { incident, post }, intents)
}

const mayAct = (core: ArbiterState, nowMs: number): boolean => core.quiesced && core.leaseLeftMs(nowMs) > ACT_MS

function moveOf(post: HostMemory, intent: Intent, nowMs: number) {
  let move = post.moves.get(intent.instance)
  if (!move || move.attempt !== intent.attempt) {
    // Nothing of this attempt is known here: an earlier leader may have asked.
    move = {
      request: intent.state === 'INTENT' ? 'unknown' : 'none',
      why: null,
      sinceMs: nowMs,
      attempt: intent.attempt,
    }
    post.moves.set(intent.instance, move)
  }
  return move
}

/** Proven down, and the manager of the instances was told so: it will not carry the move on when the host comes back. */
function isFenced(core: ArbiterState, host: string, not: string): boolean {
  const live = core.cluster.liveIncident(host)?.value
  return (
    live !== undefined &&
    live.id !== not &&
    live.proof !== null &&
    (live.state === 'evacuating' || live.state === 'evacuated')
  )
}

function request(core: ArbiterState, about: { incident: Incident; post: HostMemory }, intent: Intent): void {
  const { post } = about
  const sentMs = core.world.now()
  // The record owes it; when the lease has become too short, the next look decides again.
  if (!core.intentGuards.lease({ mayAct: mayAct(core, sentMs) })) return
  const move = { request: 'under way' as const, why: null, sinceMs: sentMs, attempt: intent.attempt }
  post.moves.set(intent.instance, move)
  const order = {
    instance: intent.instance,
    source: intent.source,
    target: intent.target,
    token: `${intent.incident}/${intent.instance}/${intent.attempt}`,
    down: [...core.cluster.incidents.values()]
      .filter(({ value }) => value.proof !== null && !isOver(value))
      .map(({ value }) => value.host),
  }
  core.world.driver({ call: 'start', order }, sentMs + ACT_MS, (answer) => {
    if (post.moves.get(intent.instance) !== move) return
    const end = (request: 'accepted' | 'refused' | 'refused for good' | 'unknown', why: string | null) =>
      post.moves.set(intent.instance, { request, why, sinceMs: core.world.now(), attempt: intent.attempt })
    if (!answer.ok) return end(answer.sent ? 'unknown' : 'refused', answer.fault)
    const started = answer.started
    if (started?.got === 'refused') return end(started.final ? 'refused for good' : 'refused', started.why)
    end('accepted', null)
  })
}

function locate(core: ArbiterState, about: { incident: Incident; post: HostMemory }, intents: readonly Intent[]): void {
  const { incident, post } = about
  const askedMs = core.world.now()
  if (post.driverBusy || askedMs - post.locatedAtMs < LOCATE_MS) return
  post.driverBusy = true
  const instances = intents
    .filter((intent) => intent.state !== 'CONFIRMED' && intent.state !== 'SKIPPED')
    .map(({ instance }) => instance)
  core.world.driver({ call: 'locate', host: incident.host, instances }, askedMs + ACT_MS, (answer) => {
    if (core.memories.get(incident.host) !== post) return
    post.driverBusy = false
    if (!answer.ok || !answer.where)
      return core.page(
        incident.host,
        'locate',
        `where the instances of ${incident.host} are cannot be looked up: ${answer.ok ? 'no answer' : answer.fault}`,
      )
    // As old as the question: what changed meanwhile may not be in the answer.
    post.truths = new Map<string, Whereabouts>(answer.where)
    post.locatedAtMs = askedMs
  })
}
