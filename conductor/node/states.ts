/** Every provision state, in Ironic's words: what it is, and what a restart of the conductor means for it. */

export type Kind =
  /** Waits for a person. */
  | 'stable'
  /** We owe an act; after a restart it is performed again. */
  | 'working'
  /** Waits for the agent, until a deadline that is stored with the record. */
  | 'waiting'
  /** Something went wrong; last_error says what. */
  | 'failed'

export const STATES = {
  enroll: { kind: 'stable', says: 'known by name only; nothing was checked' },
  verifying: { kind: 'working', says: 'the credentials of the BMC are tried' },
  manageable: { kind: 'stable', says: 'its BMC obeys us' },
  inspecting: { kind: 'working', says: 'being booted to look at its hardware' },
  'inspect wait': { kind: 'waiting', says: 'the agent looks at the hardware' },
  'inspect failed': { kind: 'failed', says: 'the hardware could not be looked at' },
  cleaning: { kind: 'working', says: 'being booted to have its disks erased' },
  'clean wait': { kind: 'waiting', says: 'the agent erases the disks' },
  'clean failed': { kind: 'failed', says: 'the disks may still hold data' },
  available: { kind: 'stable', says: 'clean and ready to be deployed' },
  deploying: { kind: 'working', says: 'being booted to take an image, or started from it' },
  'wait call-back': { kind: 'waiting', says: 'the agent writes the image' },
  'deploy failed': { kind: 'failed', says: 'the image is not on the disk' },
  active: { kind: 'stable', says: 'runs its instance' },
  deleting: { kind: 'working', says: 'the instance is taken away' },
  error: { kind: 'failed', says: 'the instance could not be taken away' },
} as const satisfies Record<string, { kind: Kind; says: string }>

export type State = keyof typeof STATES

export const isState = (text: string): text is State => Object.hasOwn(STATES, text)

/** Where a state leads, shown as target_provision_state (reference: Ironic's states.py); null in states that wait for a person. */
export function targetOf(state: State, cleaningTo: 'available' | 'manageable'): State | null {
  switch (state) {
    case 'verifying':
    case 'inspecting':
    case 'inspect wait':
      return 'manageable'
    case 'cleaning':
    case 'clean wait':
      return cleaningTo
    case 'deploying':
    case 'wait call-back':
    case 'deploy failed':
      return 'active'
    case 'deleting':
    case 'error':
      return 'available'
    case 'inspect failed':
      return 'manageable'
    case 'clean failed':
      return cleaningTo
    default:
      return null
  }
}
