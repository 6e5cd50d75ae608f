/** What is known of a host, from whom, and how old it is. Ages are milliseconds; an age never shrinks by passing
 *  through hands. */

/** The network planes of a host. Which of them a host has is its own registration. */
export const PLANES = ['management', 'storage', 'tenant'] as const
export type Plane = (typeof PLANES)[number]

/** What one observer saw of one peer on one plane: an answer counts only when it was authenticated. */
export interface Sight {
  /** Since the newest answer; null: none since the observer started. */
  readonly replyAgeMs: number | null
  /** Probes in a row without an answer. */
  readonly misses: number
}

export interface PeerView {
  readonly planes: Readonly<Partial<Record<Plane, Sight>>>
  /** Since the peer's kernel answered a connection (SYN-ACK or RST): life of the machine, not of the agent; anybody can
   *  forge it. */
  readonly kernelAgeMs: number | null
}

/** What a reader of the shared storage saw of a host's storage heartbeat. */
export interface StorageHeartbeatView {
  /** Since the counter was last seen to advance. */
  readonly advanceAgeMs: number
  /** How long this reader's reads have succeeded without a gap. A reader that cannot read says nothing about the
   *  host. */
  readonly readingMs: number
}

export const SELF_STATES = ['member', 'quarantined', 'leaving'] as const
export type SelfState = (typeof SELF_STATES)[number]

/** What a node of the mesh says of itself. */
export interface SelfReport {
  /** `quarantined`: booted, gate closed. `leaving`: a planned leave. */
  readonly state: SelfState
  /** Longest delay of its probing loop lately. */
  readonly lagMs: number
  /** Its guests cannot reach their storage. */
  readonly storageLost: boolean
  /** Guests that run on it; null: it could not look. */
  readonly guests: number | null
  /** It has stopped its guests because it was told to, and agrees to be switched off. */
  readonly consents: boolean
  readonly gate: 'open' | 'closed' | 'none'
  /** Time-out of its armed watchdog; null: none is armed. */
  readonly watchdogMs: number | null
  /** Short of memory: it is no witness against others. */
  readonly strained?: boolean
}

/** One message of a node to the arbiters; it is its heartbeat as well. */
export interface Heartbeat {
  readonly from: string
  readonly bootId: string
  /** Rises within a boot. */
  readonly seq: number
  readonly self: SelfReport
  readonly peers: Readonly<Record<string, PeerView>>
  /** Of arbiters: since each host's newest heartbeat got here. */
  readonly heard?: Readonly<Record<string, number>>
  /** What it read of the storage heartbeats, by host; the name on the wire since version 0.1. */
  readonly ticks?: Readonly<Record<string, StorageHeartbeatView>>
  /** Of arbiters: hosts to which this one grants no watchdog lease any more. */
  readonly noGrant?: readonly string[]
  /** Of arbiters: it has read the store since it started. */
  readonly settled?: boolean
  /** Of arbiters: since the store last took something from it. */
  readonly storeAgeMs?: number
  /** Of arbiters: its own clock when it sent this. */
  readonly timestamp?: number
  /** Of arbiters: the newest timestamp of each other arbiter. An arbiter that finds its own timestamp echoed here has
   *  an upper bound for the age of this message, queueing included. */
  readonly echoedTimestamps?: Readonly<Record<string, number>>
}

/** What an arbiter states beyond what every node reports. */
export type ArbiterStatement = Pick<
  Heartbeat,
  'heard' | 'ticks' | 'noGrant' | 'settled' | 'storeAgeMs' | 'timestamp' | 'echoedTimestamps'
>

/** What an arbiter answers to a host's heartbeat. */
export interface HeartbeatReply {
  /** Sequence number of the heartbeat that it answers. */
  readonly seq: number
  readonly bootId: string
  /** The host may go on petting its watchdog. */
  readonly grants: boolean
  readonly order: 'open gate' | 'stop guests' | null
}

export interface BootRecord {
  readonly id: string
  readonly watchdogMs: number | null
  readonly leaving: boolean
}

export interface Member {
  readonly name: string
  readonly role: 'host' | 'arbiter'
  /** Failure domain; hosts of one rack fall together. */
  readonly rack: string | null
  readonly planes: readonly Plane[]
  /** Writes a heartbeat to the shared storage. */
  readonly writesStorageHeartbeat: boolean
  /** Its newest boot, as it wrote it to the store. */
  readonly boot?: BootRecord | undefined
}

/** A life sign of a host as an arbiter holds it, on the arbiter's own clock. */
export interface LifeSign {
  readonly atMs: number
  readonly how: string
}
