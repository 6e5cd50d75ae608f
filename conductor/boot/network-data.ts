/** The address that a node's ramdisk gets without DHCP: from network_data (Ironic's, which is Nova's
 *  network_data.json), driver_info, or the port with a fixed address. Pure. Throws `node.network-data`, which names the
 *  field. */
import { isIPv4 } from 'node:net'
import { inSubnet, ipToNumber, parseSubnet, type Subnet } from '../../pxe/addresses.ts'
import { Fault } from '../../kit/fault.ts'
import type { ObjectRecord } from '../store/port.ts'
import { bondOf, bundleOf, vlanOf, type Bond } from './bonds.ts'

export interface StaticNetwork {
  readonly mac: string
  /** With the length of the prefix: 192.0.2.20/24. */
  readonly ip: string
  readonly gateway: string | null
  readonly mtu: number | null
  /** The card is one of these, and the address is that of the bond. */
  readonly bond?: Bond
  readonly vlan?: number
}

interface NetworkSubject {
  readonly uuid: string
  readonly networkData: Readonly<Record<string, unknown>>
  readonly driverInfo: Readonly<Record<string, unknown>>
}

interface NetworkPort {
  readonly address: string
  readonly pxeEnabled: boolean
  readonly portgroupUuid: string | null
  readonly extra: Readonly<Record<string, unknown>>
}

export interface BootSubnet {
  readonly cidr: string
  readonly router?: string | undefined
  readonly mtu?: number | undefined
}

type Dict = Readonly<Record<string, unknown>>

const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/
const dicts = (value: unknown): Dict[] =>
  Array.isArray(value) ? value.filter((one): one is Dict => typeof one === 'object' && one !== null) : []
const refuse = (why: string) => new Fault('node.network-data', why)

export function staticNetwork(
  node: NetworkSubject,
  ports: readonly NetworkPort[],
  subnets: readonly BootSubnet[],
): StaticNetwork {
  const usable = ports.filter((port) => port.pxeEnabled)
  if (Object.keys(node.networkData).length > 0) return fromNetworkData(node.networkData, usable)
  if (node.driverInfo.rackward_ip !== undefined) return fromDriverInfo(node.driverInfo, usable)
  for (const { address: mac, extra } of usable) {
    const ip = extra.ipv4_address
    const subnet = typeof ip === 'string' ? subnets.find(({ cidr }) => inSubnet(ip, parseSubnet(cidr))) : undefined
    if (subnet)
      return {
        mac,
        ip: `${ip as string}/${subnet.cidr.split('/')[1]}`,
        gateway: subnet.router ?? null,
        mtu: subnet.mtu ?? null,
      }
  }
  throw refuse(
    `node ${node.uuid} boots by virtual media, without DHCP, and has no address: neither network_data nor driver_info/rackward_ip nor a port with extra/ipv4_address in one of boot.subnets`,
  )
}

/** The bundle of the card, unless network_data says how its links are made. */
export function withBundle(
  network: StaticNetwork,
  at: { readonly ports: readonly NetworkPort[]; readonly groups: readonly ObjectRecord[] },
): StaticNetwork {
  const port = at.ports.find(({ address }) => address === network.mac)
  if (!port || network.bond || network.vlan !== undefined) return network
  const { group, vlan } = bundleOf(port, at)
  return { ...network, ...(group ? { bond: group.bond } : {}), ...(vlan === null ? {} : { vlan }) }
}

/** The first IPv4 network whose link is there: there is one address to call the conductor from. */
function fromNetworkData(data: Dict, ports: readonly NetworkPort[]): StaticNetwork {
  const links = dicts(data.links)
  const networks = dicts(data.networks).filter(({ type }) => type === 'ipv4')
  const [first] = networks
  if (!first) throw refuse('network_data/networks has no network of the type "ipv4" with a static address')
  const network = networks.find((one) => links.some(({ id }) => id === one.link))
  if (!network) throw refuse(`network_data/links has no link ${JSON.stringify(first.link)}`)
  const link = linkNamed(links, network.link)
  return checked({
    ...cardsOf(links, link, ports),
    ip: addressOf(network),
    gateway: gatewayOf(network),
    mtu: typeof link.mtu === 'number' ? link.mtu : null,
  })
}

function linkNamed(links: readonly Dict[], id: unknown): Dict {
  const link = links.find((one) => one.id === id)
  if (!link) throw refuse(`network_data/links has no link ${JSON.stringify(id)}`)
  return link
}

