/** Which client has which address: one in each subnet where it was seen. A known client keeps its address for as long
 *  as it is known, so that the ramdisk, which has no DHCP client, and a server that was off for a month meet no
 *  surprise. Keyed by hardware address: EDK2 and iPXE send different client identifiers. */
import { inSubnet, ipToNumber, numberToIp, type Subnet } from '../addresses.ts'

export interface Lease {
  readonly mac: string
  readonly ip: string
  readonly expiresAtMs: number
}

/** Asked of the owner of this room: leases that survive a restart. An address has one lease. */
export interface LeaseStore {
  load(): readonly Lease[]
  /** To be written with the next `commit`. */
  save(lease: Lease): void
  remove(ip: string): void
  /** Writes what waits; throws when that cannot be done, and then it goes on waiting. */
  commit(): void
  /** True while the newest state of an address is not written. */
  waits(ip: string): boolean
}

/** A lease, and until when it is written down that it holds. Renewed in place: that is most of what happens to it. */
interface Held extends Lease {
  expiresAtMs: number
  keptUntilMs: number
}

export interface Pool {
  readonly subnet: Subnet
  readonly first: string
  readonly last: string
  /** Addresses that no client may ever get: of servers, routers, the subnet itself. */
  readonly reserved: ReadonlySet<string>
}

export interface Wanted {
  readonly pool: Pool
  /** The other pools of its link: a client has one address on a link. */
  readonly others?: readonly Pool[]
  readonly fixedIp?: string | undefined
  /** True for the fixed address of any client. */
  readonly isFixed: (ip: string) => boolean
  /** The address that the client asks for. */
  readonly hint?: string | undefined
  /** The client has no address now (DISCOVER), so it can be given another one. */
  readonly moving: boolean
  readonly nowMs: number
}

/** No `ip`: there is none for it. `why`: what is wrong; a client that uses an address may keep it in spite of that. */
export interface Choice {
  readonly ip?: string
  readonly why?: string
}

export interface LeaseBookParts {
  readonly declinesPerMac: number
  /** The other cards of the bundle that a card belongs to: they have one address together. */
  readonly siblings?: (mac: string) => readonly string[]
}

/** How long a declined address stays unused, and for how long declines are counted. */
const DECLINED_MS = 10 * 60_000
const MAX_RESTING = 10_000
/** A lease is written down for so much longer than the client is told: in one boot its firmware, its loader and its
 *  system ask one after the other, and one write does for all of them. */
const WRITTEN_AHEAD_MS = 15 * 60_000

const NONE: readonly never[] = []

export class LeaseBook {
  private readonly byMac = new Map<string, readonly Held[]>()
  private readonly byIp = new Map<string, Held>()
  /** Free addresses that may still be in use, with the time until which they are given to nobody unless the pool is
   *  used up. */
  private readonly resting = new Map<string, number>()
  private readonly declines = new Map<string, number[]>()
  private readonly cursors = new Map<Pool, number>()
  private readonly store: LeaseStore
  private readonly declinesPerMac: number
  private readonly siblings: (mac: string) => readonly string[]

  constructor(store: LeaseStore, { declinesPerMac, siblings = () => [] }: LeaseBookParts) {
    this.store = store
    this.declinesPerMac = declinesPerMac
    this.siblings = siblings
    for (const lease of store.load()) this.enter({ ...lease, keptUntilMs: lease.expiresAtMs })
  }

  /** The card that has an address; of a bundle, the one that asked for it last. */
  macOf(ip: string): string | undefined {
    return this.byIp.get(ip)?.mac
  }

  /** True for an address of this card, or of the bundle that it belongs to. */
  holds(mac: string, ip: string): boolean {
    const holder = this.macOf(ip)
    return holder === mac || (holder !== undefined && this.siblings(mac).includes(holder))
  }

  leasesOf(mac: string): readonly Lease[] {
    return this.byMac.get(mac) ?? NONE
  }

  /** The same with those of the other cards of its bundle, its own first. */
  leasesOfBundle = (mac: string): readonly Lease[] => {
    const siblings = this.siblings(mac)
    return siblings.length === 0 ? this.leasesOf(mac) : [mac, ...siblings].flatMap((of) => this.leasesOf(of))
  }

