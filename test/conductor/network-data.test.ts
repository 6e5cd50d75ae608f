/** The address of the ramdisk without DHCP: from network_data, driver_info or a port; what cannot be one is refused
 *  with its field. */
import { describe, expect, test } from 'vitest'
import { staticNetwork, withBundle } from '../../conductor/boot/network-data.ts'
import type { ObjectRecord } from '../../conductor/store/port.ts'

const MAC = '52:54:00:00:00:01'
const port = (extra = {}, address = MAC, pxeEnabled = true) => ({
  address,
  pxeEnabled,
  extra,
  portgroupUuid: null,
})
const SUBNETS = [{ cidr: '10.0.0.0/24', router: '10.0.0.1', mtu: 9000 }]
const node = (more: { networkData?: object; driverInfo?: object } = {}) => ({
  uuid: 'u',
  networkData: {},
  driverInfo: {},
  ...(more as Record<string, never>),
})
/** As in Ironic's documentation of DHCP-less deploys. */
const link = (more = {}) => ({ id: 'eth', type: 'phy', ethernet_mac_address: MAC.toUpperCase(), mtu: 1500, ...more })
const network = (more = {}) => ({
  id: 'net',
  type: 'ipv4',
  link: 'eth',
  ip_address: '192.0.2.20',
  netmask: '255.255.255.0',
  routes: [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: '192.0.2.1' }],
  ...more,
})
const data = (links: object[], networks: object[]) => node({ networkData: { links, networks, services: [] } })

const MACS = [MAC, '52:54:00:00:00:02']
const CARDS = MACS.map((address, i) => link({ id: `eth${i}`, ethernet_mac_address: address }))
/** As Nova writes it. */
const BOND = {
  id: 'b',
  type: 'bond',
  bond_mode: '802.3ad',
  bond_links: ['eth0', 'eth1'],
  bond_lacp_rate: 'fast',
  bond_xmit_hash_policy: 'layer3+4',
  bond_arp_ip_target: '192.0.2.9',
  ethernet_mac_address: null,
}
const vlan = (more = {}) => ({ id: 'v', type: 'vlan', vlan_link: 'b', vlan_id: 12, vlan_mac_address: MAC, ...more })
const [onBond, onVlan] = [network({ link: 'b' }), network({ link: 'v' })]

test('a bond: its cards, mode and options that the ramdisk sets; with a VLAN above it', () => {
  const bond = {
    mode: '802.3ad',
    members: MACS,
    options: ['lacp_rate=fast', 'xmit_hash_policy=layer3+4', 'miimon=100'],
    address: null,
  }
  const address = { mac: MAC, ip: '192.0.2.20/24', gateway: '192.0.2.1', mtu: null }
  expect(staticNetwork(data([...CARDS, BOND], [onBond]), [], [])).toEqual({ ...address, bond })
  expect(staticNetwork(data([...CARDS, BOND, vlan()], [onVlan]), [], [])).toEqual({ ...address, bond, vlan: 12 })
  const plain = data([...CARDS, vlan({ vlan_link: 'eth1' })], [onVlan])
  expect(staticNetwork(plain, [], [])).toEqual({ ...address, mac: MACS[1], vlan: 12 })
})

describe('a port group', () => {
  const group = (body = {}): ObjectRecord => ({
    kind: 'portgroup',
    uuid: 'g',
    version: 0,
    name: 'uplink',
    nodeUuid: 'u',
    uniqueKey: null,
    createdAtMs: 0,
    updatedAtMs: null,
    body: { mode: '4', properties: { miimon: '50', bond_lacp_rate: 'fast', use_gold: 'yes' }, extra: {}, ...body },
  })
  const ports = MACS.map((address) => ({ ...port({ ipv4_address: '10.0.0.9' }, address), portgroupUuid: 'g' }))
  const found = (groups: ObjectRecord[]) => withBundle(staticNetwork(node(), ports, SUBNETS), { ports, groups })

  test('is the bond of its ports where no network_data says how links are made', () => {
    const bond = { mode: '802.3ad', members: MACS, options: ['lacp_rate=fast', 'miimon=50'], address: null }
    expect(found([group()])).toMatchObject({ mac: MAC, ip: '10.0.0.9/24', bond })
    expect(found([group({ extra: { vlan_id: 7 }, address: '52:54:00:00:00:AA' })])).toMatchObject({
      bond: { ...bond, address: '52:54:00:00:00:aa' },
      vlan: 7,
    })
    const own = data([link()], [network()])
    expect(withBundle(staticNetwork(own, ports, []), { ports, groups: [] })).not.toHaveProperty('bond')
  })
  test('of a mode that there is not is named', () =>
    expect(() => found([group({ mode: 'lacp' })])).toThrow('port group uplink: the mode "lacp"'))
})

