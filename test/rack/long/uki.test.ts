/** The signed ramdisk on OVMF with Secure Boot on, whose db has the certificate of the site beside Microsoft's:
 *  firmware fetches one file over HTTP and starts it, and no loader, script or token is served. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { runOk } from '../../../kit/run.ts'
import { travel } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { newSeen } from '../../lab/show.ts'
import { useDebian, type Bench } from '../setup.ts'
import { openSignedBench } from './signed-bench.ts'

const GIB = 1024 ** 3
let bench: Bench
let server: Server
beforeAll(async () => {
  ;({ bench, server } = await openSignedBench('uki', { diskBytes: 5 * GIB }))
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
