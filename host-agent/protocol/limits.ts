/** The numbers that verdicts are made of, in one place. Each may be set in the mesh's policy; the defaults are what the
 *  simulation is run with. */

export const LIMITS = {
  /** Interval of heartbeats to the arbiters. */
  heartbeatMs: 500,
  /** Interval of probes of one peer on one plane. */
  probeMs: 250,
  /** Probes in a row without an answer that make a plane silent for an observer. */
  misses: 4,
  /** Silence at the leader that makes a host suspect. */
  suspectMs: 1_000,
  /** C1: silence at a majority of the arbiters. A machine that stops for 3 s (SMI, live patching, stolen time) and goes
   *  on must not count as dead. */
  silentMs: 3_800,
  /** Oldest report of an arbiter or an observer that counts. */
  reportMs: 1_250,
  /** C4: an authenticated sign of life that is younger than this forbids fencing. */
  vetoMs: 2_000,
  /** C4: how long forgeable signs of life may hold up fencing before a person is asked. */
  softVetoMs: 60_000,
  /** C3: how long reads must succeed while the storage heartbeat stands still. */
  tickMs: 3_000,
  /** C2: share of the observers that must find a plane silent, in clusters with fewer than 8 observers. */
  quorumSmall: 2 / 3,
  /** C2: share of the observers that must find a plane silent, in clusters with 8 observers or more. */
  quorum: 3 / 4,
  /** Delay of its own loop above which an observer does not count (Lifeguard: false alarms come from slow
   *  observers). */
  observerLagMs: 100,
  /** Share of its other targets on a plane that an observer must reach to count on that plane. */
  observerReach: 0.8,
  /** C5: suspects within `cutWindowMs` above the larger of this and `cutShare` are a cut, not deaths. */
  cutHosts: 2,
  /** C5: the same, as a share of all hosts. */
  cutShare: 0.05,
  /** C5: window in which suspects count together. */
  cutWindowMs: 5_000,
  /** C5: how long no further host may have become suspect. */
  settleMs: 1_000,
  /** Pause after a cut in which nothing is fenced automatically. */
  cooldownMs: 60_000,
  /** C6: what must be left of the lease of the leader. */
  leaseLeftMs: 8_000,
  /** C6: share of the other hosts that the leader must hear. */
  leaderReach: 0.8,
  /** C7: how long a new leader watches before it acts. */
  leaderAgeMs: 10_000,
  /** I7: window of the budget: hosts fenced in it are at most the larger of 1 and `fenceShare`, and at most
   *  `fenceCap`. */
  fenceWindowMs: 600_000,
  /** I7: budget, as a share of all hosts. */
  fenceShare: 0.05,
  /** I7: budget, as a number of hosts. */
  fenceCap: 10,
  /** Hosts that are fenced at the same time. */
  fencingAtOnce: 5,
  /** Hosts of one rack that are fenced at the same time. */
  fencingAtOncePerRack: 2,
  /** Hosts that may fall silent in a row after they received an instance; then the instance counts as the cause and is
   *  not started again. */
  hops: 2,
  /** Window in which such hosts count. */
  hopWindowMs: 3_600_000,
  /** Silence of a dump kernel after which its dump counts as done. */
  dumpSilentMs: 15_000,
  /** How long a crash dump may hold up fencing. */
  dumpMs: 900_000,
  /** Vetoed suspicions within `flapWindowMs` that double the required silence, up to eight times. */
  flaps: 2,
  /** Window in which vetoed suspicions count. */
  flapWindowMs: 600_000,
} as const

export type Limits = { readonly [K in keyof typeof LIMITS]: number }