test('network_data gives card, address, gateway and MTU', () => {
  expect(staticNetwork(data([link()], [network()]), [], [])).toEqual({
    mac: MAC,
    ip: '192.0.2.20/24',
    gateway: '192.0.2.1',
    mtu: 1500,
  })
})

test.each([
  ['a prefix in the address', network({ ip_address: '192.0.2.20/26', netmask: undefined }), '192.0.2.20/26'],
  ['a prefix as the netmask', network({ netmask: 25 }), '192.0.2.20/25'],
])('%s', (_, one, ip) => {
  expect(staticNetwork(data([link()], [one]), [], [])).toMatchObject({ ip })
})

test('a link without a MAC address is the one of the only port; IPv6 networks and links that are not there are passed over', () => {
  const links = [link({ ethernet_mac_address: undefined, mtu: undefined })]
  const networks = [network({ type: 'ipv6', ip_address: '2001:db8::1' }), network({ link: 'none' }), network()]
  expect(staticNetwork(data(links, networks), [port()], [])).toMatchObject({ mac: MAC, mtu: null })
})

test('driver_info does where there is no network_data; then a port with a fixed address', () => {
  const info = { rackward_ip: '198.51.100.7/28', rackward_gateway: '198.51.100.1' }
  expect(staticNetwork(node({ driverInfo: info }), [port()], [])).toEqual({
    mac: MAC,
    ip: '198.51.100.7/28',
    gateway: '198.51.100.1',
    mtu: null,
  })
  expect(staticNetwork(node(), [port({ ipv4_address: '10.0.0.9' })], SUBNETS)).toEqual({
    mac: MAC,
    ip: '10.0.0.9/24',
    gateway: '10.0.0.1',
    mtu: 9000,
  })
})

test.each([
  ['no address at all', node(), [port()], 'has no address'],
  ['a port that does not boot', node(), [port({ ipv4_address: '10.0.0.9' }, MAC, false)], 'has no address'],
  ['no IPv4 network', data([link()], [network({ type: 'ipv4_dhcp' })]), [], 'no network of the type "ipv4"'],
  ['a VLAN of nothing', data([link({ type: 'vlan' })], [network()]), [], 'has no link undefined'],
  ['a VLAN without a number', data([...CARDS, BOND, vlan({ vlan_id: null })], [onVlan]), [], 'has no vlan_id'],
  ['a VLAN of 4095', data([...CARDS, BOND, vlan({ vlan_id: 4095 })], [onVlan]), [], '1 to 4094'],
  ['a VLAN in a VLAN', data([vlan({ vlan_link: 'v' })], [onVlan]), [], 'a VLAN in a VLAN'],
  ['a bond of no kind', data([...CARDS, { ...BOND, bond_mode: 'lacp' }], [onBond]), [], 'is none of balance-rr'],
  ['a bond of bonds', data([...CARDS, { ...BOND, bond_links: ['b'] }], [onBond]), [], 'which is no card'],
  ['a bond of nothing', data([...CARDS, { ...BOND, bond_links: [] }], [onBond]), [], 'has 0 cards'],
  ['an option that is two', data([...CARDS, { ...BOND, bond_miimon: '1 mode 0' }], [onBond]), [], 'miimon cannot be'],
  ['a link that is missing', data([], [network()]), [], 'has no link "eth"'],
  ['an unknown card', data([link({ ethernet_mac_address: null })], [network()]), [], 'has no ethernet_mac_address'],
  ['a bad netmask', data([link()], [network({ netmask: '255.0.255.0' })]), [], 'name no address'],
  ['a prefix of 40', data([link()], [network({ netmask: 40 })]), [], 'is not an address with its prefix'],
  ['a gateway elsewhere', data([link()], [network({ gateway: '10.9.9.9', routes: [] })]), [], 'is not in the network'],
  ['an MTU of a bus', data([link({ mtu: 100_000 })], [network()]), [], 'the MTU 100000'],
  [
    'a word for the kernel',
    node({ driverInfo: { rackward_ip: '192.0.2.1/24 init=/bin/sh', rackward_mac: MAC } }),
    [],
    'is not an address with its prefix',
  ],
] as const)('%s is refused', (_, subject, ports, words) => {
  expect(() => staticNetwork(subject, ports, SUBNETS)).toThrow(words)
})
