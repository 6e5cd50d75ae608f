/** Subnets where the site's own DHCP server gives the addresses: the configuration that they need, and what doctor says
 *  of other servers. */
import { describe, expect, test } from 'vitest'
import { parseConfig } from '../../conductor/config.ts'
import type { Offer, ProbeKind, Told } from '../../conductor/doctor/rogue.ts'
import { namedBySite, wantedOfSite } from '../../conductor/doctor/site-boot.ts'
import { rivals, siteServers } from '../../conductor/doctor/wire.ts'
import { EFI_LOADER } from '../../pxe/firmware.ts'

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

const offer = (isBareBootServer = false) => [
  { server: '10.0.0.2', address: '10.0.0.50', isBareBootServer, tells: new Map() },
]

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

describe('what the server of a site tells firmware to boot', () => {
  const parts = { tftp: '10.0.0.1', http: 'http://10.0.0.1:8088', loaders: new Set([EFI_LOADER]), networks: [] }
  const script = 'http://10.0.0.1:8088/boot/${netX/mac:hexhyp}/script.ipxe'
  const told = (file: string, nextServer = '10.0.0.1', vendorClass = '') => ({ file, nextServer, vendorClass })
  const tells = (more: Partial<Record<ProbeKind, Told>>): Offer[] => [
    {
      server: '10.0.0.2',
      address: '10.0.0.50',
      isBareBootServer: false,
      tells: new Map(
        Object.entries({
          uefi: told(EFI_LOADER),
          http: told(`http://10.0.0.1:8088/loader/${EFI_LOADER}`, '', 'HTTPClient'),
          ipxe: told(script),
          ...more,
        }) as [ProbeKind, Told][],
      ),
    },
  ]
  const wrong = (offers: Offer[]) =>
    wantedOfSite(parts, offers).flatMap(({ level, says }) => (level === 'ok' ? [] : [says]))

  test('is right when each kind that there is a loader for gets that one', () => {
    expect(wrong(tells({}))).toEqual([])
    expect(wantedOfSite(parts, tells({}))).toHaveLength(3)
  })
  test.each([
    [{ uefi: told('') }, '10.0.0.2 names no boot file for UEFI, which needs snponly.efi'],
    [{ uefi: told('grub.efi') }, '10.0.0.2 names the boot file grub.efi for UEFI, not snponly.efi'],
    [{ uefi: told(EFI_LOADER, '10.0.0.9') }, '10.0.0.2 sends UEFI to the TFTP server 10.0.0.9, not to 10.0.0.1'],
    [
      { http: told(`http://10.0.0.1:8088/loader/${EFI_LOADER}`, '') },
      '10.0.0.2 answers UEFI HTTP boot without the class HTTPClient (option 60): firmware ignores that',
    ],
    [{ ipxe: told(EFI_LOADER) }, `10.0.0.2 names the boot file snponly.efi for iPXE, not ${script}`],
  ])('%#: %s', (more, says) => expect(wrong(tells(more))).toEqual([says]))
  test('is named where the proxy names the boot files, and where nobody else is to answer', () => {
    const [finding, ...others] = namedBySite(tells({ http: told(''), ipxe: told('') }))
    expect([finding?.level, finding?.says, others]).toEqual([
      'warn',
      '10.0.0.2 names a boot file as well: snponly.efi for UEFI',
      [],
    ])
    expect(rivals('eth0', tells({ http: told(''), ipxe: told('') }))[0]?.says).toBe(
      '10.0.0.2 offers addresses on eth0 as well (10.0.0.50, boot file snponly.efi of 10.0.0.1 for UEFI): a server boots from whoever is faster',
    )
  })
})

test('subnets of one shared network have one mode; relays are addresses or subnets', () => {
  const two = (first: string, second: string) => () =>
    config(`mode: listen, ${first} }, { cidr: 10.1.0.0/24, serverIp: 10.0.0.1, ${second}`)
  expect(two('sharedNetwork: a', 'sharedNetwork: a, mode: listen')()?.sharedNetwork).toBe('a')
  expect(two('sharedNetwork: a', 'sharedNetwork: a, mode: proxy')).toThrow(/one mode/)
  expect(two('sharedNetwork: a', 'sharedNetwork: b, mode: proxy')).not.toThrow()
  expect(config('mode: listen, relays: [10.9.0.1, 172.16.0.0/12]')?.relays).toEqual(['10.9.0.1', '172.16.0.0/12'])
  for (const bad of ['leaf1', '10.9.0.0/31', '10.9.0.1/', '10.9.0/24'])
    expect(() => config(`mode: listen, relays: ["${bad}"]`)).toThrow(/is neither an IPv4 address nor a subnet/)
})

test('an offer that says PXEClient and not what to boot is named, in each mode', () => {
  for (const [finding] of [rivals('eth0', offer(true)), siteServers('eth0', 'listen', offer(true))])
    expect([finding?.level, finding?.says]).toEqual(['bad', expect.stringContaining('PXE-E99')])
})
