/** Every provision state, in Ironic's words: what it is, and what a restart of the conductor means for it. */

export type Kind =
  /** Waits for a person. */
  | 'stable'
  /** We owe an act; after a restart it is performed again. */
  | 'working'
  /** Waits for the agent, until a deadline that is stored with the record. */
  | 'waiting'
  /** A step said hold: waits for the verb unhold. */
  | 'held'
  /** Something went wrong; last_error says what. */
  | 'failed'

export const STATES = {
  enroll: { kind: 'stable', says: 'known by name only; nothing was checked' },
  verifying: { kind: 'working', says: 'the credentials of the BMC are tried' },
  manageable: { kind: 'stable', says: 'its BMC obeys us' },
  inspecting: { kind: 'working', says: 'being booted to look at its hardware' },
  'inspect wait': { kind: 'waiting', says: 'the agent looks at the hardware' },
  'inspect failed': { kind: 'failed', says: 'the hardware could not be looked at' },
  cleaning: { kind: 'working', says: 'being booted to have its disks erased, or between two steps' },
  'clean wait': { kind: 'waiting', says: 'the agent carries out a clean step' },
  'clean hold': { kind: 'held', says: 'a clean step said hold' },
  'clean failed': { kind: 'failed', says: 'the disks may still hold data' },
  available: { kind: 'stable', says: 'clean and ready to be deployed' },
  deploying: { kind: 'working', says: 'being booted to take an image, or started from it' },
  'wait call-back': { kind: 'waiting', says: 'the agent carries out a deploy step, such as writing the image' },
  'deploy hold': { kind: 'held', says: 'a deploy step said hold' },
  'deploy failed': { kind: 'failed', says: 'the image is not on the disk' },
  active: { kind: 'stable', says: 'runs its instance' },
  deleting: { kind: 'working', says: 'the instance is taken away' },
  error: { kind: 'failed', says: 'the instance could not be taken away' },
  adopting: { kind: 'working', says: 'a server that runs an instance already is taken over as it is' },
  'adopt failed': { kind: 'failed', says: 'the server could not be taken over' },
  rescuing: { kind: 'working', says: 'being booted into the rescue system' },
  'rescue wait': { kind: 'waiting', says: 'the agent opens the rescue login' },
  rescue: { kind: 'stable', says: 'runs the rescue system, with a login for its owner' },
  'rescue failed': { kind: 'failed', says: 'the rescue system did not come up' },
  unrescuing: { kind: 'working', says: 'being started from its own disk again' },
  'unrescue failed': { kind: 'failed', says: 'it did not start from its own disk' },
  servicing: { kind: 'working', says: 'being booted for steps on a server in use, or between two of them' },
  'service wait': { kind: 'waiting', says: 'the agent carries out a service step' },
  'service hold': { kind: 'held', says: 'a service step said hold' },
  'service failed': { kind: 'failed', says: 'a service step failed; the instance may not be running' },
} as const satisfies Record<string, { kind: Kind; says: string }>

export type State = keyof typeof STATES

export const isState = (text: string): text is State => Object.hasOwn(STATES, text)

const TARGET: Partial<Record<State, State | 'cleaned'>> = {
  verifying: 'manageable',
  inspecting: 'manageable',
  'inspect wait': 'manageable',
  'inspect failed': 'manageable',
  cleaning: 'cleaned',
  'clean wait': 'cleaned',
  'clean hold': 'cleaned',
  'clean failed': 'cleaned',
  deploying: 'active',
  'wait call-back': 'active',
  'deploy hold': 'active',
  'deploy failed': 'active',
  deleting: 'available',
  error: 'available',
  adopting: 'active',
  'adopt failed': 'active',
  rescuing: 'rescue',
  'rescue wait': 'rescue',
  'rescue failed': 'rescue',
  unrescuing: 'active',
  'unrescue failed': 'active',
  servicing: 'active',
  'service wait': 'active',
  'service hold': 'active',
  'service failed': 'active',
}

/** Where a state leads, shown as target_provision_state (Ironic's states.py); null in states that wait for a person. */
export function targetOf(state: State, cleaningTo: 'available' | 'manageable'): State | null {
  const target = TARGET[state]
  return target === 'cleaned' ? cleaningTo : (target ?? null)
}
