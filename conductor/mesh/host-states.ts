/** The states in which the mesh reports a host: a verdict, a hold, or the state of an incident. */

interface HostStateRow {
  /** The mesh handles the death of this host: what it must prove, and what it moves, must not change meanwhile. */
  readonly inIncident: boolean
}

export const HOST_STATES = {
  unknown: { inIncident: false },
  healthy: { inIncident: false },
  degraded: { inIncident: false },
  suspect: { inIncident: false },
  held: { inIncident: false },
  maintenance: { inIncident: false },
  deploying: { inIncident: false },
  leave: { inIncident: false },
  drain: { inIncident: false },
  confirmed: { inIncident: true },
  fencing: { inIncident: true },
  'fence failed': { inIncident: true },
  fenced: { inIncident: true },
  evacuating: { inIncident: true },
  evacuated: { inIncident: false },
  returning: { inIncident: true },
  recovered: { inIncident: false },
  cancelled: { inIncident: false },
} as const satisfies Record<string, HostStateRow>

export type HostState = keyof typeof HOST_STATES

/** A state that this conductor does not know, of a newer mesh, counts as an incident. */
export const isInIncident = (state: string): boolean =>
  !Object.hasOwn(HOST_STATES, state) || HOST_STATES[state as HostState].inIncident
