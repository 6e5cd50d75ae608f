/** What DHCP asks of whoever owns it, and what it is given to work with. */
import type { Clock } from '../../kit/clock.ts'
import type { DhcpEvent } from './events.ts'
import type { LeaseBook } from './leases.ts'
import type { DhcpSubnet } from './place.ts'

export interface KnownClient {
  readonly fixedIp?: string | undefined
  readonly hostName?: string | undefined
  readonly scriptUrl: string
  readonly loaderUrl: string
  /** Its firmware takes signed loaders alone, as with Secure Boot. */
  readonly signed?: boolean
  /** It boots the signed ramdisk of the site, where its firmware takes it. */
  readonly uki?: boolean
  /** Why it is answered nothing. */
  readonly refusal?: string | undefined
}

/** Asked of the owner of this room. Called for every packet: several times per boot. */
export interface DhcpOwner {
  client(mac: string): KnownClient | undefined
  /** True for the fixed address of any client. */
  isFixed(ip: string): boolean
  /** Which of several loaders a client gets; they come in the order of the firmware table. `asksAnew`: it begins a
   *  boot. */
  pickLoader(mac: string, from: { files: readonly string[]; arch: number; asksAnew: boolean }): string | undefined
  event(event: DhcpEvent): void
}

export interface DhcpParts {
  readonly subnets: readonly DhcpSubnet[]
  /** Addresses of this machine that no client may get, beside those that the subnets name. */
  readonly ownIps: readonly string[]
  /** The loaders that are there. */
  readonly loaders: ReadonlySet<string>
  readonly owner: DhcpOwner
  readonly leases: LeaseBook
  readonly clock: Clock
}

export interface Datagram {
  readonly bytes: Buffer
  readonly toIp: string
  readonly toPort: number
  /** The address that must be durable before this is sent. */
  readonly leasedIp?: string | undefined
}

interface From {
  readonly ip: string
  readonly port: number
}

/** Where a datagram came in. */
export interface Heard {
  readonly localIp: string
  readonly from: From
  /** On the port of the boot server (proxyDHCP). */
  readonly isBootPort: boolean
}
