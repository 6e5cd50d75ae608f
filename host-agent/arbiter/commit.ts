/** Carries decisions out: stores what they change by compare-and-set under the lease, and only then performs their
 *  effects. The only place of the arbiter that asks anything of its environment; answers are remembered, and the next
 *  tick decides what follows. */
import { alertOf, type Alert, type Decision } from '../cluster/decision.ts'
import type { Stored } from '../cluster/store.ts'
import { mayRequest } from '../evacuate/decide.ts'
import {
  alertOfAnswer,
  drainAnswered,
  drainAsked,
  driverCallOf,
  evacuationAnswered,
  evacuationAsked,
  type DrainEffect,
  type EvacuationEffect,
} from '../evacuate/effects.ts'
import { errandAnswered, errandAsked, type ErrandEffect } from '../evacuate/errands.ts'
import { fenceAsked, isOff, pillAnswered, powerAnswered, timesOf, type FenceEffect } from '../fence/effects.ts'
import { maySendOff } from '../fence/guards.ts'
import { liftAnswered, liftAsked, type LiftEffect } from '../fence/lift.ts'
import { LEADER_COMMAND_MS } from '../protocol/timing.ts'
import { incidentFacts } from './decide-incidents.ts'
import type { Effect } from './effects.ts'
import type { HostMemory } from './memory.ts'
import type { ArbiterState } from './state.ts'

/** What is still wrong is told again. */
const ALERT_AGAIN_MS = 600_000
const LIFT_MS = 5_000
const ERRAND_MS = 10_000

export function commit(arbiter: ArbiterState, decisions: readonly Decision<Effect>[]): void {
  for (const decision of decisions) {
    const { changes = [], alerts = [] } = decision
    for (const alert of alerts) send(arbiter, alert)
    if (changes.length === 0) perform(arbiter, decision.effects)
    else store(arbiter, decision)
  }
}

/** The store as it is now, once nothing of the leader before can be under way; until then nothing is decided. */
export function readStore(arbiter: ArbiterState): void {
  arbiter.quiesced = false
  if (arbiter.reading) return
  arbiter.reading = true
  const epoch = arbiter.lease?.epoch
  const { index } = arbiter.cluster
  arbiter.environment.readStore((snapshot) => {
    arbiter.reading = false
    if (!snapshot || arbiter.lease?.epoch !== epoch) return
    // Something newer was learned meanwhile: the next tick reads again.
    if (arbiter.cluster.index !== index && snapshot.index < arbiter.cluster.index) return
    // What this says is newer than anything that we believe of our own writes.
    arbiter.cluster.trustNextSnapshot()
    arbiter.onStore(snapshot, arbiter.environment.now())
    arbiter.quiesced = true
    arbiter.onNews()
  })
}

/** Whatever else than `ok` comes back, the store is read before anything more is done. */
function store(arbiter: ArbiterState, decision: Decision<Effect>): void {
  const { lease, writing } = arbiter
  const { changes = [], guards = [] } = decision
  if (!lease || changes.some(({ key }) => writing.has(key))) return
  const { epoch } = lease
  for (const { key } of changes) writing.add(key)
  arbiter.environment.store({ changes, guards, epoch }, (stored: Stored) => {
    if (arbiter.lease?.epoch !== epoch) return
    for (const { key } of changes) writing.delete(key)
    if (stored.got !== 'ok') return readStore(arbiter)
    arbiter.cluster.takeOwnWrite(changes, stored.index, arbiter.environment.now())
    for (const alert of decision.alertsOnceStored ?? []) send(arbiter, alert)
    perform(arbiter, decision.effects)
    arbiter.onNews()
  })
}

function perform(arbiter: ArbiterState, effects: readonly Effect[] = []): void {
  for (const effect of effects) if (mayPerform(arbiter, effect)) performOne(arbiter, effect)
}

/** The look just before what cannot be taken back. The record counts it; when something speaks against it now, the next
 *  tick decides again. */
