/** Secure Boot from the first packet to the installed system, on OVMF with Microsoft's keys: shim and GRUB from the
 *  network, the deploy ramdisk with Debian's kernel, the deployed Debian, a network boot that is sent on to the disk,
 *  and UEFI HTTP boot. The BMC speaks IPMI: nothing switches Secure Boot off meanwhile. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { enroll, provision, travel, waitState } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { newSeen } from '../../lab/show.ts'
import { onServer, openBench, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const BOOT_MS = 400_000
const SPEC = {
  firmware: 'uefi',
  card: 'virtio',
  diskKind: 'virtio',
  diskBytes: 5 * GIB,
  memoryMb: 1536,
  secureBoot: true,
} as const
const STEPS = ['dhcp', 'loader', 'grub', 'script', 'kernel', 'initrd', 'hello']

interface Event {
  readonly kind: string
  readonly detail: { readonly step?: string; readonly detail?: string; readonly what?: string }
}

describe('Secure Boot', () => {
  let bench: Bench
  let server: Server
  let address = ''
  beforeAll(async () => {
    bench = await openBench('secure', {})
    await bench.conductor.start()
    server = await bench.rack.addServer({ ...SPEC, name: 'server-1' })
  })
  afterAll(() => bench?.rack.down())

  const eventsOf = async (name = 'server-1'): Promise<Event[]> =>
    ((await bench.conductor.api.ok('GET', `/rackward/v1/events?node=${name}`)) as unknown as { events: Event[] }).events
  const consoleOf = (one: Server) => readFile(join(one.dir, 'console.log'), 'latin1')
  const onIt = (command: string) => onServer(bench.rack, address, command)

  test(
    'a blank server is deployed through shim and GRUB, and its Debian is locked down',
    { timeout: 900_000 },
    async () => {
      const image = await useDebian(bench)
      const result = await travel({ api: bench.conductor.api, rack: bench.rack, server, image, seen: newSeen() })
      expect(result.error).toBeUndefined()
      address = result.address ?? ''
      expect(await onIt('cat /sys/kernel/security/lockdown')).toContain('[integrity]')

      const seen = (await eventsOf()).flatMap(({ kind, detail }) => (kind === 'seen' ? [detail] : []))
      expect(new Set(seen.map(({ step }) => step))).toEqual(new Set(STEPS))
      expect(seen.find(({ step }) => step === 'loader')?.detail).toBe('bootx64.efi: shim, for Secure Boot')
      // What shim and GRUB do without is no trouble.
      expect((await eventsOf()).filter(({ kind }) => kind === 'trouble')).toEqual([])
      expect(await consoleOf(server)).toContain('UEFI Secure Boot is enabled')
      expect(await readFile(bench.conductor.logFile, 'utf8')).not.toContain('rackward.token=')
    },
  )

  test('firmware that tries the network first comes to the disk through GRUB', { timeout: 600_000 }, async () => {
    const before = await onIt('cat /proc/sys/kernel/random/boot_id')
    for (const args of [
      ['power', 'off'],
      ['chassis', 'bootdev', 'pxe'],
      ['power', 'on'],
    ])
      expect((await bench.rack.ipmi(server, args)).code).toBe(0)
    const after = await until(
      async () => {
        const id = await onIt('cat /proc/sys/kernel/random/boot_id').catch(() => '')
        return id !== '' && id !== before ? id : undefined
      },
      { what: 'the server to boot from its disk', timeoutMs: BOOT_MS, everyMs: 2_000 },
    )
    expect(after).not.toBe(before)
    expect(await consoleOf(server)).toContain('server-1 boots from its disk')
    expect(await onIt('cat /sys/kernel/security/lockdown')).toContain('[integrity]')
  })

  test('UEFI HTTP boot: shim and GRUB come over HTTP as well', { timeout: 600_000 }, async () => {
    const { api } = bench.conductor
    await bench.rack.cutPower(server)
    const other = await bench.rack.addServer({ ...SPEC, name: 'server-2', httpBoot: true })
    const node = await enroll(api, other)
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await provision(api, node, { target: 'inspect' }, { to: 'manageable', timeoutMs: 500_000 })
    const seen = (await eventsOf('server-2')).flatMap(({ kind, detail }) => (kind === 'seen' ? [detail.step] : []))
    expect(new Set(seen)).toEqual(new Set(STEPS))
    expect(await consoleOf(other)).toContain('UEFI Secure Boot is enabled')
  })

  test(
    'a server of which nobody knows that Secure Boot is on gets shim after it refused iPXE',
    { timeout: 600_000 },
    async () => {
      const { api } = bench.conductor
      for (const one of bench.rack.servers) await bench.rack.cutPower(one)
      const other = await bench.rack.addServer({ ...SPEC, name: 'server-3' })
      const node = await enroll(api, other, { properties: { capabilities: 'boot_mode:uefi' } })
      await provision(api, node, { target: 'manage' }, { to: 'manageable' })
      await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
      await until(async () => (await consoleOf(other).catch(() => '')).includes('Access Denied'), {
        what: 'the firmware to refuse iPXE',
        timeoutMs: BOOT_MS,
        everyMs: 1_000,
      })
      // As the conductor does at the deadline of the boot, half an hour later.
      expect((await bench.rack.ipmi(other, ['power', 'reset'])).code).toBe(0)
      await waitState(api, node, { to: 'manageable', timeoutMs: 500_000 })
      const seen = (await eventsOf('server-3')).flatMap(({ kind, detail }) => (kind === 'seen' ? [detail] : []))
      expect(seen.find(({ step }) => step === 'loader')?.detail).toMatch(/^snponly\.efi/)
      expect(new Set(seen.map(({ step }) => step))).toEqual(new Set(STEPS))
    },
  )
})
