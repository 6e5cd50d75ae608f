/** The times that two programs of the mesh must agree on, and what must hold between them (test/mesh/timing.test.ts).
 *  Imports nothing. */

/** How long an arbiter's statement about itself is good for the others. */
export const TICKET_MS = 3_000
/** How long a host's watchdog lease lasts. The agent counts it from its asking. */
export const HOST_LEASE_MS = 6_000
/** What a reset by the watchdog is given on top, for clocks that drift and a machine that takes its time. */
export const RESET_MARGIN_MS = 2_000
export const CLOCK_DRIFT = 1.01
/** Longest command of a leader: a BMC command or a request to the manager of instances. The next leader waits as long
 *  before its first command. */
export const LEADER_COMMAND_MS = 5_000
/** Of the Consul session that holds the leader's lock. */
export const SESSION_TTL_MS = 10_000
/** Consul gives the lock to nobody for this long after a session was lost. */
export const LOCK_DELAY_MS = 5_000
