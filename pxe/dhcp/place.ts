/** Which of the configured subnets a request is about, and what holds there. Pure. */
import { inSubnet, numberToIp, parseSubnet } from '../addresses.ts'
import type { Pool } from './leases.ts'
import { ipOption, messageType, OPTION } from './options.ts'
import { NO_ADDRESS, type Packet } from './packet.ts'
import { relayInfo } from './relay.ts'
import type { Link, SubnetSettings } from './reply.ts'

export interface DhcpSubnet {
  /** `10.0.0.0/24` */
  readonly cidr: string
  /** Our address in it, or the one that relays reach us by. */
  readonly serverIp: string
  /** Which addresses are leased; of no meaning where the site's own server gives them. */
  readonly first?: string | undefined
  readonly last?: string | undefined
  readonly router?: string | undefined
  readonly dns: readonly string[]
  readonly mtu?: number | undefined
  readonly leaseSeconds: number
  readonly mode?: SubnetMode
  readonly firstChoice?: boolean | undefined
}

/** own: we give the addresses. proxy: the site's server gives them, we name the boot files (proxyDHCP). listen: we
 *  answer nothing, and watch who boots. */
export type SubnetMode = 'own' | 'proxy' | 'listen'

export interface Place extends Pool {
  readonly cidr: string
  readonly settings: SubnetSettings
  readonly mode: SubnetMode
}

/** `alsoReserved`: addresses of this machine, beside the servers and routers of the subnets, that no client may get. */
export function placesOf(subnets: readonly DhcpSubnet[], alsoReserved: readonly string[]): Place[] {
  const reserved = new Set([
    ...alsoReserved,
    ...subnets.flatMap(({ serverIp, router, dns }) => [serverIp, ...dns, ...(router ? [router] : [])]),
  ])
  return subnets.map(({ cidr, first, last, serverIp, dns, leaseSeconds, router, mtu, mode, firstChoice }) => {
    const subnet = parseSubnet(cidr)
    const [network, broadcast] = [numberToIp(subnet.network), numberToIp((subnet.network | ~subnet.mask) >>> 0)]
    const settings = {
      serverIp,
      dns,
      leaseSeconds,
      broadcast,
      mask: numberToIp(subnet.mask),
      ...(router ? { router } : {}),
      ...(mtu ? { mtu } : {}),
      ...(firstChoice ? { firstChoice } : {}),
    }
    return {
      cidr,
      subnet,
      first: first ?? network,
      last: last ?? network,
      settings,
      mode: mode ?? 'own',
      reserved: new Set([...reserved, network, broadcast]),
    }
  })
}

/** The subnet of a request and how to answer there, or why there is none. In this order: what the relay says (link
 *  selection, RFC 3527), what the client wishes (subnet selection, RFC 3011), the relay's own address, the address that
 *  the client uses already, the interface. A client that renews by unicast is known by its address alone: it may be
 *  behind a router (RFC 2131 4.3.2). */
export function placeFor(
  places: readonly Place[],
  request: Packet,
  localIp: string,
): { place: Place; link: Link } | { why: string } {
  const { linkSelection, serverId } = relayInfo(request)
  const selected = ipOption(request.options, OPTION.subnetSelection)
  const found = (place: Place | undefined, by: string, onLink = true) => {
    if (!place) return { why: `no subnet is configured for ${by}` }
    const echo = linkSelection === undefined && selected !== undefined ? { subnetSelection: selected } : {}
    return { place, link: { ...place.settings, serverId: serverId ?? place.settings.serverIp, onLink, ...echo } }
  }
  const holding = (ip: string) => places.find((place) => inSubnet(ip, place.subnet))

  if (linkSelection !== undefined)
    return found(holding(linkSelection), `link selection ${linkSelection} of relay ${request.giaddr}`)
  if (selected !== undefined) return found(holding(selected), `subnet selection ${selected}`)
  if (request.giaddr !== NO_ADDRESS) return found(holding(request.giaddr), `relay ${request.giaddr}`)

  const own = holding(localIp)
  // In a DISCOVER an address is a memory of another time.
  const used =
    request.ciaddr === NO_ADDRESS || messageType(request.options) === 'discover' ? undefined : holding(request.ciaddr)
  return used ? found(used, request.ciaddr, used === own) : found(own, localIp)
}
