/** Every provision state, in Ironic's words, with everything that depends on the state alone. There is no other list of
 *  states. */

export type Kind =
  /** Waits for a request. */
  | 'stable'
  /** The conductor has effects to perform; after a restart they are performed again. */
  | 'working'
  /** Waits for the agent, until a deadline that is stored with the record. */
  | 'waiting'
  /** A hold step was reached: waits for the verb unhold. */
  | 'held'
  /** Something went wrong; last_error says what. */
  | 'failed'

/** What the deploy agent of a node is in a state. */
export type Presence =
  /** There is no agent: another system runs on the node, or has run since. Session and token end when the state is
   *  entered. */
  | 'none'
  /** The node boots into the ramdisk, or is between two steps: nothing is accepted now, a call waits. */
  | 'boots'
  /** It carries out the present step. */
  | 'works'
  /** It waits until the operator lets the order go on. */
  | 'held'
  /** It waits for the next order, which it gets without a boot (fast track). No other system has run since it said
   *  hello. */
  | 'parked'
  /** It waits to be switched off: a tenant may have had the ramdisk or the disk, so the next order boots the node. */
  | 'idle'

/** Why a node is out of service, in Ironic's words and one of ours. `endsWithVerb`: an operator who acts on the node
 *  has looked at it, so the verb is accepted in the maintenance that the fault brought, and ends it. */
export const NODE_FAULTS = {
  'power failure': { endsWithVerb: false },
  'clean failed': { endsWithVerb: true },
  'service failure': { endsWithVerb: true },
  'rescue abort failed': { endsWithVerb: false },
  'boot claimed twice': { endsWithVerb: false },
} as const satisfies Record<string, { endsWithVerb: boolean }>

export type NodeFault = keyof typeof NODE_FAULTS

export const isNodeFault = (text: string): text is NodeFault => Object.hasOwn(NODE_FAULTS, text)

interface Meaning {
  readonly kind: Kind
  /** Where the state leads, shown as target_provision_state (Ironic's states.py); `cleaned`: where the cleaning
   *  leads. */
  readonly target?: string
  readonly description: string
}

const MEANINGS = {
  enroll: { kind: 'stable', description: 'registered; nothing has been checked' },
  verifying: { kind: 'working', target: 'manageable', description: 'the credentials of the BMC are being checked' },
  manageable: { kind: 'stable', description: 'the conductor controls the node through its BMC' },
  inspecting: {
    kind: 'working',
    target: 'manageable',
    description: 'the node boots the ramdisk for an inspection of its hardware',
  },
  'inspect wait': { kind: 'waiting', target: 'manageable', description: 'the agent inspects the hardware' },
  'inspect failed': { kind: 'failed', target: 'manageable', description: 'the inspection of the hardware failed' },
  cleaning: {
    kind: 'working',
    target: 'cleaned',
    description: 'the node boots the ramdisk for cleaning, or is between two clean steps',
  },
  'clean wait': { kind: 'waiting', target: 'cleaned', description: 'the agent carries out a clean step' },
  'clean hold': { kind: 'held', target: 'cleaned', description: 'cleaning is held at a hold step' },
  'clean failed': { kind: 'failed', target: 'cleaned', description: 'cleaning failed; the disks may still hold data' },
  available: { kind: 'stable', description: 'clean and ready to be deployed' },
  deploying: {
    kind: 'working',
    target: 'active',
    description: 'the node boots the ramdisk for a deployment, or starts from the image that was written',
  },
  'wait call-back': {
    kind: 'waiting',
    target: 'active',
    description: 'the agent carries out a deploy step, such as writing the image',
  },
  'deploy hold': { kind: 'held', target: 'active', description: 'the deployment is held at a hold step' },
  'deploy failed': {
    kind: 'failed',
    target: 'active',
    description: 'the deployment failed; the disk does not hold a complete image',
  },
  active: { kind: 'stable', description: 'the node runs its instance' },
  deleting: { kind: 'working', target: 'available', description: 'the instance is being removed' },
  error: { kind: 'failed', target: 'available', description: 'the instance could not be removed' },
  adopting: {
    kind: 'working',
    target: 'active',
    description: 'a server that already runs an instance is being adopted without a deployment',
  },
  'adopt failed': { kind: 'failed', target: 'active', description: 'the server could not be adopted' },
  rescuing: { kind: 'working', target: 'rescue', description: 'the node boots the rescue system' },
  'rescue wait': { kind: 'waiting', target: 'rescue', description: 'the agent sets up the rescue login' },
  rescue: { kind: 'stable', description: 'the node runs the rescue system, with a login for its owner' },
  'rescue failed': { kind: 'failed', target: 'rescue', description: 'the rescue system did not start' },
  unrescuing: { kind: 'working', target: 'active', description: 'the node starts from its own disk again' },
  'unrescue failed': { kind: 'failed', target: 'active', description: 'the node did not start from its own disk' },
  servicing: {
    kind: 'working',
    target: 'active',
    description: 'the node boots the ramdisk for service steps, or is between two of them',
  },
  'service wait': { kind: 'waiting', target: 'active', description: 'the agent carries out a service step' },
  'service hold': { kind: 'held', target: 'active', description: 'the service is held at a hold step' },
  'service failed': {
    kind: 'failed',
    target: 'active',
    description: 'a service step failed; the instance may not be running',
  },
} as const satisfies Record<string, Meaning>