function mayPerform(arbiter: ArbiterState, effect: Effect): boolean {
  const nowMs = arbiter.environment.now()
  if (effect.do === 'start') {
    const { quiesced, intentGuards } = arbiter
    return intentGuards.lease({ mayCommand: mayRequest({ quiesced, leaseLeftMs: arbiter.leaseLeftMs(nowMs) }) })
  }
  if (!isOff(effect)) return true
  const incident = arbiter.cluster.incidents.get(effect.incident)?.value
  return (
    incident !== undefined &&
    maySendOff(effect, incidentFacts(incident, nowMs, arbiter.known(nowMs)), arbiter.fenceGuards)
  )
}

function performOne(arbiter: ArbiterState, effect: Effect): void {
  switch (effect.do) {
    case 'read power':
    case 'read device':
    case 'power off':
    case 'device off':
      return askPower(arbiter, effect)
    case 'write pill':
    case 'read pill':
      return askPill(arbiter, effect)
    case 'lift pill':
      return lift(arbiter, effect)
    case 'take inventory':
      return takeInventory(arbiter)
    case 'list to drain':
    case 'migrate':
      return askToDrain(arbiter, effect)
    case 'run errand':
      return runErrand(arbiter, effect)
    default:
      return askToMove(arbiter, effect)
  }
}

/** Remembers an answer, unless the memory is another leadership's by then. */
function remember<Answer>(
  arbiter: ArbiterState,
  host: string,
  change: (about: HostMemory, answer: Answer, atMs: number) => void,
): (answer: Answer) => void {
  const { memory } = arbiter
  return (answer) => {
    if (arbiter.memory !== memory) return
    change(memory.open(host), answer, arbiter.environment.now())
    arbiter.onNews()
  }
}

function askPower(arbiter: ArbiterState, effect: Exclude<FenceEffect, { do: 'write pill' | 'read pill' }>): void {
  const { environment } = arbiter
  const { host } = effect
  const askedMs = environment.now()
  const times = timesOf(effect, askedMs)
  const epoch = arbiter.lease?.epoch
  const leads = () => arbiter.lease?.epoch === epoch && arbiter.leads(environment.now())
  const about = arbiter.memory.open(host)
  about.fence = fenceAsked(about.fence, effect, askedMs)
  const done = remember<Parameters<Parameters<typeof environment.bmc>[1]>[0]>(arbiter, host, (memory, answer, atMs) => {
    memory.fence = powerAnswered(memory.fence, effect, { ...answer, askedMs, atMs })
  })
  if (effect.do === 'read power') return environment.bmc({ host, command: 'identify', ...times, leads }, done)
  if (effect.do === 'power off') return environment.bmc({ host, command: 'off', ...times, leads }, done)
  const action = effect.do === 'device off' ? 'off' : 'status'
  environment.device({ host, level: effect.level, action, ...times }, done)
}

function askPill(arbiter: ArbiterState, effect: Extract<FenceEffect, { do: 'write pill' | 'read pill' }>): void {
  const { environment } = arbiter
  const { host, pill } = effect
  const askedMs = environment.now()
  const about = arbiter.memory.open(host)
  about.fence = fenceAsked(about.fence, effect, askedMs)
  const ask = effect.do === 'write pill' ? ({ op: 'write', host, pill } as const) : ({ op: 'read', host } as const)
  const done = remember<Parameters<Parameters<typeof environment.pill>[2]>[0]>(
    arbiter,
    host,
    (memory, answer, atMs) => {
      memory.fence = pillAnswered(memory.fence, effect, { answer, askedMs, atMs })
      if (effect.do === 'write pill' && !answer.ok)
        send(arbiter, alertOf(host, 'pill', `the poison pill of ${host} cannot be written: ${answer.fault}`))
    },
  )
  environment.pill(ask, timesOf(effect, askedMs).deadlineMs, done)
}

