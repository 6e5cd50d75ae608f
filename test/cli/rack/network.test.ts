/** Networks of a rack file: what they become in the config drives of its nodes, and what is refused. */
import { readFile } from 'node:fs/promises'
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { readLocated } from '../../../cli/rack/located.ts'
import { netmask } from '../../../cli/rack/network.ts'
import { resolve } from '../../../cli/rack/resolve.ts'
import { driveOf } from '../../../cli/rack/wanted.ts'

const file = (network: string, more = '') => `version: 1
site: lab
networks:
  mgmt: { cidr: 10.0.0.0/24, gateway: 10.0.0.1, dns: [10.0.0.2], mtu: 1500 }
  storage: { cidr: 10.1.0.0/16, vlan: 20, mtu: 9000 }
  six: { cidr: 'fd00:1::/64', gateway: 'fd00:1::1', vlan: 30 }
racks:
  r1:
    units:
      u[01-02]:
        driver: fake-hardware
        ports: ['52:54:00:00:10:{n:02x}', '52:54:00:00:11:{n:02x}']
${more}        network: ${network}
`
const read = async (text: string) => resolve(await readLocated(text, 'rack.yaml'))
const data = async (network: string, node = 0) =>
  (await read(file(network))).nodes[node]?.spec.configdrive?.network_data as Record<string, any[]>

test('addresses on one port', async () => {
  expect(await data(`{ addresses: { mgmt: '10.0.0.{10 + n}' } }`, 1)).toEqual({
    links: [{ id: 'nic0', type: 'phy', ethernet_mac_address: '52:54:00:00:10:02', mtu: 1500 }],
    networks: [
      {
        id: 'mgmt',
        type: 'ipv4',
        link: 'nic0',
        ip_address: '10.0.0.12',
        netmask: '255.255.255.0',
        routes: [{ network: '0.0.0.0', netmask: '0.0.0.0', gateway: '10.0.0.1' }],
      },
    ],
    services: [{ type: 'dns', address: '10.0.0.2' }],
  })
})

test('VLANs on a bond: each link is there once, and what is below carries the largest packet', async () => {
  const addresses = `{ mgmt: '10.0.0.{n + 1}', storage: '10.1.2.{n}', six: 'fd00:1::{n + 1}' }`
  const { links, networks } = await data(`{ bond: { mode: 802.3ad, ports: [1, 0] }, addresses: ${addresses} }`)
  expect(links?.map(({ id, type, mtu }) => [id, type, mtu])).toEqual([
    ['nic1', 'phy', 9000],
    ['nic0', 'phy', 9000],
    ['bond0', 'bond', 9000],
    ['vlan20', 'vlan', 9000],
    ['vlan30', 'vlan', undefined],
  ])
  expect(links?.[2]).toMatchObject({
    bond_links: ['nic1', 'nic0'],
    bond_mode: '802.3ad',
    ethernet_mac_address: '52:54:00:00:11:01',
  })
  expect(links?.[3]).toMatchObject({ vlan_link: 'bond0', vlan_id: 20, vlan_mac_address: '52:54:00:00:11:01' })
  expect(networks?.map(({ id, link, type }) => [id, link, type])).toEqual([
    ['mgmt', 'bond0', 'ipv4'],
    ['storage', 'vlan20', 'ipv4'],
    ['six', 'vlan30', 'ipv6'],
  ])
  expect(networks?.[2]).toMatchObject({ netmask: 'ffff:ffff:ffff:ffff::', routes: [{ network: '::', netmask: '::' }] })
})

test('a network that changes is another config drive; what is not said of it is not', async () => {
  const digest = async (text: string) => driveOf((await read(text)).nodes[0] as never, new Map())?.digest
  const one = await digest(file(`{ addresses: { mgmt: '10.0.0.{10 + n}' } }`))
  expect(await digest(file(`{ addresses: { mgmt: '10.0.0.{10 + n}' } }`))).toBe(one)
  expect(await digest(file(`{ addresses: { mgmt: '10.0.0.{20 + n}' } }`))).not.toBe(one)
  expect(await digest(file('{ addresses: {} }').replace(/^ +network:.*\n/m, ''))).toBeUndefined()
})

