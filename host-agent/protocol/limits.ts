/** The numbers that verdicts are made of, in one place. Each may be set in the mesh's policy; the defaults are what the simulation is run with. */

export const LIMITS = {
  /** Between heartbeats to the arbiters. */
  heartbeatMs: 500,
  /** Between probes of one peer on one plane. */
  probeMs: 250,
  /** Probes in a row without an answer that make a plane silent for an observer. */
  misses: 4,
  /** Silence at the leader that makes a host suspect. */
  suspectMs: 1_000,
  /** C1: silence at a majority of the arbiters. A machine that stops for 3 s (SMI, live patching, stolen time) and goes on must not be taken for dead,
   *  whenever its last heartbeat was. */
  silentMs: 3_800,
  /** A report older than this is no report. */
  reportMs: 1_250,
  /** C4: a life sign that was authenticated and is younger than this forbids fencing. */
  vetoMs: 2_000,
  /** C4: how long signs that anybody could forge may hold up fencing; then a person is asked. */
  softVetoMs: 60_000,
  /** C3: reads that succeed for this long while the tick stands still. */
  tickMs: 3_000,
  /** C2: share of the observers that must find a plane silent, in clusters that have fewer than 8 observers, and in others. */
  quorumSmall: 2 / 3,
  quorum: 3 / 4,
  /** An observer whose loop was late by more says nothing (Lifeguard: false alarms come from slow observers). */
  observerLagMs: 100,
  /** An observer that reaches less of its other targets on a plane says nothing about that plane. */
  observerReach: 0.8,
  /** C5: suspects of the last `cutWindowMs` above the larger of these are a cut, not deaths. */
  cutHosts: 2,
  cutShare: 0.05,
  cutWindowMs: 5_000,
  /** C5: nobody new has become suspect for this long. */
  settleMs: 1_000,
  /** After a cut nothing is fenced on its own for this long. */
  cooldownMs: 60_000,
  /** C6. */
  leaseLeftMs: 8_000,
  leaderReach: 0.8,
  /** C7: a new leader first watches. */
  leaderAgeMs: 10_000,
  /** I7: hosts fenced in the window: the larger of 1 and the share, at most the cap. */
  fenceWindowMs: 600_000,
  fenceShare: 0.05,
  fenceCap: 10,
  /** Fenced at once, in all and in one rack. */
  fencingAtOnce: 5,
  fencingAtOncePerRack: 2,
  /** Hosts in a row that may fall silent after receiving an instance; it is then taken for the cause and started nowhere. */
  hops: 2,
  hopWindowMs: 3_600_000,
  /** A dump kernel that was silent for this long is done; and how long a dump may hold back a fence at all. */
  dumpSilentMs: 15_000,
  dumpMs: 900_000,
  /** Vetoed suspicions in `flapWindowMs` that double the silence asked for, up to eight times. */
  flaps: 2,
  flapWindowMs: 600_000,
} as const

export type Limits = { readonly [K in keyof typeof LIMITS]: number }