function lift(arbiter: ArbiterState, effect: LiftEffect): void {
  const { environment, memory } = arbiter
  const nowMs = environment.now()
  const { host, incident } = effect
  memory.lifts = liftAsked(memory.lifts, nowMs)
  environment.pill({ op: 'lift', host, incident }, nowMs + LIFT_MS, ({ ok }) => {
    memory.lifts = liftAnswered(memory.lifts, effect, ok)
  })
}

function takeInventory(arbiter: ArbiterState): void {
  const { environment, memory } = arbiter
  const { inventory } = memory
  const nowMs = environment.now()
  Object.assign(inventory, { busy: true, askedMs: nowMs })
  environment.driver({ call: 'survey' }, nowMs + LEADER_COMMAND_MS * 2, (answer) => {
    if (arbiter.memory !== memory) return
    inventory.busy = false
    if (answer.ok && answer.survey) inventory.value = answer.survey
    else if (!answer.ok) send(arbiter, alertOf(null, 'survey', `the instances cannot be looked up: ${answer.fault}`))
  })
}

function askToMove(arbiter: ArbiterState, effect: EvacuationEffect): void {
  const { environment } = arbiter
  const askedMs = environment.now()
  const about = arbiter.memory.open(effect.host)
  const { incident } = about
  about.evacuation = evacuationAsked(about.evacuation, effect, askedMs)
  const { call, withinMs } = driverCallOf(effect, arbiter.cluster)
  const done = remember<Parameters<Parameters<typeof environment.driver>[2]>[0]>(
    arbiter,
    effect.host,
    (memory, answer, atMs) => {
      // What was found out for an incident that is over since says nothing.
      if (memory.incident === incident)
        memory.evacuation = evacuationAnswered(memory.evacuation, effect, { answer, askedMs, atMs })
      else if (effect.do !== 'start') memory.evacuation = { ...memory.evacuation, busy: false }
      const alert = alertOfAnswer(effect, answer)
      if (alert) send(arbiter, alert)
    },
  )
  environment.driver(call, askedMs + withinMs, done)
}

function askToDrain(arbiter: ArbiterState, effect: DrainEffect): void {
  const { environment } = arbiter
  const askedMs = environment.now()
  const about = arbiter.memory.open(effect.host)
  about.drain = drainAsked(about.drain, effect, askedMs)
  const { call, withinMs } = driverCallOf(effect, arbiter.cluster)
  const done = remember<Parameters<Parameters<typeof environment.driver>[2]>[0]>(
    arbiter,
    effect.host,
    (memory, answer, atMs) => {
      memory.drain = drainAnswered(memory.drain, effect, { answer, atMs })
      const alert = alertOfAnswer(effect, answer)
      if (alert) send(arbiter, alert)
    },
  )
  environment.driver(call, askedMs + withinMs, done)
}

function runErrand(arbiter: ArbiterState, effect: ErrandEffect): void {
  const { environment, memory } = arbiter
  const { kind, host, instance, why } = effect.errand
  memory.errands = errandAsked(memory.errands, effect)
  const call =
    kind === 'disable' || instance === null
      ? ({ call: 'disable', host, why } as const)
      : ({ call: 'restart', order: { host, instance, step: kind } } as const)
  environment.driver(call, environment.now() + ERRAND_MS, (answer) => {
    if (arbiter.memory !== memory) return
    memory.errands = errandAnswered(memory.errands, effect, { answer, atMs: environment.now() })
    arbiter.onNews()
  })
}

/** The same failure is logged once in a while, not on each tick. */
function send(arbiter: ArbiterState, alert: Alert): void {
  const nowMs = arbiter.environment.now()
  const sent = alert.host === null ? arbiter.alerts : arbiter.memory.open(alert.host).alerts
  if (nowMs - (sent.get(alert.key) ?? Number.NEGATIVE_INFINITY) < ALERT_AGAIN_MS) return
  sent.set(alert.key, nowMs)
  arbiter.environment.alert(alert)
}
