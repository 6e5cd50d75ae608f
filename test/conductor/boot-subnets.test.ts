/** Subnets where the site's own DHCP server gives the addresses: the configuration that they need, and what doctor says
 *  of other servers. */
import { expect, test } from 'vitest'
import { parseConfig } from '../../conductor/config.ts'
import { rivals, siteServers } from '../../conductor/doctor/wire.ts'

const config = (subnet: string) =>
  parseConfig(
    `data: /d
images: { store: /i }
api: { listen: [], auth: { strategy: noauth } }
boot:
  interfaces: []
  http: { address: 10.0.0.1, port: 80 }
  tftp: 10.0.0.1
  kernel: /k
  initrd: /i
  subnets: [{ cidr: 10.0.0.0/24, serverIp: 10.0.0.1, ${subnet} }]
`,
    'c.yaml',
  ).boot?.subnets[0]

test('addresses to lease are wanted where Rackward gives them, and nowhere else', () => {
  expect(config('first: 10.0.0.10, last: 10.0.0.20')?.mode).toBe('own')
  expect([config('mode: proxy')?.mode, config('mode: proxy')?.first]).toEqual(['proxy', undefined])
  expect(config('mode: listen')?.mode).toBe('listen')
  expect(() => config('first: 10.0.0.10')).toThrow(/boot\.subnets\.0.*first and last/)
})

const offer = (isBareBootServer = false) => [{ server: '10.0.0.2', address: '10.0.0.50', isBareBootServer }]

test('another DHCP server is a fault where we give the addresses, and wanted where the site gives them', () => {
  expect(rivals('eth0', [])[0]).toMatchObject({ level: 'ok' })
  expect(rivals('eth0', offer())[0]).toMatchObject({
    level: 'bad',
    says: expect.stringContaining('10.0.0.2') as string,
  })
  expect(siteServers('eth0', 'proxy', offer())[0]).toMatchObject({ level: 'ok' })
  expect(siteServers('eth0', 'proxy', [])[0]).toMatchObject({
    level: 'warn',
    says: 'no DHCP server answered on eth0, where mode is proxy: servers get no address',
  })
})

test('an offer that says PXEClient and not what to boot is named, in each mode', () => {
  for (const [finding] of [rivals('eth0', offer(true)), siteServers('eth0', 'listen', offer(true))])
    expect([finding?.level, finding?.says]).toEqual(['bad', expect.stringContaining('PXE-E99')])
})
