/** The state of the model check, where it begins, and the rules that a check can take away. */
import { FENCE_GUARDS, type FenceGuards } from '../../host-agent/fence/guards.ts'
import { INTENT_GUARDS, type IntentFacts, type IntentGuards } from '../../host-agent/evacuate/intents.ts'
import type { Incident, Intent } from '../../host-agent/protocol/records.ts'

export interface Rules {
  readonly fence: FenceGuards
  readonly intent: IntentGuards
  /** The store takes a write only from the newest epoch, and only on what was read. */
  readonly cas: boolean
  /** A leader stops when its lease is over, and the next waits for what it may have sent. */
  readonly lease: boolean
  /** A host that boots starts no guests by itself. */
  readonly gate: boolean
  /** The host has a gate at all, as far as the leaders know. */
  readonly gated: boolean
  /** A target counts as gone when it is proven down, and not when it is silent. */
  readonly targetProof: boolean
}
export const RULES: Rules = {
  fence: FENCE_GUARDS,
  intent: INTENT_GUARDS,
  cas: true,
  lease: true,
  gate: true,
  gated: true,
  targetProof: true,
}

export interface Leader {
  readonly on: boolean
  readonly quiesced: boolean
  /** Readings of the BMC so far: none, one off, two off, or on. */
  readonly reads: 0 | 1 | 2 | 3
  /** Whether it sent OFF and when: never, just now, long ago. */
  readonly off: 0 | 1 | 2
  /** Stored, and about to do. */
  readonly owes: '' | 'off' | 'start'
  readonly request: IntentFacts['request']
  readonly truth: '' | 'source' | 'moving1' | 'moving2' | 'moved'
  readonly enabled: boolean
}

export interface State {
  readonly host: 'run' | 'stall' | 'off'
  readonly reach: boolean
  readonly boot: 0 | 1
  readonly src: boolean
  /** Copies that were started elsewhere. */
  readonly copies: number
  readonly epoch: 1 | 2
  readonly incident: Incident['state'] | ''
  readonly incidentEpoch: number
  readonly proof: boolean
  readonly offs: number
  readonly intent: Intent['state'] | ''
  readonly intentEpoch: number
  readonly attempt: number
  readonly leaders: readonly [Leader, Leader]
  /** OFF commands on their way, by leader. */
  readonly commands: readonly [number, number]
  /** Requests on their way, by leader. */
  readonly posts: readonly [number, number]
  readonly moves: 'none' | 'moving' | 'done'
  /** Which move is the newest; the first goes to the second host of the model, the next to a third that never fails. */
  readonly ref: 0 | 1 | 2
  readonly target: 'well' | 'dead' | 'fenced'
  /** The first move still waits on its dead target, and goes on should that come back. */
  readonly waiting: boolean
  readonly past: 0 | 1
  readonly lost: number
  /** A write of leader 1 that was under way when its lease ended. */
  readonly late: Pick<State, 'incident' | 'incidentEpoch' | 'offs' | 'proof'> | null
  readonly wrong: string
}

export const IDLE: Leader = {
  on: false,
  quiesced: false,
  reads: 0,
  off: 0,
  owes: '',
  request: 'none',
  truth: '',
  enabled: false,
}
export const START: State = {
  host: 'run',
  reach: true,
  boot: 0,
  src: true,
  copies: 0,
  epoch: 1,
  incident: '',
  incidentEpoch: 0,
  proof: false,
  offs: 0,
  intent: '',
  intentEpoch: 0,
  attempt: 0,
  leaders: [{ ...IDLE, on: true, quiesced: true }, IDLE],
  commands: [0, 0],
  posts: [0, 0],
  moves: 'none',
  ref: 0,
  target: 'well',
  waiting: false,
  past: 0,
  lost: 0,
  late: null,
  wrong: '',
}
