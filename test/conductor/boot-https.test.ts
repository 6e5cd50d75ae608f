/** Loaders over HTTPS: what DHCP names, what the configuration refuses, and a real TLS client at the door. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { get } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { BootFiles } from '../../conductor/boot/http.ts'
import { startHttps } from '../../conductor/boot/https-door.ts'
import { loaderUrl } from '../../conductor/boot/ramdisk-order.ts'
import { BOOT_HTTPS } from '../../conductor/config-boot-https.ts'
import { Limits } from '../../conductor/limits.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { systemClock } from '../../kit/clock.ts'
import { Lifecycle } from '../../kit/lifecycle.ts'
import { silentLog } from '../../kit/log.ts'
import { freePort } from '../kit/free-port.ts'

const HTTP = { address: '192.0.2.1', port: 8080 }
const at = { address: '192.0.2.1', port: 443, cert: 'c', key: 'k' }

test('firmware is told the address with TLS where there is one, by its name where it has one', () => {
  expect(loaderUrl({ http: HTTP })).toBe('http://192.0.2.1:8080/loader/')
  expect(loaderUrl({ http: HTTP, https: at })).toBe('https://192.0.2.1/loader/')
  expect(loaderUrl({ http: HTTP, https: { ...at, port: 8443 } })).toBe('https://192.0.2.1:8443/loader/')
  const url = 'https://boot.example:8443'
  expect(loaderUrl({ http: HTTP, https: { ...at, url } })).toBe('https://boot.example:8443/loader/')
})

test.each([
  'http://boot.example',
  'https://boot.example/x',
  'https://boot.example/?a',
  'https://u@boot.example',
  'boot.example',
  `https://${'a'.repeat(200)}.example`,
])('%s is refused with its key', (url) => {
  const { error } = BOOT_HTTPS.https.safeParse({ ...at, url })
  expect(error?.issues.map(({ path }) => path)).toEqual([['url']])
})

describe('at the door', () => {
  let dir = ''
  let ca = ''
  const life = new Lifecycle()
  const answered: string[] = []
  const doorsAt = (port: number, cert: string) =>
    ({
      life,
      clock: systemClock,
      log: silentLog,
      counters: { limit: () => undefined },
      config: {
        limits: Limits.parse({}),
        boot: { http: HTTP, https: { address: '127.0.0.1', port, cert: join(dir, cert), key: join(dir, 'key') } },
      },
    }) as unknown as Parameters<typeof startHttps>[0]
  const files = {
    file: (path: string) => (path === '/loader/snponly.efi' ? join(dir, 'loader') : undefined),
    fetched: (path: string, ip: string) => void answered.push(`${ip} ${path}`),
    refused: () => undefined,
    sending: () => () => undefined,
    answered: () => undefined,
    broke: () => undefined,
  } as unknown as BootFiles
  const fetched = (port: number, path: string, options: { ca?: string }): Promise<[number | undefined, string]> =>
    new Promise((resolve, reject) => {
      get({ host: '127.0.0.1', port, path, ...options }, (response) => {
        let body = ''
        response.on('data', (bytes: Buffer) => (body += bytes.toString()))
        response.on('end', () => resolve([response.statusCode, body]))
      }).on('error', reject)
    })

  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-boot-https-'))
    const pair = await selfSigned({ commonName: 'boot', days: 2, names: ['IP:127.0.0.1'], algorithm: 'rsa' })
    ca = pair.cert
    await writeFile(join(dir, 'cert'), pair.cert)
    await writeFile(join(dir, 'key'), pair.key)
    await writeFile(join(dir, 'other'), (await selfSigned({ commonName: 'other', days: 2 })).cert)
    await writeFile(join(dir, 'loader'), 'a loader')
  })
  afterAll(async () => {
    await life.stop()
    await rm(dir, { recursive: true, force: true })
  })

  test('who trusts the authority gets the loader, who does not gets none', async () => {
    const port = await freePort()
    await startHttps(doorsAt(port, 'cert'), files)
    expect(await fetched(port, '/loader/snponly.efi', { ca })).toEqual([200, 'a loader'])
    expect(answered).toEqual(['127.0.0.1 /loader/snponly.efi'])
    expect((await fetched(port, '/loader/../../etc/passwd', { ca }))[0]).toBe(404)
    await expect(fetched(port, '/loader/snponly.efi', {})).rejects.toThrow(/self-signed certificate/)
    await expect(fetch(`http://127.0.0.1:${port}/loader/snponly.efi`)).rejects.toThrow()
    expect(answered).toHaveLength(1)
  })

  test('a certificate that is not there, or not of the key, is named at the start', async () => {
    const port = await freePort()
    await expect(startHttps(doorsAt(port, 'nowhere'), files)).rejects.toThrow(/boot\.https\.cert: cannot read/)
    await expect(startHttps(doorsAt(port, 'other'), files)).rejects.toThrow(/boot\.https: .* cannot be used together/)
  })
})
