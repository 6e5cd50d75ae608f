/** arm64 with real parts: a blank arm64 UEFI server beside a conductor whose own ramdisk is for x86_64 becomes a
 *  running Debian, whatever this machine is. */
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { run } from '../../kit/run.ts'
import { importImage } from '../../images/import.ts'
import { loader, makeEfiDisk } from '../images/efi-disk.ts'
import { addressOf, travel } from '../lab/journey.ts'
import type { Server } from '../lab/server.ts'
import { newSeen } from '../lab/show.ts'
import { arm64Ramdisk, openBench, useDebian, type Bench } from '../rack/setup.ts'

const GIB = 1024 ** 3
let bench: Bench
let server: Server
beforeAll(async () => {
  bench = await openBench('arm64', {}, { ramdisks: { aarch64: await arm64Ramdisk() } })
  server = await bench.rack.addServer({
    name: 'arm-1',
    architecture: 'aarch64',
    firmware: 'uefi',
    card: 'virtio',
    diskKind: 'virtio',
    diskBytes: 6 * GIB,
    memoryMb: 2048,
  })
  await bench.conductor.start()
})
afterAll(() => bench?.rack.down())

test('a blank arm64 server becomes a running Debian; nothing said before that it is one', async () => {
  const image = await useDebian(bench, 'aarch64')
  const { api } = bench.conductor
  const result = await travel({ api, rack: bench.rack, server, image, seen: newSeen(), timeoutMs: 40 * 60_000 })
  expect([result.error, result.proof?.hostname]).toEqual([undefined, 'arm-1'])
  expect(result.proof?.kernel).toMatch(/arm64/)
  const node = await api.ok('GET', '/v1/nodes/arm-1')
  expect(node.properties).toMatchObject({ cpu_arch: 'aarch64' })
  const address = await addressOf(api, String(node.uuid), server.mac)
  const ssh = ['ssh', '-i', join(bench.rack.dir, 'id_ed25519'), '-o', 'BatchMode=yes']
  const quiet = ['-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', '-o', 'LogLevel=ERROR']
  const told = await run(
    bench.rack.in([...ssh, ...quiet, `debian@${address}`, 'uname -m; df --output=size -BG / | tail -1']),
    {
      timeoutMs: 60_000,
    },
  )
  // The root file system was grown to the disk.
  expect(told.stdout.replace(/\s+/g, ' ').trim()).toMatch(/^aarch64 [56]G$/)
})

test('an image for x86_64 is refused with the request, and the server goes on running', async () => {
  const disk = join(bench.rack.dir, 'x86.raw')
  await makeEfiDisk(disk, { files: { 'EFI/BOOT/BOOTX64.EFI': loader(true) } })
  await importImage(bench.store, { source: disk, name: 'x86' })
  const { api } = bench.conductor
  await api.ok('PATCH', '/v1/nodes/arm-1', [{ op: 'add', path: '/instance_info/image_source', value: 'x86' }])
  const refused = await api.call('PUT', '/v1/nodes/arm-1/states/provision', { target: 'rebuild' })
  expect([refused.status, JSON.stringify(refused.body)]).toEqual([
    400,
    expect.stringContaining('the image is for x86_64, and the node is aarch64 (properties/cpu_arch)'),
  ])
  expect(await api.ok('GET', '/v1/nodes/arm-1')).toMatchObject({ provision_state: 'active', power_state: 'power on' })
})
