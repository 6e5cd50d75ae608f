/** The arbiter's copy of the store, with the index of every entry and when each was first seen. Wall-clock times in
 *  records are for people: what must end by itself is counted from when it was first seen here. */
import type { Intent } from '../protocol/records.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { PLANES } from '../protocol/heartbeat.ts'
import { observersOf } from '../protocol/observers.ts'
import {
  FIRST_POLICY,
  Hold,
  KEYS,
  MemberRecord,
  OperatorRequest,
  parsed,
  parseIncident,
  parseIntent,
  Policy,
  SealedBmc,
} from '../protocol/records.ts'
import type { Change, Entry, Snapshot } from './store.ts'

export interface Versioned<T> {
  readonly key: string
  readonly value: T
  /** Of its last change. */
  readonly index: number
  /** When it was first seen here. */
  readonly firstMs: number
  /** When the state in it was first seen here. */
  readonly stateMs: number
}

export class ClusterState {
  policy: Versioned<Policy> = { key: KEYS.policy, value: FIRST_POLICY, index: 0, firstMs: 0, stateMs: 0 }
  readonly members = new Map<string, Versioned<MemberRecord>>()
  readonly holds = new Map<string, Versioned<Hold>>()
  readonly incidents = new Map<string, Versioned<Incident>>()
  readonly intents = new Map<string, Versioned<Intent>>()
  readonly requests = new Map<string, Versioned<OperatorRequest>>()
  readonly bmcs = new Map<string, Versioned<SealedBmc>>()
  /** Keys whose value is not of its kind; told to people, acted on by nobody. */
  readonly broken = new Set<string>()
  hosts: Member[] = []
  arbiters: string[] = []
  observers: ReadonlyMap<string, readonly string[]> = new Map()
  /** Index of the newest thing known; older snapshots are history. */
  index = 0
  /** Of the last snapshot that was taken whole. What we wrote ourselves is newer and may stand beside changes of others
   *  that were not seen yet. */
  private takenIndex = -1
  private sorted: Member[] = []
  private places = ''
  private byName: ReadonlyMap<string, Member> = new Map()
  /** Made when they are asked for, and again after each change. */
  private live: ReadonlyMap<string, Versioned<Incident>> | undefined
  private byIncident: ReadonlyMap<string, Versioned<Intent>[]> | undefined
  private withheld: ReadonlySet<string> | undefined

  /** Answers false for a snapshot that is older than what is known. */
  takeSnapshot(snapshot: Snapshot, nowMs: number): boolean {
    if (snapshot.index < this.index) return false
    if (snapshot.index === this.takenIndex) return true
    this.index = this.takenIndex = snapshot.index
    this.forgetIndices()
    const seen = new Set(snapshot.entries.map(({ key }) => key))
    for (const map of this.maps()) for (const [name, kept] of map) if (!seen.has(kept.key)) map.delete(name)
    if (!seen.has(KEYS.policy))
      this.policy = { key: KEYS.policy, value: FIRST_POLICY, index: 0, firstMs: 0, stateMs: 0 }
    for (const key of this.broken) if (!seen.has(key)) this.broken.delete(key)
    let changed = false
    for (const entry of snapshot.entries) changed = this.keep(entry, nowMs) || changed
    if (changed || this.sorted.length !== this.members.size) this.rebuildMembers()
    return true
  }

  /** What we wrote ourselves, so that nobody waits for it to come back. */
  takeOwnWrite(changes: readonly Change[], index: number, nowMs: number): void {
    this.index = Math.max(this.index, index)
    this.forgetIndices()
    let changed = false
    for (const { key, value } of changes) {
      if (value !== undefined) changed = this.keep({ key, value, index }, nowMs) || changed
      else for (const map of this.maps()) for (const [name, kept] of map) if (kept.key === key) map.delete(name)
    }
    if (changed) this.rebuildMembers()
  }

  /** The next snapshot counts, whatever we believe to have written. */
  trustNextSnapshot(): void {
    this.index = 0
    this.takenIndex = -1
  }

  get all(): readonly Member[] {
    return this.sorted
  }

  memberOf(name: string): Member | undefined {
    return this.byName.get(name)
  }

  liveIncident(host: string): Versioned<Incident> | undefined {
    if (!this.live) {
      const live = new Map<string, Versioned<Incident>>()
      for (const kept of this.incidents.values())
        if (!isOver(kept.value) && !live.has(kept.value.host)) live.set(kept.value.host, kept)
      this.live = live
    }
    return this.live.get(host)
  }

  /** What keeps a host from being fenced. One that is only being emptied may die like any other. */
  holdOf(host: string): Hold | undefined {
    const hold = this.holds.get(host)?.value
    return hold?.kind === 'drain' ? undefined : hold
  }