  /** Every client that holds an address. */
  macs(): IterableIterator<string> {
    return this.byMac.keys()
  }

  /** The address for a client: the fixed one, the one it has, the one it asks for, or, where it has none, a free one of
   *  the pool. Taken in memory at once, so that two clients are never offered the same; `confirm` makes it durable. */
  choose(mac: string, wanted: Wanted): Choice {
    const { pool, fixedIp, hint, moving, isFixed } = wanted
    const held = this.taken(mac, pool)
    if (fixedIp !== undefined) {
      const why = this.unfit(mac, fixedIp, pool)
      if (why === undefined) return this.take(mac, fixedIp, wanted)
      return held !== undefined && !moving ? { ip: held, why } : { why }
    }
    if (held !== undefined && !pool.reserved.has(held) && !(moving && isFixed(held))) return { ip: held }
    if (hint !== undefined && inPool(hint, pool) && this.isFree(hint, wanted) && !this.rests(hint, wanted.nowMs))
      return this.take(mac, hint, wanted)
    if (!moving) return {}
    const free = this.free(wanted)
    return free === undefined ? { why: 'the pool of addresses is used up' } : this.take(mac, free, wanted)
  }

  /** The client may be told that it has this address once `commit` has succeeded. */
  confirm(mac: string, ip: string, expiresAtMs: number): void {
    if (this.holds(mac, ip)) this.keep({ mac, ip, expiresAtMs })
  }

  /** An address that another server gives is that of the client that took it last. */
  learn(mac: string, ip: string, { pool, expiresAtMs }: { pool: Pool; expiresAtMs: number }): void {
    const before = this.leaseIn(mac, pool)
    if (before && before.ip !== ip) this.drop(before.ip, 0)
    if (this.macOf(ip) !== undefined && !this.holds(mac, ip)) this.drop(ip, 0)
    this.keep({ mac, ip, expiresAtMs })
  }

  /** Everything confirmed so far is durable; throws when it is not. */
  commit(): void {
    this.store.commit()
  }

  /** True for an address whose client must not be told yet that it has it. */
  waits(ip: string): boolean {
    return this.store.waits(ip)
  }

  /** The client found its address in use: it gets another one, but not without end. */
  decline(mac: string, ip: string, nowMs: number): 'taken back' | 'not its address' | 'too many' {
    if (!this.holds(mac, ip)) return 'not its address'
    const recent = (this.declines.get(mac) ?? []).filter((atMs) => atMs > nowMs - DECLINED_MS)
    if (recent.length >= this.declinesPerMac) return 'too many'
    this.declines.set(mac, [...recent, nowMs])
    this.drop(ip, nowMs + DECLINED_MS)
    return 'taken back'
  }

  /** For a client that is no longer known. It may go on using its addresses until they expire. */
  forget(mac: string): void {
    this.declines.delete(mac)
    for (const lease of this.leasesOf(mac)) this.drop(lease.ip, lease.expiresAtMs)
  }

  private keep(lease: Lease): void {
    const before = this.byIp.get(lease.ip)
    const isWritten = before?.mac === lease.mac && before.keptUntilMs >= lease.expiresAtMs
    const keptUntilMs = isWritten ? before.keptUntilMs : lease.expiresAtMs + WRITTEN_AHEAD_MS
    if (before?.mac === lease.mac && this.leasesOf(lease.mac).length === 1) {
      before.expiresAtMs = lease.expiresAtMs
      before.keptUntilMs = keptUntilMs
    } else this.enter({ ...lease, keptUntilMs })
    if (!isWritten) this.store.save({ ...lease, expiresAtMs: keptUntilMs })
  }

  private leaseIn(mac: string, pool: Pool): Lease | undefined {
    return this.leasesOfBundle(mac).find(({ ip }) => inSubnet(ip, pool.subnet))
  }

