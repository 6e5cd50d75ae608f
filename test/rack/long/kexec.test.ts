/** A deploy that ends with a jump of the ramdisk into the image (kexec), with real firmware, on BIOS and UEFI: no
 *  second start of the server, the kernel and arguments of the image, and a login. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { addressOf, configDrive, enroll, login, provision } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { onServer, openBench, starts, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const BIOS = { name: 'bios-1', firmware: 'bios', card: 'e1000e', diskKind: 'ahci' } as const
const UEFI = { name: 'uefi-1', bmc: 'redfish', firmware: 'uefi', card: 'virtio', diskKind: 'nvme' } as const
let bench: Bench
const servers = new Map<object, Server>()
beforeAll(async () => {
  bench = await openBench('kexec', {})
  for (const kind of [UEFI, BIOS])
    servers.set(kind, await bench.rack.addServer({ ...kind, diskBytes: 5 * GIB, memoryMb: 1024 }))
  await bench.conductor.start()
})
afterAll(() => bench?.rack.down())

interface Told {
  readonly events: readonly { readonly kind: string; readonly detail: Readonly<Record<string, unknown>> }[]
}
const told = async (node: string, kind: string) =>
  ((await bench.conductor.api.ok('GET', `/rackward/v1/events?node=${node}&kinds=${kind}&limit=100`)) as unknown as Told)
    .events
test.each([UEFI, BIOS])('$firmware: one start of the server, and the image runs', async (kind) => {
  const server = servers.get(kind) as Server
  const image = await useDebian(bench)
  const { api } = bench.conductor
  const node = await enroll(api, server)
  for (const [target, to] of [
    ['manage', 'manageable'],
    ['inspect', 'manageable'],
    ['provide', 'available'],
  ] as const)
    await provision(api, node, { target }, { to })
  await deployByJump({ server, node, image }, 1)
  const address = await addressOf(api, node, server.mac)
  expect(await onServer(bench.rack, address, 'cat /proc/cmdline; ls /sys/firmware/efi 2>/dev/null | head -1')).toMatch(
    kind.firmware === 'uefi' ? /root=UUID=\S+ ro.*\n\S+/ : /root=UUID=\S+ ro[^\n]*$/,
  )
  // What it waited for stands in the journal, and the next deploy of the image knows how long that usually lasts.
  await until(async () => (await told(node, 'state')).some(({ detail }) => detail.work === 'jump'), {
    what: 'the time of the jump',
    timeoutMs: 10_000,
  })
})

/** Of a parked server: it is not started again, and a login works. `jumps`: how many there are then. */
async function deployByJump(at: { server: Server; node: string; image: string }, jumps: number): Promise<void> {
  const { server, node, image } = at
  const { api } = bench.conductor
  const info = { image_source: image, reboot: 'kexec' }
  await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'replace', path: '/instance_info', value: info }])
  const before = await starts(server)
  const publicKey = (await readFile(join(bench.rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
  await provision(api, node, { target: 'active', configdrive: configDrive(server, publicKey) }, { to: 'active' })
  const each = <T>(one: T): T[] => Array.from({ length: jumps }, () => one)
  expect((await told(node, 'reboot')).map(({ detail }) => detail)).toMatchObject(each({ how: 'kexec' }))
  expect((await told(node, 'jump')).map(({ detail }) => detail)).toMatchObject(each({ ok: true }))
  expect(await starts(server)).toBe(before)
  await login(bench.rack, await addressOf(api, node, server.mac), server.name)
}

test('bios: the instance is deleted, and the parked server is deployed by a jump once more', async () => {
  const server = servers.get(BIOS) as Server
  const { api } = bench.conductor
  const node = String((await api.ok('GET', `/v1/nodes/${server.name}`)).uuid)
  await provision(api, node, { target: 'deleted' }, { to: 'available' })
  await deployByJump({ server, node, image: await useDebian(bench) }, 2)
})
