/** Who probes whom, for all members at once: exactly what `observersOf` answers, kept from one change of the members to
 *  the next. A member that comes, goes or moves costs time that grows with the members, and not with their square;
 *  a list that stays as it is stays the same object. */
import type { Member } from './heartbeat.ts'
import { OBSERVERS, observersFrom, observersOf, score } from './observers.ts'

type Place = Pick<Member, 'name' | 'role' | 'rack'>

interface Ranked {
  readonly name: string
  readonly rank: number
}

/** The best candidates of one target, the highest rank first: of its own rack, and of the others. */
interface Best {
  readonly near: Ranked[]
  readonly far: Ranked[]
}

/** In a mesh of fewer hosts, where other rules hold, everything is computed anew. */
const SMALL = 2 * OBSERVERS

export class ObserverTable {
  private places = new Map<string, Place>()
  private readonly best = new Map<string, Best>()
  private lists = new Map<string, readonly string[]>()

  get observers(): ReadonlyMap<string, readonly string[]> {
    return this.lists
  }

  /** Names of those that `observer` probes. */
  targetsOf(observer: string): string[] {
    return [...this.lists].flatMap(([target, observers]) => (observers.includes(observer) ? [target] : []))
  }

  /** Takes the members as they are now. Answers whether any list is another one. */
  update(members: readonly Member[]): boolean {
    const before = this.places
    const after = new Map(members.map((member) => [member.name, member as Place]))
    const gone = [...before.values()].filter((place) => !isSame(place, after.get(place.name)))
    const come = [...after.values()].filter((place) => !isSame(place, before.get(place.name)))
    this.places = after
    if (gone.length + come.length === 0) return false

    const hosts = [...after.values()].filter(isHost)
    if (this.best.size === 0 || hosts.length <= SMALL || (gone.length + come.length) * 4 > after.size)
      return this.rebuild(members, hosts)
    return this.apply({ gone, come, hosts })
  }

  private rebuild(members: readonly Member[], hosts: readonly Place[]): boolean {
    const before = this.lists
    this.lists = new Map()
    this.best.clear()
    const isSmall = hosts.length <= SMALL
    let changed = before.size !== members.length
    for (const member of members) {
      if (!isSmall) this.best.set(member.name, bestOf(member, hosts))
      const list = isSmall ? observersOf(member, members) : this.listOf(member.name)
      changed = this.keep(member.name, list, before.get(member.name)) || changed
    }
    return changed
  }

  private apply(now: { gone: readonly Place[]; come: readonly Place[]; hosts: readonly Place[] }): boolean {
    const { gone, come, hosts } = now
    const changed = new Set(come.map(({ name }) => name))
    for (const { name } of gone) {
      this.best.delete(name)
      this.lists.delete(name)
    }
    for (const place of come) this.best.set(place.name, bestOf(place, hosts))

    const names = new Set(gone.filter(isHost).map(({ name }) => name))
    const others = come.filter(isHost)
    for (const [target, best] of this.best) {
      const place = this.places.get(target) as Place
      if (changed.has(target)) continue
      if (best.near.some(({ name }) => names.has(name)) || best.far.some(({ name }) => names.has(name))) {
        this.best.set(target, bestOf(place, hosts))
        changed.add(target)
      } else for (const one of others) if (enter(best, one, place)) changed.add(target)
    }

    let isOther = gone.some(({ name }) => !this.places.has(name))
    for (const target of changed) isOther = this.keep(target, this.listOf(target), this.lists.get(target)) || isOther
    return isOther
  }

  private listOf(target: string): string[] {
    const { near, far } = this.best.get(target) as Best
    return observersFrom(near, far).map(({ name }) => name)
  }

  private keep(target: string, list: readonly string[], held: readonly string[] | undefined): boolean {
    const isHeld = held !== undefined && held.length === list.length && held.every((name, i) => name === list[i])
    this.lists.set(target, isHeld ? held : list)
    return !isHeld
  }
}

const isHost = ({ role }: Place): boolean => role === 'host'
const isSame = (one: Place, other: Place | undefined): boolean =>
  other !== undefined && one.role === other.role && one.rack === other.rack

function bestOf(target: Place, hosts: readonly Place[]): Best {
  const best: Best = { near: [], far: [] }
  for (const host of hosts) if (host.name !== target.name) enter(best, host, target)
  return best
}

/** Answers whether the host is among the best. */
function enter({ near, far }: Best, host: Place, target: Place): boolean {
  const list = host.rack !== null && host.rack === target.rack ? near : far
  const one = { name: host.name, rank: score(`${host.name}>${target.name}`) }
  const last = list[OBSERVERS - 1]
  if (last !== undefined && !isBefore(one, last)) return false
  const at = list.findIndex((other) => isBefore(one, other))
  list.splice(at < 0 ? list.length : at, 0, one)
  if (list.length > OBSERVERS) list.pop()
  return true
}

const isBefore = (one: Ranked, other: Ranked): boolean =>
  one.rank > other.rank || (one.rank === other.rank && one.name < other.name)
