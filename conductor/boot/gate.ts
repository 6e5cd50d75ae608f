/** Keeps a flood of events small: a token bucket for each kind and source, one for each kind in all, and counts of what
 *  they held back. Pure: no clock, no timers. What it remembers has a limit, whatever sources are made up. */

export interface GateLimits {
  /** Events of one kind and source that pass in a second; when a flood goes on, that many in a minute. */
  readonly perSecond: number
  /** Sources that are remembered. */
  readonly sources: number
}

/** What was held back since the last summary. Without `source`: of sources that are not told one by one. */
export interface Summary {
  readonly kind: string
  readonly source?: string
  readonly count: number
}

const SUSTAINED_SECONDS = 60
/** The share of a kind in all, in shares of one source. */
const KIND_SHARES = 5
const TOLD_SOURCES = 10

export class TokenBucket {
  private readonly capacity: number
  private tokens: number
  private atMs: number

  /** Full at first; refilled within SUSTAINED_SECONDS. */
  constructor(capacity: number, nowMs: number) {
    this.capacity = capacity
    this.tokens = capacity
    this.atMs = nowMs
  }

  take(nowMs: number): boolean {
    // A clock that was set back refills nothing.
    const elapsedSeconds = Math.max(0, nowMs - this.atMs) / 1000
    this.tokens = Math.min(this.capacity, this.tokens + (elapsedSeconds * this.capacity) / SUSTAINED_SECONDS)
    this.atMs = nowMs
    if (this.tokens < 1) return false
    this.tokens -= 1
    return true
  }
}

/** One of a list in the order in which they were seen last: looking one up changes pointers alone, because it is done
 *  for each packet. */
class GateSource extends TokenBucket {
  readonly kind: string
  readonly name: string
  held = 0
  older: GateSource | undefined
  newer: GateSource | undefined

  constructor(of: { kind: string; name: string }, capacity: number, nowMs: number) {
    super(capacity, nowMs)
    this.kind = of.kind
    this.name = of.name
  }
}

export class EventGate {
  private readonly limits: GateLimits
  /** By kind, then by name. */
  private readonly sources = new Map<string, Map<string, GateSource>>()
  private oldest: GateSource | undefined
  private newest: GateSource | undefined
  private count = 0
  private readonly holding = new Set<GateSource>()
  private readonly kinds = new Map<string, TokenBucket>()
  private readonly others = new Map<string, number>()

  constructor(limits: GateLimits) {
    this.limits = limits
  }

  /** True for an event that may pass; the others are counted. `known`: a source that cannot be made up at will shares
   *  with nobody. Without `source` the kind alone counts. */
  pass(kind: string, from: { source?: string; known: boolean }, nowMs: number): boolean {
    if (from.source === undefined) return this.passKind(kind, nowMs)
    const source = this.sourceOf(kind, from.source, nowMs)
    if (!source.take(nowMs)) {
      source.held += 1
      this.holding.add(source)
      return false
    }
    return from.known || this.passKind(kind, nowMs)
  }

  /** True when something was held back since the last summary. */
  get holdsBack(): boolean {
    return this.holding.size > 0 || this.others.size > 0
  }

  /** How many sources are remembered. */
  get size(): number {
    return this.count
  }

  /** What was held back, the worst sources of each kind by name; begins anew. */
  summaries(): Summary[] {
    const told: Summary[] = []
    const toldOf = new Map<string, number>()
    for (const source of [...this.holding].sort((a, b) => b.held - a.held)) {
      const before = toldOf.get(source.kind) ?? 0
      if (before < TOLD_SOURCES) told.push({ kind: source.kind, source: source.name, count: source.held })
      else this.others.set(source.kind, (this.others.get(source.kind) ?? 0) + source.held)
      toldOf.set(source.kind, before + 1)
      source.held = 0
    }
    this.holding.clear()
    for (const [kind, count] of this.others) told.push({ kind, count })
    this.others.clear()
    return told
  }

  private sourceOf(kind: string, name: string, nowMs: number): GateSource {
    const ofKind = this.sources.get(kind) ?? new Map<string, GateSource>()
    const found = ofKind.get(name)
    if (found) {
      if (found !== this.newest) {
        this.unlink(found)
        this.link(found)
      }
      return found
    }
    const source = new GateSource({ kind, name }, this.limits.perSecond, nowMs)
    this.sources.set(kind, ofKind.set(name, source))
    this.link(source)
    this.count += 1
    if (this.count > this.limits.sources && this.oldest) this.forget(this.oldest)
    return source
  }

  private link(source: GateSource): void {
    source.older = this.newest
    if (this.newest) this.newest.newer = source
    else this.oldest = source
    this.newest = source
  }

  private unlink(source: GateSource): void {
    const { older, newer } = source
    if (older) older.newer = newer
    else this.oldest = newer
    if (newer) newer.older = older
    else this.newest = older
    source.older = source.newer = undefined
  }

  private forget(source: GateSource): void {
    this.unlink(source)
    this.sources.get(source.kind)?.delete(source.name)
    this.count -= 1
    this.holding.delete(source)
    if (source.held > 0) this.others.set(source.kind, (this.others.get(source.kind) ?? 0) + source.held)
  }

  private passKind(kind: string, nowMs: number): boolean {
    const bucket = this.kinds.get(kind) ?? new TokenBucket(this.limits.perSecond * KIND_SHARES, nowMs)
    this.kinds.set(kind, bucket)
    if (bucket.take(nowMs)) return true
    this.others.set(kind, (this.others.get(kind) ?? 0) + 1)
    return false
  }
}
