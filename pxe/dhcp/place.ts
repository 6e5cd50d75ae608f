/** Which of the configured subnets a request is about, and what holds there. Pure. */
import { inSubnet, ipToNumber, numberToIp, parseSubnet } from '../addresses.ts'
import { inPool, type Lease, type Pool } from './leases.ts'
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
  /** Subnets of one name are on one link. */
  readonly sharedNetwork?: string | undefined
  /** The relays that may ask for this subnet, as addresses or subnets; absent: any. */
  readonly relays?: readonly string[] | undefined
}

/** own: we give the addresses. proxy: the site's server gives them, we name the boot files (proxyDHCP). listen: we
 *  answer nothing, and watch who boots. */
export type SubnetMode = 'own' | 'proxy' | 'listen'

export interface Place extends Pool {
  readonly cidr: string
  readonly settings: SubnetSettings
  readonly mode: SubnetMode
  readonly sharedNetwork?: string
  /** Whether a relay of this address may ask. */
  readonly takesRelay: (giaddr: string) => boolean
}

/** Where a request belongs, and what its answer says beside the settings of a subnet. */
export interface Found {
  /** The subnets of the link, the one that the request chose first. */
  readonly places: readonly [Place, ...Place[]]
  /** The server that the relay wants the client to see (RFC 5107). */
  readonly relayServerId: string | undefined
  readonly onLink: boolean
  readonly subnetSelection: string | undefined
}

/** `alsoReserved`: addresses of this machine, beside the servers and routers of the subnets, that no client may get. */
export function placesOf(subnets: readonly DhcpSubnet[], alsoReserved: readonly string[]): Place[] {
  const reserved = new Set([
    ...alsoReserved,
    ...subnets.flatMap(({ serverIp, router, dns }) => [serverIp, ...dns, ...(router ? [router] : [])]),
  ])
  return subnets.map((one) => {
    const { cidr, first, last, mode, sharedNetwork, relays } = one
    const subnet = parseSubnet(cidr)
    const [network, broadcast] = [numberToIp(subnet.network), numberToIp((subnet.network | ~subnet.mask) >>> 0)]
    return {
      cidr,
      subnet,
      first: first ?? network,
      last: last ?? network,
      settings: settingsOf(one, { broadcast, mask: numberToIp(subnet.mask) }),
      mode: mode ?? 'own',
      ...(sharedNetwork === undefined ? {} : { sharedNetwork }),
      takesRelay: relays ? relayMatcher(relays) : () => true,
      reserved: new Set([...reserved, network, broadcast]),
    }
  })
}

function settingsOf(
  { serverIp, dns, leaseSeconds, router, mtu, firstChoice }: DhcpSubnet,
  net: { broadcast: string; mask: string },
): SubnetSettings {
  return {
    ...net,
    serverIp,
    dns,
    leaseSeconds,
    ...(router ? { router } : {}),
    ...(mtu ? { mtu } : {}),
    ...(firstChoice ? { firstChoice } : {}),
  }
}

function relayMatcher(relays: readonly string[]): (giaddr: string) => boolean {
  const [subnets, addresses] = [relays.filter((one) => one.includes('/')).map(parseSubnet), new Set(relays)]
  return (giaddr) => addresses.has(giaddr) || subnets.some((subnet) => inSubnet(giaddr, subnet))
}

/** The link of a request, or why there is none. In this order: what the relay says (link selection, RFC 3527), what the
 *  client wishes (subnet selection, RFC 3011), the relay's own address, the address that the client uses already, the
 *  interface. A client that renews by unicast is known by its address alone: it may be behind a router (RFC 2131
 *  4.3.2). */
