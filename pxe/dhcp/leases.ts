/** Which client has which address. A known client keeps its address for as long as it is known, so that the ramdisk, which has no DHCP
 *  client, and a server that was off for a month meet no surprise. Keyed by hardware address: EDK2 and iPXE send different client identifiers. */
import { inSubnet, ipToNumber, numberToIp, type Subnet } from '../addresses.ts'

export interface Lease {
  readonly mac: string
  readonly ip: string
  readonly expiresAtMs: number
}

/** Asked of the owner of this room: leases that survive a restart. */
export interface LeaseStore {
  load(): readonly Lease[]
  save(lease: Lease): void
  remove(mac: string): void
}

export interface Pool {
  readonly subnet: Subnet
  readonly first: string
  readonly last: string
}

/** How long a declined address stays unused. */
const DECLINED_MS = 10 * 60_000

export class LeaseBook {
  private readonly byMac = new Map<string, Lease>()
  private readonly byIp = new Map<string, string>()
  private readonly declined = new Map<string, number>()
  private readonly cursors = new Map<Pool, number>()
  private readonly store: LeaseStore

  constructor(store: LeaseStore) {
    this.store = store
    for (const lease of store.load()) this.remember(lease)
  }

  macOf(ip: string): string | undefined {
    return this.byIp.get(ip)
  }

  leaseOf(mac: string): Lease | undefined {
    return this.byMac.get(mac)
  }

  /** The address for a client: the fixed one, the one it has, or a free one of the pool; undefined when the pool is used up.
   *  Taken in memory at once, so that two clients are never offered the same; `confirm` makes it durable. */
  choose(mac: string, at: { pool: Pool; fixedIp?: string; taken: ReadonlySet<string>; nowMs: number }): string | undefined {
    const ip = this.wish(mac, at)
    if (ip !== undefined && this.byMac.get(mac)?.ip !== ip) this.remember({ mac, ip, expiresAtMs: at.nowMs })
    return ip
  }

  confirm(mac: string, ip: string, expiresAtMs: number): void {
    const lease = { mac, ip, expiresAtMs }
    this.remember(lease)
    this.store.save(lease)
  }

  /** The client found its address in use: it gets another one. */
  decline(mac: string, nowMs: number): void {
    const lease = this.byMac.get(mac)
    if (!lease) return
    this.declined.set(lease.ip, nowMs + DECLINED_MS)
    this.forget(mac)
  }

  /** For a client that is no longer known. */
  forget(mac: string): void {
    const lease = this.byMac.get(mac)
    if (!lease) return
    this.byMac.delete(mac)
    if (this.byIp.get(lease.ip) === mac) this.byIp.delete(lease.ip)
    this.store.remove(mac)
  }

  /** Every client that holds an address. */
  macs(): IterableIterator<string> {
    return this.byMac.keys()
  }

  private wish(mac: string, at: { pool: Pool; fixedIp?: string; taken: ReadonlySet<string>; nowMs: number }): string | undefined {
    if (at.fixedIp !== undefined) return inSubnet(at.fixedIp, at.pool.subnet) ? at.fixedIp : undefined
    const held = this.byMac.get(mac)?.ip
    if (held !== undefined && inSubnet(held, at.pool.subnet) && !at.taken.has(held)) return held
    return this.free(at)
  }

  /** Goes round the pool from where it stopped last, so that a big pool is not searched from its start each time. */
  private free(at: { pool: Pool; taken: ReadonlySet<string>; nowMs: number }): string | undefined {
    const [first, last] = [ipToNumber(at.pool.first), ipToNumber(at.pool.last)]
    const size = last - first + 1
    const start = this.cursors.get(at.pool) ?? 0
    for (let step = 0; step < size; step += 1) {
      const offset = (start + step) % size
      const ip = numberToIp(first + offset)
      if (this.byIp.has(ip) || at.taken.has(ip) || (this.declined.get(ip) ?? 0) > at.nowMs) continue
      this.cursors.set(at.pool, (offset + 1) % size)
      return ip
    }
    return undefined
  }

  private remember(lease: Lease): void {
    const before = this.byMac.get(lease.mac)
    if (before && before.ip !== lease.ip && this.byIp.get(before.ip) === lease.mac) this.byIp.delete(before.ip)
    this.byMac.set(lease.mac, lease)
    this.byIp.set(lease.ip, lease.mac)
  }
}
