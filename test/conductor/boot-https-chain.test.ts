/** HTTPS boot with a certificate of the site's CA: from the first DHCP packet to the kernel by a real TLS client that
 *  trusts this CA alone, and what of the configuration is refused. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { request as httpsRequest } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { Admission } from '../../conductor/boot/admission.ts'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { dhcpServer, type DhcpDoors } from '../../conductor/boot/dhcp-door.ts'
import { startHttp, type Doors } from '../../conductor/boot/doors.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { httpsFiles } from '../../conductor/boot/https-door.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { isFault } from '../../kit/fault.ts'
import { Lifecycle } from '../../kit/lifecycle.ts'
import { silentLog } from '../../kit/log.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { ARM64_LOADER, EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { freePort } from '../kit/free-port.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { siteCa, type SiteCa } from '../kit/site-ca.ts'
import { http, mac, Memory, packet, pxe, request } from '../pxe/dhcp-bench.ts'
import { client as plainClient, noLoaders } from './boot-clients.ts'

let dir = ''
let ca: SiteCa
let [plainPort, securePort] = [0, 0]
let config: Doors['config']
const clock = new HandClock(Date.now())
const life = new Lifecycle()
const order = { kind: 'ramdisk', generation: 1, rescue: false, token: true } as const
/** Who has an address is who asks: all do so from this machine. */
const leases = { macOf: () => mac(1), holds: () => true } as unknown as Doors['leases']
const clients = {
  get: (address: string): BootClient => ({
    ...plainClient(address),
    nodeUuid: '00000000-0000-4000-8000-000000000001',
    order,
  }),
  isFixed: () => false,
} as unknown as Doors['clients']

const bootOf = () => ({
  interfaces: [],
  http: { address: '127.0.0.1', port: plainPort },
  https: { address: '127.0.0.1', port: securePort, cert: join(dir, 'boot.crt'), key: join(dir, 'boot.key') },
  tftp: '127.0.0.1',
  subnets: [{ cidr: '127.0.0.0/24', serverIp: '127.0.0.1', first: '127.0.0.10', last: '127.0.0.20' }],
  kernel: join(dir, 'kernel'),
  initrd: join(dir, 'initrd'),
  loaders: dir,
})
const parse = (boot: object) =>
  Config.safeParse({
    data: dir,
    images: { store: dir },
    api: { auth: { strategy: 'noauth' } },
    agent: { address: '127.0.0.1', port: 6386 },
    boot,
  })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-boot-https-'))
  ca = await siteCa(dir)
  plainPort = await freePort()
  securePort = await freePort()
  await install('IP:127.0.0.1')
  for (const name of ['kernel', 'initrd', EFI_LOADER]) await writeFile(join(dir, name), `bytes of ${name}`)
  config = parse(bootOf()).data as Doors['config']
  const counters = new BootCounters()
  const events = new BootEvents({ perSecond: 100, clock, log: silentLog, emit: () => undefined })
  const observer = new Observer({ events, counters, leases, loaders: noLoaders, client: clients.get })
  const admission = new Admission(10)
  const parts = { config, pin: 'ab', tokenKey: Buffer.alloc(32), clock, log: silentLog }
  const doors = { ...parts, life, clients, admission, leases, observer, counters } as unknown as Doors
  await startHttp(doors)
}, 60_000)
afterAll(async () => {
  await life.stop()
  await rm(dir, { recursive: true })
})

async function install(names: string): Promise<void> {
  const { key, cert } = await ca.sign(names)
  await writeFile(join(dir, 'boot.key'), key)
  await writeFile(join(dir, 'boot.crt'), cert)
}

/** As firmware and iPXE ask: they trust this CA and no other, and check the address in the certificate. */
const secureGet = (url: string, trusted: string | undefined = ca.cert) =>
  new Promise<{ status: number; text: string; serial: string }>((resolve, reject) => {
    const asked = httpsRequest(url, { agent: false, ...(trusted ? { ca: trusted } : {}) }, (answer) => {
      const { serialNumber } = (answer.socket as TLSSocket).getPeerCertificate()
      const parts: Buffer[] = []
      answer.on('data', (bytes: Buffer) => parts.push(bytes))
      answer.on('end', () =>
        resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString(), serial: serialNumber }),
      )
    })
    asked.on('error', reject).end()
  })
const secure = (path: string) => `https://127.0.0.1:${securePort}${path}`

function offered(ask: Packet): string | undefined {
  const doors: DhcpDoors = {
    config: config as DhcpDoors['config'],
    clients,
    leases: new LeaseBook(new Memory(), { declinesPerMac: 3 }),
    loaders: new Map([...LOADERS, ARM64_LOADER].map((file) => [file, ''])),
    paths: { pick: (_, { files }) => files[0] },
    observer: { onDhcp: () => undefined },
    clock,
  }
  const reply = dhcpServer(doors).handle(encodePacket(ask), '127.0.0.1')
  return reply && decodePacket(reply.bytes).file
}