test.each<readonly [name: string, text: string, says: RegExp]>([
  [
    'an unknown network',
    file(`{ addresses: { mgnt: '10.0.0.{n}' } }`),
    /^rack\.yaml:13:\d+: r1-u01: network\/addresses\/mgnt: there is no network mgnt; write it/,
  ],
  [
    'an address of another network',
    file(`{ addresses: { mgmt: '10.9.0.{n}' } }`),
    /10\.9\.0\.1 is no address of mgmt \(10\.0\.0\.0\/24\)/,
  ],
  ['no address', file(`{ addresses: { mgmt: 'x{n}' } }`), /x1 is no address of mgmt/],
  ['IPv6 in an IPv4 network', file(`{ addresses: { mgmt: '::{n}' } }`), /::1 is no address of mgmt/],
  [
    'one address twice',
    file(`{ addresses: { mgmt: 10.0.0.9 } }`),
    /r1-u02 has the address 10\.0\.0\.9 of mgmt, as r1-u01 at rack\.yaml:13/,
  ],
  [
    'a port that is not there',
    file(`{ port: 2, addresses: {} }`),
    /network\/port: there is no port 2: the node has 2, which count from 0/,
  ],
  [
    'a port twice',
    file(`{ bond: { mode: 802.3ad, ports: [0, 0] }, addresses: {} }`),
    /network\/bond\/ports: names a port twice/,
  ],
  [
    'two sources',
    file(`{ addresses: {} }`, '        configdrive: { network_data: { links: [] } }\n'),
    /network: configdrive\/network_data says it too; remove one/,
  ],
  [
    'a config drive that has no network_data',
    file(`{ addresses: {} }`, '        configdrive: { format: nocloud }\n'),
    /network: it becomes network_data, which nocloud has not; write configdrive\/network_config/,
  ],
  ['a mode', file(`{ bond: { mode: lacp, ports: [0] }, addresses: {} }`), /network\/bond\/mode: /],
  [
    'no CIDR',
    file(`{ addresses: {} }`).replace('10.1.0.0/16', '10.1.0.0/33'),
    /networks\/storage\/cidr: is no network such as/,
  ],
])('%s is refused with its place', async (_, text, says) => {
  await expect(read(text)).rejects.toThrow(says)
})

test('the example of a mesh: each host has its own addresses on every plane', async () => {
  const url = new URL('../../../docs/examples/mesh-rack.yaml', import.meta.url)
  const { nodes } = await read(await readFile(url, 'utf8'))
  const addresses = nodes.map(({ name, spec }) => {
    const made = spec.configdrive?.network_data as { networks: { ip_address: string }[] } | undefined
    return [name, ...(made?.networks ?? []).map(({ ip_address: address }) => address)]
  })
  expect(addresses).toEqual([
    ['h1', '10.71.0.11', '10.72.0.11', '10.73.0.11'],
    ['h2', '10.71.0.12', '10.72.0.12', '10.73.0.12'],
    ['h3', '10.71.0.13', '10.72.0.13', '10.73.0.13'],
  ])
})

test('a netmask has as many leading ones as its prefix, and is an address', () => {
  const four = fc.record({ family: fc.constant('ipv4' as const), prefix: fc.integer({ min: 0, max: 32 }) })
  const six = fc.record({ family: fc.constant('ipv6' as const), prefix: fc.integer({ min: 0, max: 128 }) })
  fc.assert(
    fc.property(fc.oneof(four, six), ({ family, prefix }) => {
      const mask = netmask(prefix, family)
      expect(family === 'ipv4' ? isIPv4(mask) : isIPv6(mask)).toBe(true)
      const [bits, all] = family === 'ipv4' ? [32, '255.255.255.255'] : [128, `${'ffff:'.repeat(7)}ffff`]
      // All ones share so many bits with the mask, and not one more.
      const sharing = (length: number): boolean => {
        const list = new BlockList()
        list.addSubnet(mask, length, family)
        return list.check(all, family)
      }
      expect(sharing(prefix)).toBe(true)
      if (prefix < bits) expect(sharing(prefix + 1)).toBe(false)
    }),
  )
})

test('a gateway outside of its network is refused with its line', async () => {
  const text = (gateway: string) => `version: 1
site: lab
networks:
  mgmt: { cidr: 10.0.0.0/24, gateway: ${gateway} }
`
  await expect(readLocated(text('10.0.1.1'), 'rack.yaml').then(resolve)).rejects.toThrow(
    /rack\.yaml:4:\d+: networks\/mgmt\/gateway: 10\.0\.1\.1 is no address of 10\.0\.0\.0\/24; correct one of them/,
  )
  await expect(readLocated(text('"fe80::1"'), 'rack.yaml').then(resolve)).rejects.toThrow(/is no address of/)
  expect(resolve(await readLocated(text('10.0.0.1'), 'rack.yaml')).nodes).toEqual([])
})
