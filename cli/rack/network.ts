/** The networks of a rack file -> the network_data.json of a node's config drive, as cloud-init and Ignition's users
 *  know it from OpenStack. Pure; what is wrong is told by field. */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import type { NetworkSpec, NodeSpec } from './schema.ts'

type NetworkPart = Readonly<Record<string, unknown>>
export type Networks = Readonly<Record<string, NetworkSpec>>

/** What is wrong, with the field of the unit where it stands. */
export class NetworkError extends Error {
  readonly field: readonly string[]
  constructor(field: readonly string[], message: string) {
    super(message)
    this.field = field
  }
}

const BOND = 'bond0'

/** Undefined: the file says nothing of the networks of the node. */
export function networkDataOf(spec: NodeSpec, networks: Networks): NetworkPart | undefined {
  const { network } = spec
  if (!network) return undefined
  if (spec.configdrive?.network_data)
    throw new NetworkError(['network'], 'configdrive/network_data says it too; remove one of them')
  if (spec.configdrive?.format === 'nocloud')
    throw new NetworkError(
      ['network'],
      'it becomes network_data, which nocloud has not; write configdrive/network_config',
    )
  const { links, base } = linksOf(spec)
  const services = new Set<string>()
  const vlans: NetworkPart[] = []
  const addresses = Object.entries(network.addresses).map(([name, address]) => {
    const field = ['network', 'addresses', name]
    const of = Object.hasOwn(networks, name) ? networks[name] : undefined
    if (!of) throw new NetworkError(field, `there is no network ${name}; write it under "networks"`)
    const cidr = cidrOf(of.cidr)
    if (!isWithin(address, cidr)) throw new NetworkError(field, `${address} is no address of ${name} (${of.cidr})`)
    for (const server of of.dns ?? []) services.add(server)
    const link = of.vlan === undefined ? base.id : `vlan${of.vlan}`
    if (of.vlan !== undefined && !vlans.some(({ id }) => id === link))
      vlans.push({
        id: link,
        type: 'vlan',
        vlan_link: base.id,
        vlan_id: of.vlan,
        vlan_mac_address: base.mac,
        ...(of.mtu === undefined ? {} : { mtu: of.mtu }),
      })
    return networkOf(name, { address, link, of, cidr })
  })
  const untagged = Object.keys(network.addresses).flatMap((name) => {
    const { vlan, mtu } = networks[name] as NetworkSpec
    return vlan === undefined && mtu !== undefined ? [mtu] : []
  })
  // What is carried in it must pass the link below.
  const mtus = [...untagged, ...vlans.flatMap(({ mtu }) => (typeof mtu === 'number' ? [mtu] : []))]
  const mtu = mtus.length > 0 ? { mtu: Math.max(...mtus) } : {}
  return {
    links: [...links.map((link) => ({ ...link, ...mtu })), ...vlans],
    networks: addresses,
    services: [...services].map((address) => ({ type: 'dns', address })),
  }
}

function linksOf(spec: NodeSpec): {
  links: readonly NetworkPart[]
  base: { readonly id: string; readonly mac: string }
} {
  const macs = (spec.ports ?? []).map((port) => (typeof port === 'string' ? port : port.address))
  const bond = spec.network?.bond
  const used = bond?.ports ?? [spec.network?.port ?? 0]
  const field = bond ? ['network', 'bond', 'ports'] : ['network', 'port']
  const cards = used.map((index) => {
    const mac = macs[index]
    if (mac === undefined)
      throw new NetworkError(field, `there is no port ${index}: the node has ${macs.length}, which count from 0`)
    return { id: `nic${index}`, type: 'phy', ethernet_mac_address: mac }
  })
  if (new Set(used).size < used.length) throw new NetworkError(field, 'names a port twice')
  const [first] = cards as [(typeof cards)[number]]
  const mac = first.ethernet_mac_address
  if (!bond) return { links: cards, base: { id: first.id, mac } }
  const made = {
    id: BOND,
    type: 'bond',
    bond_mode: bond.mode,
    bond_miimon: 100,
    bond_links: cards.map(({ id }) => id),
    ethernet_mac_address: mac,
    ...(bond.mode === '802.3ad' ? { bond_xmit_hash_policy: 'layer3+4' } : {}),
  }
  return { links: [...cards, made], base: { id: BOND, mac } }
}

interface Cidr {
  readonly address: string
  readonly prefix: number
  readonly family: 'ipv4' | 'ipv6'
}

/** A CIDR that the schema has taken. */
function cidrOf(text: string): Cidr {
  const [address = '', prefix] = text.split('/')
  return { address, prefix: Number(prefix), family: isIPv4(address) ? 'ipv4' : 'ipv6' }
}

/** Whether an address is of a network such as 10.0.0.0/24. */
export const isOfNetwork = (address: string, cidr: string): boolean => isWithin(address, cidrOf(cidr))

function isWithin(address: string, { address: net, prefix, family }: Cidr): boolean {
  if (!(family === 'ipv4' ? isIPv4(address) : isIPv6(address)) || address.includes('%')) return false
  const list = new BlockList()
  list.addSubnet(net, prefix, family)
  return list.check(address, family)
}

interface NetworkAt {
  readonly address: string
  readonly link: string
  readonly of: NetworkSpec
  readonly cidr: Cidr
}

function networkOf(id: string, { address, link, of, cidr }: NetworkAt): NetworkPart {
  const { family, prefix } = cidr
  const any = family === 'ipv4' ? '0.0.0.0' : '::'
  const routes = of.gateway === undefined ? [] : [{ network: any, netmask: any, gateway: of.gateway }]
  return { id, type: family, link, ip_address: address, netmask: netmask(prefix, family), routes }
}

/** 24 -> 255.255.255.0; 64 -> ffff:ffff:ffff:ffff::. */
export function netmask(prefix: number, family: 'ipv4' | 'ipv6'): string {
  const [bits, size] = family === 'ipv4' ? [32, 8] : [128, 16]
  const ones = '1'.repeat(prefix).padEnd(bits, '0')
  const parts = Array.from({ length: bits / size }, (_, i) => Number.parseInt(ones.slice(i * size, (i + 1) * size), 2))
  if (family === 'ipv4') return parts.join('.')
  const text = parts.map((part) => part.toString(16)).join(':')
  return text.replace(/(^|:)0(:0)+$/, '::')
}
