/** The lab's arguments: what they mean, and what is refused before a rack is made. */
import { expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { staticNetwork } from '../../conductor/boot/network-data.ts'
import { readArgs } from './args.ts'
import { configOf } from './conductor.ts'
import { fixedAddress, mediaNode } from './media-nodes.ts'
import { Rack } from './rack.ts'

test('without arguments three servers with IPMI boot from the network', () => {
  expect(readArgs([])).toMatchObject({
    verb: 'run',
    nodes: 3,
    firmware: 'mix',
    bmc: 'ipmi',
    boot: 'network',
    ha: false,
  })
  expect(readArgs(['--bmc', 'redfish', '--boot', 'media', '--nodes', '2'])).toMatchObject({
    bmc: 'redfish',
    boot: 'media',
    nodes: 2,
  })
  expect(readArgs(['--bmc', 'redfish', '--boot', 'media', '--secure-boot'])).toMatchObject({ secureBoot: true })
})

test('several conductors are asked for by their number', () => {
  expect(readArgs([])).toMatchObject({ conductors: 1 })
  expect(readArgs(['--conductors', '3', '--nodes', '2'])).toMatchObject({ conductors: 3, nodes: 2 })
})

test('what follows "rackward" belongs to the command line of users', () => {
  expect(readArgs(['--name', 'b', 'rackward', 'node', 'list', '--boot'])).toMatchObject({
    verb: 'rackward',
    name: 'b',
    words: ['node', 'list', '--boot'],
  })
})

test.each([
  [['--boot', 'media'], /IPMI has no virtual media; use it with --bmc redfish instead of --bmc ipmi/],
  [['--boot', 'media', '--bmc', 'mixed'], /instead of --bmc mixed/],
  [['--boot', 'media', '--bmc', 'redfish', '--ha'], /--ha boot from the network/],
  [['--conductors', '0'], /--conductors: a number from 1 to 5/],
  [['--conductors', '3', '--ha'], /--ha has one conductor/],
  [['--conductors', '3', '--boot', 'media', '--bmc', 'redfish'], /boot from the network/],
  [['--boot', 'cd'], /--boot: network or media/],
  [['--secure-boot', '--firmware', 'bios'], /--secure-boot: it is part of UEFI/],
  [['--bmc', 'ilo'], /--bmc: ipmi, redfish or mixed/],
  [['--nodes', '17'], /--nodes: a number from 1 to 16/],
  [['fly'], /unknown word "fly"/],
])('%j is refused with its reason', (argv, reason) => {
  expect(() => readArgs(argv)).toThrow(reason)
})

test('a rack of virtual media has no DHCP server, a boot ISO, and an address in network_data for each of its 16 servers', () => {
  const rack = new Rack('t', '/var/tmp/rackward-t', 'tcg')
  const files = { kernel: '/k', initrd: '/i', iso: '/boot.iso' }
  const config = Config.parse(configOf(rack, { imageStore: '/s', ...files, mediaPort: 8081, dhcp: false }))
  expect(config.boot).toMatchObject({
    interfaces: [],
    subnets: [],
    iso: '/boot.iso',
    media: { address: '10.77.0.1', port: 8081 },
  })
  for (const index of [0, 15]) {
    const mac = '52:54:00:77:00:01'
    const { network_data: networkData } = mediaNode({ mac }, fixedAddress(index))
    const node = { uuid: 'u', networkData, driverInfo: {} }
    expect(staticNetwork(node, [], [])).toMatchObject({ mac, ip: `10.77.0.${50 + index}/24`, gateway: null })
  }
})
