/** Loaders over HTTPS to real UEFI firmware that trusts the site's authority: by iPXE, by shim under Secure Boot; and
 *  firmware that does not trust it takes no loader. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { enroll, provision } from '../../lab/journey.ts'
import type { Server, ServerSpec } from '../../lab/server.ts'
import { openBench, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const BOOT_MS = 500_000
const SPEC = { card: 'virtio', diskKind: 'virtio', diskBytes: 5 * GIB, memoryMb: 1536, firmware: 'uefi' } as const

interface Event {
  readonly kind: string
  readonly detail: { readonly step?: string }
}

describe('UEFI HTTPS boot', () => {
  let bench: Bench
  let authority = ''
  beforeAll(async () => {
    bench = await openBench('https', {}, { https: true })
    authority = join(bench.rack.dir, 'authority.crt')
    await bench.conductor.start()
  })
  afterAll(() => bench?.rack.down())

  const consoleOf = (server: Server) => readFile(join(server.dir, 'console.log'), 'latin1').catch(() => '')
  async function inspects(name: string, more: Partial<ServerSpec>): Promise<Server> {
    const { api } = bench.conductor
    const server = await bench.rack.addServer({ ...SPEC, name, httpBoot: true, ...more })
    const node = await enroll(api, server)
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
    return server
  }
  const seenOf = async (name: string): Promise<(string | undefined)[]> => {
    const said = await bench.conductor.api.ok('GET', `/rackward/v1/events?node=${name}`)
    return (said as unknown as { events: Event[] }).events.flatMap(({ kind, detail }) =>
      kind === 'seen' ? [detail.step] : [],
    )
  }
  const called = (name: string) =>
    until(async () => (await seenOf(name)).includes('hello'), {
      what: `the agent of ${name}`,
      timeoutMs: BOOT_MS,
      everyMs: 1_000,
    })

  test.each([false, true])('Secure Boot %s: the ramdisk boots', { timeout: 600_000 }, async (secureBoot) => {
    const name = secureBoot ? 'secure-1' : 'plain-1'
    const server = await inspects(name, { secureBoot, httpsAuthority: authority })
    await called(name)
    const console = await consoleOf(server)
    expect(console).toContain(`https://`)
    expect(console.includes('UEFI Secure Boot is enabled')).toBe(secureBoot)
    // iPXE takes the authority over from the firmware; GRUB has no TLS.
    expect(/https:\/\/\S+\/ramdisk\/initrd/.test(console)).toBe(!secureBoot)
    await bench.rack.cutPower(server)
  })

  test('firmware without the authority takes no loader', { timeout: 600_000 }, async () => {
    const server = await inspects('stranger-1', {})
    await until(async () => /URI: https:[\s\S]*Error: /.test(await consoleOf(server)), {
      what: 'the firmware to give up',
      timeoutMs: BOOT_MS,
      everyMs: 1_000,
    })
    expect(await seenOf('stranger-1')).not.toContain('loader')
  })
})