export function placeFor(places: readonly Place[], request: Packet, localIp: string): Found | { why: string } {
  const { giaddr } = request
  const { linkSelection, serverId } = relayInfo(request)
  const selected = ipOption(request.options, OPTION.subnetSelection)
  const found = (place: Place | undefined, by: string, onLink = true): Found | { why: string } => {
    if (!place) return { why: `no subnet is configured for ${by}` }
    if (giaddr !== NO_ADDRESS && !place.takesRelay(giaddr))
      return { why: `the relay ${giaddr} is none of those that may ask for ${place.cidr} (boot.subnets[].relays)` }
    const subnetSelection = linkSelection === undefined ? selected : undefined
    if (serverId === undefined && subnetSelection === undefined) return plainly(places, place, onLink)
    return { places: [place, ...onOneLink(places, place)], relayServerId: serverId, onLink, subnetSelection }
  }

  if (linkSelection !== undefined)
    return found(holding(places, linkSelection), `link selection ${linkSelection} of relay ${giaddr}`)
  if (selected !== undefined) return found(holding(places, selected), `subnet selection ${selected}`)
  if (giaddr !== NO_ADDRESS) return found(holding(places, giaddr), `relay ${giaddr}`)

  const own = holding(places, localIp)
  // In a DISCOVER an address is a memory of another time.
  const used =
    request.ciaddr === NO_ADDRESS || messageType(request.options) === 'discover'
      ? undefined
      : holding(places, request.ciaddr)
  const isNear = used === own || (used !== undefined && own !== undefined && onOneLink(places, own).includes(used))
  return used ? found(used, request.ciaddr, isNear) : found(own, localIp)
}

function holding(places: readonly Place[], ip: string): Place | undefined {
  const address = ipToNumber(ip)
  return places.find(({ subnet }) => (address & subnet.mask) >>> 0 === subnet.network)
}

/** Where requests belong that ask for nothing special, made once for each subnet: on its link, and behind a router. */
const plain = { near: new WeakMap<Place, Found>(), far: new WeakMap<Place, Found>() }

function plainly(places: readonly Place[], place: Place, onLink: boolean): Found {
  const known = onLink ? plain.near : plain.far
  const before = known.get(place)
  if (before) return before
  const found: Found = {
    places: [place, ...onOneLink(places, place)],
    relayServerId: undefined,
    onLink,
    subnetSelection: undefined,
  }
  known.set(place, found)
  return found
}

/** The other subnets of its shared network. */
const onOneLink = (places: readonly Place[], { sharedNetwork, cidr }: Place): Place[] =>
  sharedNetwork === undefined
    ? []
    : places.filter((other) => other.sharedNetwork === sharedNetwork && other.cidr !== cidr)

/** How requests of one place are answered: made once for those that ask for nothing special, as their places are. */
const links = new WeakMap<Found, Map<Place, Link>>()

/** How a request is answered in one of its subnets. */
export function linkOf(place: Place, found: Found): Link {
  const known = links.get(found) ?? new Map<Place, Link>()
  const link = known.get(place) ?? makeLink(place, found)
  if (known.size === 0) links.set(found, known)
  known.set(place, link)
  return link
}

const makeLink = ({ settings }: Place, { places, relayServerId, onLink, subnetSelection }: Found): Link => ({
  ...settings,
  serverId: relayServerId ?? settings.serverIp,
  servers: places.map((place) => place.settings.serverIp),
  onLink,
  ...(subnetSelection === undefined ? {} : { subnetSelection }),
})

/** In which subnets of its link a client gets its address, the best first, as Kea chooses in a shared network: that of
 *  its fixed address, that of the address it has, that of the address it asks for, the others in their order. */
export function ranked(
  places: readonly Place[],
  client: { fixedIp: string | undefined; held: readonly Lease[]; hint: string | undefined },
): readonly Place[] {
  const { fixedIp, held, hint } = client
  const rank = (place: Place): number => {
    if (fixedIp !== undefined && inSubnet(fixedIp, place.subnet)) return 0
    if (held.some(({ ip }) => inSubnet(ip, place.subnet) && !place.reserved.has(ip))) return 1
    return hint !== undefined && inPool(hint, place) ? 2 : 3
  }
  return places.length < 2 ? places : places.toSorted((a, b) => rank(a) - rank(b))
}