export type State = keyof typeof MEANINGS

export interface StateRules {
  readonly agent: Presence
  /** What a network boot is answered with. */
  readonly booting: 'ramdisk' | 'disk' | 'nothing'
  /** What may be changed of the record: everything, all but the driver, its interfaces and the resource class, or only
   *  flags and notes. */
  readonly editable: 'all' | 'fields' | 'flags'
  /** How a network card is connected may be changed (Ironic). */
  readonly connectable?: true
  /** The record may be deleted. */
  readonly deletable?: true
  /** An agent may be running: GET /v1/lookup finds the node. In any other state it answers as for an unknown node. */
  readonly lookup?: true
  /** The instance or the rescue system runs: an idle agent's node is not switched off, and the node can be
   *  protected. */
  readonly occupied?: true
  /** Requests to change the power are refused. */
  readonly powerFixed?: true
  /** The credentials of the BMC were never checked: its power is not polled. */
  readonly unverified?: true
  /** How the deploy went that wrote its image; absent: the node has no instance. Until it is done, the disk holds the
   *  image before, or part of this one. */
  readonly image?: 'under way' | 'failed' | 'done'
  /** The failure takes the node out of service until somebody has looked at it (Ironic's fault). */
  readonly fault?: NodeFault
}

const RULES: Readonly<Record<State, StateRules>> = {
  enroll: { agent: 'none', booting: 'nothing', editable: 'all', connectable: true, deletable: true, unverified: true },
  verifying: { agent: 'none', booting: 'nothing', editable: 'fields', unverified: true },
  manageable: { agent: 'parked', booting: 'nothing', editable: 'all', connectable: true, deletable: true },
  inspecting: { agent: 'boots', booting: 'ramdisk', editable: 'all', connectable: true, lookup: true },
  'inspect wait': { agent: 'works', booting: 'ramdisk', editable: 'all', connectable: true, lookup: true },
  'inspect failed': { agent: 'parked', booting: 'nothing', editable: 'all', connectable: true },
  cleaning: { agent: 'boots', booting: 'ramdisk', editable: 'flags', lookup: true, powerFixed: true },
  'clean wait': { agent: 'works', booting: 'ramdisk', editable: 'flags', lookup: true, powerFixed: true },
  'clean hold': { agent: 'held', booting: 'ramdisk', editable: 'flags', lookup: true },
  'clean failed': { agent: 'parked', booting: 'nothing', editable: 'fields', fault: 'clean failed' },
  available: { agent: 'parked', booting: 'nothing', editable: 'all', deletable: true },
  deploying: { agent: 'boots', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'under way' },
  'wait call-back': { agent: 'works', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'under way' },
  'deploy hold': { agent: 'held', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'under way' },
  'deploy failed': { agent: 'parked', booting: 'nothing', editable: 'fields', image: 'failed' },
  active: { agent: 'none', booting: 'disk', editable: 'fields', occupied: true, image: 'done' },
  deleting: { agent: 'boots', booting: 'nothing', editable: 'flags', image: 'done' },
  error: { agent: 'none', booting: 'nothing', editable: 'fields', image: 'done' },
  adopting: { agent: 'none', booting: 'nothing', editable: 'flags' },
  'adopt failed': { agent: 'none', booting: 'nothing', editable: 'fields', deletable: true },
  rescuing: { agent: 'boots', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'done' },
  'rescue wait': { agent: 'works', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'done' },
  // A node in rescue that restarts comes back to its rescue system.
  rescue: { agent: 'none', booting: 'ramdisk', editable: 'fields', occupied: true, image: 'done' },
  'rescue failed': { agent: 'idle', booting: 'nothing', editable: 'fields', image: 'done' },
  unrescuing: { agent: 'none', booting: 'disk', editable: 'flags', image: 'done' },
  'unrescue failed': { agent: 'none', booting: 'nothing', editable: 'fields', image: 'done' },
  servicing: { agent: 'boots', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'done' },
  'service wait': { agent: 'works', booting: 'ramdisk', editable: 'flags', lookup: true, image: 'done' },
  'service hold': { agent: 'held', booting: 'ramdisk', editable: 'fields', lookup: true, image: 'done' },
  'service failed': { agent: 'idle', booting: 'nothing', editable: 'fields', fault: 'service failure', image: 'done' },
}

export interface StateRow extends StateRules {
  readonly kind: Kind
  readonly target?: State | 'cleaned'
  readonly description: string
}

export const STATES = Object.fromEntries(
  Object.entries(MEANINGS).map(([state, meaning]) => [state, { ...meaning, ...RULES[state as State] }]),
) as Readonly<Record<State, StateRow>>

export const isState = (text: string): text is State => Object.hasOwn(STATES, text)

/** The states that a column names, for a message. */
export const statesWith = (test: (row: StateRow) => boolean): string =>
  Object.entries(STATES)
    .flatMap(([state, row]) => (test(row) ? [state] : []))
    .join(', ')

/** Where a state leads, shown as target_provision_state; null in states that wait for a request. */
export function targetOf(state: State, cleaningTo: 'available' | 'manageable'): State | null {
  const { target } = STATES[state]
  return target === 'cleaned' ? cleaningTo : (target ?? null)
}
