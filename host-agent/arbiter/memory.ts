/** What a leader remembers of one host while it leads; lost with it, and found out again by the next. */
import type { PowerRead } from '../fence/guards.ts'
import type { DeviceLevel } from '../protocol/records.ts'
import type { Whereabouts } from '../evacuate/instances.ts'
import { provenOff } from '../fence/guards.ts'
import type { PlaneAction } from '../verdict/planes.ts'

const KEPT_READS = 24
const IDENTITY_MS = 5_000

/** Where the order to die stands, as far as it was read back. */
export interface PillPost {
  /** Counts what this leader wrote: no two pills are alike. */
  readonly attempts: number
  /** Since when it stands there without a gap. */
  readonly standsSinceMs: number | undefined
  /** When the slot was last asked for, and held it. */
  readonly readMs: number | undefined
  readonly busy: boolean
  readonly askedMs: number
}
const NO_PILL = { standsSinceMs: undefined, readMs: undefined, busy: false, askedMs: Number.NEGATIVE_INFINITY }

export class HostMemory {
  /** Since when it is silent at this arbiter; undefined: it is heard. */
  quietSinceMs: number | undefined
  /** Moments when a suspicion was answered by a sign of life. */
  flaps: readonly number[] = []
  softSinceMs: number | undefined
  /** It lives, and what it lost makes its guests useless where they are. */
  unfit: { readonly action: PlaneAction; readonly sinceMs: number } | undefined
  reads: PowerRead[] = []
  identity: 'match' | 'mismatch' | 'unknown' = 'unknown'
  identityAtMs = Number.NEGATIVE_INFINITY
  bmcFault: string | undefined
  /** Outlets and storage access, by level. */
  readonly devices = new Map<DeviceLevel, DevicePost>()
  /** A read is under way; BMCs are asked one thing at a time. */
  bmcBusy = false
  /** Deadlines of OFF commands that were not answered. */
  outstanding: number[] = []
  lastOffMs: number | null = null
  /** When a majority of the arbiters were seen to grant it no lease any more. */
  withheldAtMs: number | undefined
  /** The order to die in its slot on the shared storage. */
  pill: PillPost = { ...NO_PILL, attempts: 0 }
  /** The incident that all this was found out for. */
  incident: string | undefined
  /** The manager of the instances is being asked about it. */
  driverBusy = false
  readonly drain: DrainPost = {
    busy: false,
    listedMs: Number.NEGATIVE_INFINITY,
    moving: new Map(),
    failedMs: new Map(),
  }
  prepared = false
  /** All its instances were asked for and stored as intents. */
  listed = false
  cleaned = false
  enabled = false
  triedAtMs = Number.NEGATIVE_INFINITY
  readonly moves = new Map<string, Move>()
  truths: ReadonlyMap<string, Whereabouts> = new Map()
  locatedAtMs = Number.NEGATIVE_INFINITY
  /** What people were told of it, and when. */
  readonly pages = new Map<string, number>()

  /** For what is done about a device; made when it is first needed. */
  device(level: DeviceLevel): DevicePost {
    let device = this.devices.get(level)
    if (!device) this.devices.set(level, (device = { lastOffMs: null, reads: [], busy: false, fault: undefined }))
    return device
  }

  addRead(read: PowerRead): void {
    this.reads = [...this.reads, read].slice(-KEPT_READS)
  }

  /** Whose BMC it is, by an answer of the last seconds: an address may have moved since. */
  identityNow(nowMs: number): 'match' | 'mismatch' | 'unknown' {
    return nowMs - this.identityAtMs <= IDENTITY_MS ? this.identity : 'unknown'
  }

  provenOff(nowMs: number): boolean {
    return this.identityNow(nowMs) === 'match' && provenOff(this.reads, nowMs)
  }

  /** Commands that were sent, and neither answered nor past their deadline. */
  pending(nowMs: number): number {
    return this.outstanding.filter((deadlineMs) => deadlineMs > nowMs).length
  }

  factor(nowMs: number, limits: { flaps: number; flapWindowMs: number }): number {
    const recent = this.flaps.filter((atMs) => nowMs - atMs <= limits.flapWindowMs).length
    return Math.min(8, 2 ** Math.floor(recent / limits.flaps))
  }

  /** The end of an incident: what was found out about the old one says nothing about the next. */
  reset(): void {
    this.reads = []
    this.outstanding = []
    this.lastOffMs = null
    this.devices.clear()
    this.withheldAtMs = undefined
    this.pill = { ...NO_PILL, attempts: this.pill.attempts }
    this.prepared = this.cleaned = this.enabled = false
    this.moves.clear()
    this.truths = new Map()
    this.listed = false
    this.pages.clear()
    this.locatedAtMs = this.triedAtMs = Number.NEGATIVE_INFINITY
  }
}

/** Of a host of which nothing is remembered yet. */
export const BLANK: Readonly<HostMemory> = Object.freeze(new HostMemory())

/** Which orders a leader has lifted; another leader looks for itself. */
export interface Lifts {
  busy: boolean
  failed: boolean
  askedMs: number
  readonly done: Set<string>
}
export const noLifts = (): Lifts => ({ busy: false, failed: false, askedMs: Number.NEGATIVE_INFINITY, done: new Set() })

/** A host that is being emptied. */
export interface DrainPost {
  busy: boolean
  listedMs: number
  /** Instance -> where to. */
  readonly moving: Map<string, string | null>
  readonly failedMs: Map<string, number>
}

export interface DevicePost {
  lastOffMs: number | null
  /** Since then. */
  reads: PowerRead[]
  busy: boolean
  fault: string | undefined
}

/** One instance on its way, as this leader knows it. */
export interface Move {
  request: 'none' | 'under way' | 'accepted' | 'refused' | 'refused for good' | 'unknown'
  why: string | null
  /** When the request was sent, or this leader first saw that an earlier one may have. */
  sinceMs: number
  attempt: number
}
