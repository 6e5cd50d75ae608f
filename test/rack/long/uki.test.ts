/** The signed ramdisk on OVMF with Secure Boot on, whose db has the certificate of the site beside Microsoft's:
 *  firmware fetches one file over HTTP and starts it, and no loader, script or token is served. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { buildSignedRamdisk } from '../../../cli/uki.ts'
import { defaultCache } from '../../../cli/image.ts'
import { runOk } from '../../../kit/run.ts'
import { travel } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { newSeen } from '../../lab/show.ts'
import { openBench, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
let bench: Bench
let server: Server
beforeAll(async () => {
  bench = await openBench('uki', {}, { uki: true })
  const said = await buildSignedRamdisk(
    { config: bench.conductor.configFile, cacheDir: defaultCache() },
    (line) => void process.stderr.write(`  ${line}\n`),
  )
  const siteCertificate = /certificate +(\S+)/.exec(said)?.[1] ?? ''
  await bench.conductor.start()
  server = await bench.rack.addServer({
    name: 'server-1',
    firmware: 'uefi',
    card: 'virtio',
    diskKind: 'virtio',
    diskBytes: 5 * GIB,
    memoryMb: 2048,
    secureBoot: true,
    httpBoot: true,
    siteCertificate,
  })
})
afterAll(() => bench?.rack.down())

test(
  'a blank server is deployed by one signed file that firmware fetched over HTTP',
  { timeout: 900_000 },
  async () => {
    const { api } = bench.conductor
    const image = await useDebian(bench)
    const result = await travel({ api, rack: bench.rack, server, image, seen: newSeen() })
    expect([result.error, result.proof?.hostname]).toEqual([undefined, 'server-1'])

    const { events } = (await api.ok('GET', '/rackward/v1/events?node=server-1')) as unknown as {
      events: { kind: string; detail: { step?: string; detail?: string } }[]
    }
    const seen = events.flatMap(({ kind, detail }) => (kind === 'seen' ? [detail] : []))
    expect(seen.find(({ step }) => step === 'loader')?.detail).toBe('rackward-x64.efi: the signed ramdisk')
    expect(new Set(seen.map(({ step }) => step))).toEqual(new Set(['dhcp', 'loader', 'initrd', 'hello']))
    expect(events.filter(({ kind }) => kind === 'trouble')).toEqual([])
    expect(await readFile(join(server.dir, 'console.log'), 'latin1')).toContain('UEFI Secure Boot is enabled')
  },
)

test('the key of the site is readable by its owner alone', async () => {
  const key = join(bench.rack.dir, 'data/secure-boot.key')
  expect((await runOk(['stat', '-c', '%a', key], { timeoutMs: 5_000 })).trim()).toBe('600')
})
