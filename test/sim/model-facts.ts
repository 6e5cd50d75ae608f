/** The model check's state as production code sees it: records, and the facts that an arbiter decides on. */
import type { IntentFacts } from '../../host-agent/evacuate/intents.ts'
import type { Whereabouts } from '../../host-agent/evacuate/instances.ts'
import type { Facts, PowerRead } from '../../host-agent/fence/guards.ts'
import type { Incident, Intent } from '../../host-agent/protocol/records.ts'
import type { Leader, Rules, State } from './model-state.ts'

const NOW = 10_000_000
const LONG = 1_000_000

/** The host is seen by the leaders. */
export const visible = (state: State): boolean => state.host === 'run' && state.reach

export const incidentOf = (state: State): Incident => ({
  id: 'i',
  host: 'h',
  bootId: '0',
  state: state.incident as Incident['state'],
  epoch: state.incidentEpoch,
  cause: 'silent',
  why: '',
  offs: state.offs,
  proof: state.proof ? { level: 'L1', says: '', epoch: state.incidentEpoch, at: '' } : null,
  attested: null,
  listed: state.intent !== '',
  returnedBoot: state.incident === 'returning' ? '1' : null,
  lines: [],
})

export const intentOf = (state: State): Intent => ({
  incident: 'i',
  source: 'h',
  instance: 'vm',
  name: 'vm',
  priority: 0,
  memoryMb: 1,
  group: null,
  state: state.intent as Intent['state'],
  epoch: state.intentEpoch,
  attempt: state.attempt,
  target: null,
  ref: null,
  past: state.past === 0 ? null : String(state.past),
  why: null,
  hops: 0,
  requestedAt: null,
  endedAt: null,
})

function readsOf(leader: Leader): PowerRead[] {
  const off = (agoMs: number, session: number): PowerRead => ({ atMs: NOW - agoMs, power: 'off', session })
  if (leader.reads === 3) return [{ atMs: NOW - 2_000, power: 'on', session: 1 }]
  return leader.reads === 0 ? [] : leader.reads === 1 ? [off(2_000, 1)] : [off(3_500, 1), off(2_000, 2)]
}

export function factsOf(state: State, i: 0 | 1, { long, gated }: { long: boolean; gated: boolean }): Facts {
  const leader = state.leaders[i]
  const seen = visible(state)
  return {
    nowMs: NOW,
    at: '',
    epoch: i + 1,
    leaseLeftMs: 9_000,
    quiesced: leader.quiesced,
    veto: seen ? 'hard' : null,
    confirmed: !seen,
    halted: null,
    reads: readsOf(leader),
    identity: 'match',
    updating: null,
    outstanding: leader.off === 1 ? 1 : 0,
    lastOffMs: leader.off === 0 ? null : leader.off === 1 ? NOW - 100 : NOW - LONG,
    stateSinceMs: long ? NOW - LONG : NOW - 4_000,
    devices: [],
    levels: ['L0', 'L1'],
    resetByMs: null,
    slot: null,
    lifeAtMs: null,
    newBoot: seen && state.boot === 1 ? { bootId: '1', quarantined: !state.src, guests: state.src ? 1 : 0 } : null,
    instances: {
      listed: state.intent !== '' || state.incident === 'fenced',
      open:
        state.intent === '' || state.intent === 'PENDING' || state.intent === 'INTENT' || state.intent === 'REQUESTED'
          ? 1
          : 0,
    },
    readmitted: leader.enabled,
    gated,
  }
}

const TRUTHS: Record<Leader['truth'], Whereabouts | undefined> = {
  '': undefined,
  source: { at: 'source' },
  moving1: { at: 'moving', ref: '1', to: 'd' },
  moving2: { at: 'moving', ref: '2', to: 'e' },
  moved: { at: 'moved', ref: '1', to: 'd' },
}

export function intentFactsOf(
  state: State,
  i: 0 | 1,
  about: { request: IntentFacts['request']; rules: Rules },
): IntentFacts {
  return {
    nowMs: NOW,
    at: '',
    epoch: i + 1,
    mayCommand: true,
    truth: TRUTHS[state.leaders[i].truth],
    truthAgeMs: 0,
    request: about.request,
    requestWhy: null,
    requestAgeMs: state.posts[i] > 0 ? 0 : LONG,
    graceMs: 6_000,
    place: null,
    targetFenced: state.ref === 1 && (about.rules.targetProof ? state.target === 'fenced' : state.target !== 'well'),
    stateAgeMs: 0,
    tries: 3,
  }
}
