/** The address of the ramdisk without DHCP: from network_data, driver_info or a port; what cannot be one is refused
 *  with its field. */
import { expect, test } from 'vitest'
import { staticNetwork } from '../../conductor/boot/network-data.ts'

const MAC = '52:54:00:00:00:01'
const port = (extra = {}, address = MAC, pxeEnabled = true) => ({ address, pxeEnabled, extra })
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

test('a link without a MAC address is the one of the only port; IPv6 networks and other links are passed over', () => {
  const links = [link({ id: 'bond', type: 'bond' }), link({ ethernet_mac_address: undefined, mtu: undefined })]
  const networks = [network({ type: 'ipv6', ip_address: '2001:db8::1' }), network({ link: 'bond' }), network()]
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
  ['a VLAN', data([link({ type: 'vlan' })], [network()]), [], 'physical links alone'],
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
