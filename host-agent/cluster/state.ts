/** The arbiter's copy of the store, with the index of every entry and when each was first seen. To take a snapshot
 *  costs what changed since the one before. Wall-clock times in
 *  records are for people: what must end by itself is counted from when it was first seen here. */
import type { Intent } from '../protocol/records.ts'
import { isOver, type Incident } from '../protocol/records.ts'
import type { Member } from '../protocol/heartbeat.ts'
import { PLANES } from '../protocol/heartbeat.ts'
import { ObserverTable } from '../protocol/observer-table.ts'
import {
  FIRST_POLICY,
  Hold,
  KEYS,
  MemberRecord,
  OperatorRequest,
  parsed,
  parseIncident,
  parseIntent,
  parseMember,
  Policy,
  SealedBmc,
} from '../protocol/records.ts'
import { TroubleRecord } from '../protocol/trouble.ts'
import type { Change, Entry, Snapshot } from './store.ts'
import { kept, kindOf, nameOf, type Kind, type Versioned } from './versioned.ts'

const REGISTRY: ReadonlySet<string> = new Set([KEYS.members, KEYS.holds, KEYS.bmcs])

const NO_POLICY: Versioned<Policy> = {
  key: KEYS.policy,
  value: FIRST_POLICY,
  index: 0,
  firstMs: 0,
  stateMs: 0,
  changedMs: 0,
}

export class ClusterState {
  policy: Versioned<Policy> = NO_POLICY
  readonly members = new Map<string, Versioned<MemberRecord>>()
  readonly holds = new Map<string, Versioned<Hold>>()
  readonly incidents = new Map<string, Versioned<Incident>>()
  readonly intents = new Map<string, Versioned<Intent>>()
  readonly requests = new Map<string, Versioned<OperatorRequest>>()
  readonly bmcs = new Map<string, Versioned<SealedBmc>>()
  /** By host, and one of the mesh as a whole. */
  readonly troubles = new Map<string, Versioned<TroubleRecord>>()
  /** Keys whose value is not of its kind; told to people, acted on by nobody. */
  readonly broken = new Set<string>()
  hosts: Member[] = []
  arbiters: string[] = []
  /** Rises with each change of what `registryAccount` tells: members, holds, BMC records. */
  registryRevision = 0
  /** Index of the newest thing known; older snapshots are history. */
  index = 0
  /** Of the last snapshot that was taken whole. What we wrote ourselves is newer and may stand beside changes of others
   *  that were not seen yet. */
  private takenIndex = -1
  /** The copy may differ from that snapshot: the next one is taken whole. */
  private isDoubtful = false
  /** The next snapshot replaces every entry, also one of the same index or of a lower one: the store may have been
   *  restored from a backup. */
  private isDistrusted = false
  private sorted: Member[] = []
  private readonly memberOfRecord = new WeakMap<MemberRecord, Member>()
  private byName: ReadonlyMap<string, Member> = new Map()
  private readonly table = new ObserverTable()
  private readonly kinds: readonly Kind[] = [
    kindOf(KEYS.members, this.members, parseMember),
    kindOf(KEYS.holds, this.holds, (value) => parsed(Hold, value)),
    kindOf(KEYS.incidents, this.incidents, parseIncident),
    kindOf(KEYS.intents, this.intents, parseIntent),
    kindOf(KEYS.requests, this.requests, (value) => parsed(OperatorRequest, value)),
    kindOf(KEYS.bmcs, this.bmcs, (value) => parsed(SealedBmc, value)),
    kindOf(KEYS.troubles, this.troubles, (value) => parsed(TroubleRecord, value)),
  ]
  /** Made when they are asked for, and again after each change. */
  private live: ReadonlyMap<string, Versioned<Incident>> | undefined
  private byIncident: ReadonlyMap<string, Versioned<Intent>[]> | undefined
  private withheld: ReadonlySet<string> | undefined

  /** Answers false for a snapshot that is older than what is known. */
  takeSnapshot(snapshot: Snapshot, nowMs: number): boolean {
    if (snapshot.index < this.index) return false
    if (snapshot.index === this.takenIndex && !this.isDoubtful) return true
    const { entries, since } = snapshot
    const isNext = since !== undefined && since.index === this.takenIndex && !this.isDoubtful
    this.index = this.takenIndex = snapshot.index
    this.isDoubtful = true
    this.forgetIndices()
    const { changed, gone } = isNext ? since : { changed: entries, gone: this.missingIn(entries) }

    let isMember = false
    for (const key of gone) isMember = this.drop(key) || isMember
    for (const entry of changed) isMember = this.keep(entry, nowMs) || isMember
    if (isMember) this.rebuildMembers()
    this.isDoubtful = this.isDistrusted = false
    return true
  }