  /** Why the BMC of a host is to be left alone, as it updates itself; undefined: it is not, or its time is over. */
  bmcUpdating(host: string, nowMs: number): string | undefined {
    const bmc = this.bmcs.get(host)
    const updating = bmc?.value.updating
    if (!bmc || !updating) return undefined
    const { seconds, why } = updating
    return nowMs < bmc.stateMs + seconds * 1000
      ? `${why}, which takes ${Math.ceil(seconds / 60)} min at most`
      : undefined
  }

  intentsOf(incident: string): readonly Versioned<Intent>[] {
    if (!this.byIncident) {
      const byIncident = new Map<string, Versioned<Intent>[]>()
      for (const kept of this.intents.values()) {
        const of = byIncident.get(kept.value.incident)
        if (of) of.push(kept)
        else byIncident.set(kept.value.incident, [kept])
      }
      this.byIncident = byIncident
    }
    return this.byIncident.get(incident) ?? []
  }

  /** Hosts that get no watchdog lease: from the moment that their incident is in the store until they are taken
   *  back. */
  get leaseWithheld(): ReadonlySet<string> {
    return (this.withheld ??= new Set(
      [...this.incidents.values()].flatMap(({ value }) =>
        isOver(value) || value.state === 'returning' ? [] : [value.host],
      ),
    ))
  }

  private forgetIndices(): void {
    this.live = this.byIncident = this.withheld = undefined
  }

  private maps(): Map<string, Versioned<unknown>>[] {
    return [this.members, this.holds, this.incidents, this.intents, this.requests, this.bmcs] as Map<
      string,
      Versioned<unknown>
    >[]
  }

  /** Answers whether a member changed. */
  private keep(entry: Entry, nowMs: number): boolean {
    const { key } = entry
    const value = entry.value
    if (key === KEYS.policy && entry.index !== this.policy.index)
      this.policy = this.kept(this.policy, { entry, nowMs }, parsed(Policy, value) ?? this.distrust(key, FIRST_POLICY))
    else if (key.startsWith(KEYS.members))
      return this.put(this.members, { entry, nowMs }, () => parsed(MemberRecord, value))
    else if (key.startsWith(KEYS.holds)) this.put(this.holds, { entry, nowMs }, () => parsed(Hold, value))
    else if (key.startsWith(KEYS.incidents)) this.put(this.incidents, { entry, nowMs }, () => parseIncident(value))
    else if (key.startsWith(KEYS.intents)) this.put(this.intents, { entry, nowMs }, () => parseIntent(value))
    else if (key.startsWith(KEYS.requests))
      this.put(this.requests, { entry, nowMs }, () => parsed(OperatorRequest, value))
    else if (key.startsWith(KEYS.bmcs)) this.put(this.bmcs, { entry, nowMs }, () => parsed(SealedBmc, value))
    return false
  }

  private put<T>(
    map: Map<string, Versioned<T>>,
    from: { entry: Entry; nowMs: number },
    parse: () => T | undefined,
  ): boolean {
    const { entry } = from
    const name = nameOf(entry.key)
    const held = map.get(name)
    if (held && held.index >= entry.index) return false
    const value = parse()
    if (value === undefined) {
      this.broken.add(entry.key)
      return map.delete(name)
    }
    map.set(name, this.kept(held, from, value))
    return true
  }

  private kept<T>(held: Versioned<T> | undefined, from: { entry: Entry; nowMs: number }, value: T): Versioned<T> {
    const { entry, nowMs } = from
    const state = (one: unknown) => {
      const { state: name, updating } = (one ?? {}) as { state?: unknown; updating?: { id: unknown } }
      return name ?? updating?.id
    }
    const same = held !== undefined && state(held.value) === state(value)
    return {
      key: entry.key,
      value,
      index: entry.index,
      firstMs: held?.firstMs ?? nowMs,
      stateMs: same ? held.stateMs : nowMs,
    }
  }

  private distrust<T>(key: string, instead: T): T {
    this.broken.add(key)
    return instead
  }

  private rebuildMembers(): void {
    this.sorted = [...this.members.values()]
      .map(({ value }) => ({
        name: value.name,
        role: value.role,
        rack: value.rack,
        writesStorageHeartbeat: value.ticks,
        planes: PLANES.filter((plane) => value.planes[plane] !== undefined),
        boot: value.boot,
      }))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    this.byName = new Map(this.sorted.map((member) => [member.name, member]))
    this.hosts = this.sorted.filter(({ role }) => role === 'host')
    this.arbiters = this.sorted.filter(({ role }) => role === 'arbiter').map(({ name }) => name)
    // In time that grows with the square of the members: only when one comes, goes, or is elsewhere, and not for each
    // host that boots.
    const places = this.sorted.map(({ name, role, rack }) => `${name} ${role} ${rack}`).join('\n')
    if (places === this.places) return
    this.places = places
    this.observers = new Map(this.sorted.map((member) => [member.name, observersOf(member, this.sorted)]))
  }
}

/** `members/h1` -> h1; `intents/i1/vm` -> i1/vm. */
const nameOf = (key: string) => key.slice(key.indexOf('/', key.indexOf('/') + 1) + 1)