/** A link -> its cards: itself, those of a bond, and those below a VLAN. */
function cardsOf(
  links: readonly Dict[],
  link: Dict,
  ports: readonly NetworkPort[],
): Pick<StaticNetwork, 'mac' | 'bond' | 'vlan'> {
  const where = `network_data/links: ${JSON.stringify(link.id)}`
  if (link.type === 'vlan') {
    const below = linkNamed(links, link.vlan_link)
    if (below.type === 'vlan') throw refuse(`${where} is a VLAN in a VLAN; the ramdisk makes none`)
    const vlan = vlanOf(link.vlan_id, `${where}: vlan_id`)
    if (vlan === null) throw refuse(`${where} has no vlan_id`)
    return { ...cardsOf(links, below, ports), vlan }
  }
  if (link.type !== 'bond') return { mac: macOf(link, ports) }
  const members = (Array.isArray(link.bond_links) ? link.bond_links : []).map((id: unknown) => {
    const card = linkNamed(links, id)
    if (VIRTUAL.includes(String(card.type))) throw refuse(`${where} bundles ${JSON.stringify(id)}, which is no card`)
    return macOf(card, [])
  })
  const properties = Object.fromEntries(Object.entries(link).filter(([name]) => name.startsWith('bond_')))
  const bond = bondOf({ where, mode: link.bond_mode, address: link.ethernet_mac_address, properties }, members)
  return { mac: bond.members[0] as string, bond }
}

const VIRTUAL = ['vlan', 'bond']

function macOf(link: Dict, ports: readonly NetworkPort[]): string {
  const mac = typeof link.ethernet_mac_address === 'string' ? link.ethernet_mac_address.toLowerCase() : undefined
  const [only] = ports
  const found = mac ?? (ports.length === 1 ? only?.address : undefined)
  if (found === undefined)
    throw refuse(
      `network_data/links: ${JSON.stringify(link.id)} has no ethernet_mac_address, and the node has not exactly one port`,
    )
  return found
}

function addressOf(network: Dict): string {
  const [ip = '', bits] = String(network.ip_address ?? '').split('/')
  const length = bits ?? prefixOf(network.netmask)
  if (!isIPv4(ip) || length === undefined) throw refuse('network_data/networks: ip_address and netmask name no address')
  return `${ip}/${length}`
}

/** 255.255.255.0 -> "24"; undefined for what is no netmask. */
function prefixOf(netmask: unknown): string | undefined {
  if (typeof netmask === 'number' || /^\d{1,2}$/.test(String(netmask))) return String(netmask)
  if (typeof netmask !== 'string' || !isIPv4(netmask)) return undefined
  const bits = ipToNumber(netmask).toString(2).padStart(32, '0')
  return /^1*0*$/.test(bits) ? String(bits.replace(/0+$/, '').length) : undefined
}

function gatewayOf(network: Dict): string | null {
  const route = dicts(network.routes).find(
    (one) => one.network === '0.0.0.0/0' || (one.network === '0.0.0.0' && String(one.netmask) === '0.0.0.0'),
  )
  const gateway = route?.gateway ?? network.gateway
  return typeof gateway === 'string' ? gateway : null
}

function fromDriverInfo(info: Dict, ports: readonly NetworkPort[]): StaticNetwork {
  const mac = info.rackward_mac ?? (ports.length === 1 ? ports[0]?.address : undefined)
  if (typeof mac !== 'string')
    throw refuse('driver_info/rackward_mac is missing, and the node has not exactly one port with pxe_enabled')
  const gateway = info.rackward_gateway ?? null
  return checked({
    mac: mac.toLowerCase(),
    ip: String(info.rackward_ip),
    gateway: gateway === null ? null : String(gateway),
    mtu: null,
  })
}

/** What reaches the kernel command line is what it says to be. */
function checked(network: StaticNetwork): StaticNetwork {
  const { mac, ip, gateway, mtu } = network
  const [address = '', bits = ''] = ip.split('/')
  if (!MAC.test(mac)) throw refuse(`${JSON.stringify(mac.slice(0, 40))} is not a MAC address such as 52:54:00:00:00:01`)
  if (!isIPv4(address) || !/^\d{1,2}$/.test(bits) || Number(bits) < 1 || Number(bits) > 32)
    throw refuse(`${JSON.stringify(ip.slice(0, 40))} is not an address with its prefix, such as 192.0.2.20/24`)
  if (gateway !== null && !isIPv4(gateway))
    throw refuse(`the gateway ${JSON.stringify(gateway.slice(0, 40))} is not an IPv4 address`)
  if (gateway !== null && !inSubnet(gateway, subnetOf(address, Number(bits))))
    throw refuse(`the gateway ${gateway} is not in the network of ${ip}`)
  if (mtu !== null && (!Number.isInteger(mtu) || mtu < 576 || mtu > 9216))
    throw refuse(`the MTU ${mtu} is not between 576 and 9216`)
  return network
}

const subnetOf = (ip: string, length: number): Subnet => {
  const mask = (0xffffffff << (32 - length)) >>> 0
  return { network: (ipToNumber(ip) & mask) >>> 0, mask }
}