  private missingIn(entries: readonly Entry[]): string[] {
    const seen = new Set(entries.map(({ key }) => key))
    const held = this.kinds.flatMap(({ map }) => [...map.values()].map(({ key }) => key))
    return [...held, ...this.broken, KEYS.policy].filter((key) => !seen.has(key))
  }

  /** What we wrote ourselves, so that nobody waits for it to come back. A snapshot that was taken before we learned of
   *  it may hold it already, or what others made of it since. */
  takeOwnWrite(changes: readonly Change[], index: number, nowMs: number): void {
    this.index = Math.max(this.index, index)
    this.isDoubtful = true
    this.forgetIndices()
    let isMember = false
    for (const { key, value, index: replaced } of changes) {
      if (value !== undefined) {
        if (index > this.takenIndex) isMember = this.keep({ key, value, index }, nowMs) || isMember
      } else if (this.indexOf(key) === replaced) isMember = this.drop(key) || isMember
    }
    if (isMember) this.rebuildMembers()
  }

  /** The next snapshot counts, whatever we believe to have written. */
  trustNextSnapshot(): void {
    this.index = 0
    this.takenIndex = -1
    this.isDoubtful = this.isDistrusted = true
  }

  /** Member -> who observes it. */
  get observers(): ReadonlyMap<string, readonly string[]> {
    return this.table.observers
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

  /** Answers whether a member changed. */
  private keep(entry: Entry, nowMs: number): boolean {
    const { key, value } = entry
    if (key === KEYS.policy) {
      if (this.isKnown(this.policy, entry)) return false
      this.broken.delete(key)
      this.policy = kept(this.policy, { entry, nowMs }, parsed(Policy, value) ?? this.distrust(key, FIRST_POLICY))
      return false
    }
    const kind = this.kindOfKey(key)
    if (!kind) return false
    const { map, parse } = kind
    const name = nameOf(key)
    const held = map.get(name)
    if (this.isKnown(held, entry)) return false
    const record = parse(value, name)
    if (record === undefined) {
      const isMember = this.drop(key)
      return this.distrust(key, isMember)
    }
    this.broken.delete(key)
    map.set(name, kept(held, { entry, nowMs }, record))
    return this.counted(kind)
  }

  /** The same for an entry that is gone. */
  private drop(key: string): boolean {
    this.broken.delete(key)
    if (key === KEYS.policy && this.policy.index !== 0) this.policy = NO_POLICY
    const kind = this.kindOfKey(key)
    return kind !== undefined && kind.map.delete(nameOf(key)) && this.counted(kind)
  }

  private isKnown(held: Versioned<unknown> | undefined, { index }: Entry): boolean {
    return held?.index === index && !this.isDistrusted
  }

  private indexOf(key: string): number | undefined {
    return key === KEYS.policy ? this.policy.index : this.kindOfKey(key)?.map.get(nameOf(key))?.index
  }

  private kindOfKey(key: string): Kind | undefined {
    return this.kinds.find(({ prefix }) => key.startsWith(prefix))
  }

  private counted({ prefix }: Kind): boolean {
    if (REGISTRY.has(prefix)) this.registryRevision += 1
    return prefix === KEYS.members
  }

  private distrust<T>(key: string, instead: T): T {
    this.broken.add(key)
    return instead
  }

  /** What stays as it is stays the same object: what others remember of it holds. */
  private rebuildMembers(): void {
    this.sorted = [...this.members.values()]
      .map(({ value }) => this.memberFrom(value))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
    this.byName = new Map(this.sorted.map((member) => [member.name, member]))
    this.hosts = this.sorted.filter(({ role }) => role === 'host')
    this.arbiters = this.sorted.filter(({ role }) => role === 'arbiter').map(({ name }) => name)
    this.table.update(this.sorted)
  }

  private memberFrom(record: MemberRecord): Member {
    const known = this.memberOfRecord.get(record)
    if (known) return known
    const member: Member = {
      name: record.name,
      role: record.role,
      rack: record.rack,
      writesStorageHeartbeat: record.ticks,
      planes: PLANES.filter((plane) => record.planes[plane] !== undefined),
      boot: record.boot,
    }
    this.memberOfRecord.set(record, member)
    return member
  }
}