  /** The address that a card has, which it takes over where another card of its bundle has it. Cards that were bundled
   *  with an address each keep one of them. */
  private taken(mac: string, pool: Pool): string | undefined {
    const all = this.leasesOfBundle(mac)
    // Nearly every client has one address.
    const [only] = all
    if (all.length === 1 && only?.mac === mac) return inSubnet(only.ip, pool.subnet) ? only.ip : undefined
    const [lease, ...more] = all.filter(({ ip }) => inSubnet(ip, pool.subnet))
    for (const { ip, expiresAtMs } of more) this.drop(ip, expiresAtMs)
    if (lease && lease.mac !== mac) this.enter({ ...lease, mac, keptUntilMs: 0 })
    return lease?.ip
  }

  /** Why a fixed address cannot be given, or undefined. */
  private unfit(mac: string, ip: string, pool: Pool): string | undefined {
    if (!inSubnet(ip, pool.subnet)) return `its fixed address ${ip} is not in this subnet`
    if (pool.reserved.has(ip)) return `its fixed address ${ip} belongs to a server, a router or the subnet itself`
    const holder = this.macOf(ip)
    return holder !== undefined && !this.holds(mac, ip) ? `its fixed address ${ip} is leased to ${holder}` : undefined
  }

  private take(mac: string, ip: string, { pool, others = [], nowMs }: Wanted): Choice {
    for (const one of [pool, ...others]) {
      const before = this.leaseIn(mac, one)
      if (before && before.ip !== ip) this.drop(before.ip, before.expiresAtMs)
    }
    if (this.holds(mac, ip)) return { ip }
    this.resting.delete(ip)
    this.enter({ mac, ip, expiresAtMs: nowMs, keptUntilMs: 0 })
    return { ip }
  }

  private isFree = (ip: string, { pool, isFixed }: Wanted): boolean =>
    !this.byIp.has(ip) && !pool.reserved.has(ip) && !isFixed(ip)

  private rests = (ip: string, nowMs: number): boolean => (this.resting.get(ip) ?? 0) > nowMs

  /** Goes round the pool from where it stopped last, so that a big pool is not searched from its start each time. Of
   *  addresses that rest the one is given that has the shortest time left, when there is no other. */
  private free(wanted: Wanted): string | undefined {
    const { pool, nowMs } = wanted
    const [first, last] = [ipToNumber(pool.first), ipToNumber(pool.last)]
    const size = last - first + 1
    const start = this.cursors.get(pool) ?? 0
    let rested: string | undefined
    for (let step = 0; step < size; step += 1) {
      const offset = (start + step) % size
      const ip = numberToIp(first + offset)
      if (!this.isFree(ip, wanted)) continue
      if (!this.rests(ip, nowMs)) {
        this.cursors.set(pool, (offset + 1) % size)
        return ip
      }
      if (rested === undefined || (this.resting.get(ip) as number) < (this.resting.get(rested) as number)) rested = ip
    }
    return rested
  }

  private enter(lease: Held): void {
    const holder = this.byIp.get(lease.ip)?.mac
    if (holder !== undefined && holder !== lease.mac) this.unlist(holder, lease.ip)
    const others = (this.byMac.get(lease.mac) ?? []).filter(({ ip }) => ip !== lease.ip)
    this.byMac.set(lease.mac, [...others, lease])
    this.byIp.set(lease.ip, lease)
  }

  private drop(ip: string, restsUntilMs: number): void {
    const lease = this.byIp.get(ip)
    if (!lease) return
    this.byIp.delete(ip)
    this.unlist(lease.mac, ip)
    this.store.remove(ip)
    this.resting.set(ip, restsUntilMs)
    const [oldest] = this.resting.keys()
    if (this.resting.size > MAX_RESTING && oldest !== undefined) this.resting.delete(oldest)
  }

  private unlist(mac: string, ip: string): void {
    const others = (this.byMac.get(mac) ?? []).filter((other) => other.ip !== ip)
    if (others.length > 0) this.byMac.set(mac, others)
    else this.byMac.delete(mac)
  }
}

export const inPool = (ip: string, { first, last }: Pick<Pool, 'first' | 'last'>): boolean =>
  ipToNumber(ip) >= ipToNumber(first) && ipToNumber(ip) <= ipToNumber(last)