describe('DHCP', () => {
  test('firmware that boots by HTTP is given an https URL, by its architecture', () => {
    for (const [arch, loader] of [
      [16, EFI_LOADER],
      [19, ARM64_LOADER],
    ] as const)
      expect(offered(packet(1, 'discover', http(arch)))).toBe(secure(`/loader/${loader}`))
    expect(offered(packet(1, 'discover', http(15)))).toBe('')
  })
  test('firmware that boots by TFTP gets a plain name, and iPXE that came by it a plain URL', () => {
    expect(offered(packet(1, 'discover', pxe(7)))).toBe(EFI_LOADER)
    const ipxe = packet(1, 'discover', [...pxe(7), [77, Buffer.from('iPXE')]])
    expect(offered(ipxe)).toBe(`http://127.0.0.1:${plainPort}/boot/${mac(1).replaceAll(':', '-')}/script.ipxe`)
  })
  test('an ACK names what the offer named', () => {
    expect(offered(request(1, '127.0.0.10', http(16)))).toBe(secure(`/loader/${EFI_LOADER}`))
  })
})

test('loader, script, kernel and ramdisk come by TLS, each as the one before names it', async () => {
  expect(await secureGet(offered(packet(1, 'discover', http(16))) ?? '')).toMatchObject({
    status: 200,
    text: `bytes of ${EFI_LOADER}`,
  })
  const autoexec = await secureGet(secure('/loader/autoexec.ipxe'))
  const [script = ''] = /https:\/\/\S+script\.ipxe/.exec(autoexec.text) ?? []
  expect(script).toBe(secure(`/boot/${mac(1).replaceAll(':', '-')}/script.ipxe`))
  const { text } = await secureGet(script)
  expect(text).toContain('rackward.token=')
  const [kernel = '', initrd = ''] = text.match(/https:\/\/\S+\/ramdisk\/\w+/g) ?? []
  expect((await secureGet(kernel)).text).toBe('bytes of kernel')
  expect((await secureGet(initrd)).text).toBe('bytes of initrd')
})

test('GRUB has no TLS: what it fetches comes by HTTP, whatever fetched GRUB', async () => {
  const { text } = await secureGet(secure(`/boot/${mac(1).replaceAll(':', '-')}/grub.cfg`))
  expect(text).toContain(`(http,127.0.0.1:${plainPort})/ramdisk/kernel`)
})

test('who asks by HTTP is answered as before', async () => {
  const script = await fetch(`http://127.0.0.1:${plainPort}/boot/${mac(1).replaceAll(':', '-')}/script.ipxe`)
  const text = await script.text()
  expect(text).toContain(`http://127.0.0.1:${plainPort}/ramdisk/kernel`)
  expect(text).not.toContain('https://127.0.0.1:' + securePort)
})

test('a client that trusts another CA ends the connection; one that speaks no TLS gets nothing', async () => {
  const other = await siteCa(await mkdtemp(join(dir, 'other-')))
  await expect(secureGet(secure('/ramdisk/kernel'), other.cert)).rejects.toThrow(/certificate|signature|issuer/)
  await expect(fetch(`http://127.0.0.1:${securePort}/ramdisk/kernel`)).rejects.toThrow()
})

test('a renewed certificate is taken without a restart; one that does not fit is not', async () => {
  const before = (await secureGet(secure('/ramdisk/kernel'))).serial
  await install('IP:192.0.2.99')
  clock.pass(3_600_000)
  expect(await httpsFiles(config.boot.https!).catch(isFault)).toBe(true)
  expect((await secureGet(secure('/ramdisk/kernel'))).serial).toBe(before)
  await install('IP:127.0.0.1')
  const renewed = async () => {
    clock.pass(3_600_000)
    return (await secureGet(secure('/ramdisk/kernel'))).serial !== before
  }
  await until(renewed, { what: 'the new certificate', timeoutMs: 60_000 })
})

test('a certificate that no server would take is refused before anything is served', async () => {
  const why = (https: object) =>
    httpsFiles({ ...config.boot.https!, ...https }).then(
      () => 'taken',
      (error: unknown) => (isFault(error) ? `${error.code} ${error.message}` : String(error)),
    )
  expect(await why({})).toBe('taken')
  expect(await why({ address: '192.0.2.1' })).toMatch(/^config\.invalid .*is for IP Address:127\.0\.0\.1.*192\.0\.2\.1/)
  expect(await why({ url: 'https://boot.example' })).toMatch(/^config\.invalid .*told boot\.example/)
  await install('DNS:*.site.example')
  expect(await why({ url: 'https://boot.site.example' })).toBe('taken')
  expect(await why({})).toMatch(/^config\.invalid .*is for DNS:\*\.site\.example/)
})
