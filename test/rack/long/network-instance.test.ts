/** Instances that boot from the network each time (deploy_interface ramdisk) on real firmware, and an inspection that
 *  hears its switch by LLDP. */
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { debianBusybox } from '../busybox.ts'
import { fileDigest } from '../../../images/checksum.ts'
import { until } from '../../../kit/clock.ts'
import { launch, runOk } from '../../../kit/run.ts'
import { enroll, provision, waitState } from '../../lab/journey.ts'
import type { Server } from '../../lab/server.ts'
import { headOf, openBench, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
while :; do echo "INSTANCE UP WITH $(/bin/busybox cat /proc/cmdline)"; /bin/busybox sleep 5; done
`
/** A boot sector that says so on the serial port: the text after it, byte by byte, each when the transmitter is
 *  empty. */
const BOOT_SECTOR = Buffer.concat([
  Buffer.from('e800005e83c624baf8030e1ffcac84c0741288c380c205eca82074fb80ea0588d8eeebe9f4ebfd', 'hex'),
  Buffer.from('ISO INSTANCE UP\r\n\0'),
])
const LLDP = `import socket,sys,time
s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW); s.bind((sys.argv[1],0))
while True:
    s.send(bytes.fromhex(sys.argv[2]).ljust(60,b'\\0')); time.sleep(1)
`
const ANNOUNCEMENT = `0180c200000e52540000ff0188cc0207041c7ee0aabb00040605${Buffer.from('Eth17').toString('hex')}060200780a04${Buffer.from('tor7').toString('hex')}0000`

describe('network instances', () => {
  let bench: Bench
  let bios: Server
  let uefi: Server
  const files: Record<string, string> = {}
  beforeAll(async () => {
    bench = await openBench('net', { lldpSeconds: 60 })
    const server = { card: 'virtio', diskKind: 'virtio', diskBytes: 5 * GIB, memoryMb: 1024 } as const
    bios = await bench.rack.addServer({ name: 'bios-1', firmware: 'bios', ...server })
    uefi = await bench.rack.addServer({ name: 'uefi-1', firmware: 'uefi', ...server })
    await makeFiles()
    await bench.conductor.start()
  })
  afterAll(() => bench?.rack.down())

  /** A kernel and a small ramdisk of Debian's busybox, and an ISO image of one boot sector. */
  async function makeFiles(): Promise<void> {
    const { dir } = bench.rack
    const root = join(dir, 'root')
    for (const path of ['bin', 'proc', 'dev']) await mkdir(join(root, path), { recursive: true })
    await copyFile(await debianBusybox(dir), join(root, 'bin/busybox'))
    await writeFile(join(root, 'init'), INIT, { mode: 0o755 })
    const pack = 'cd "$1" && find . -mindepth 1 | cpio --quiet -o -H newc -R 0:0 | gzip >"$2"'
    await runOk(['bash', '-euo', 'pipefail', '-c', pack, 'pack', root, join(dir, 'ramdisk')], { timeoutMs: 60_000 })
    await copyFile(bench.kernel, join(dir, 'kernel'))

    const tree = join(dir, 'iso')
    await mkdir(tree)
    await writeFile(join(tree, 'boot.bin'), Buffer.concat([BOOT_SECTOR, Buffer.alloc(2048 - BOOT_SECTOR.length)]))
    const iso = ['-b', 'boot.bin', '-no-emul-boot', '-boot-load-size', '4', '-o', join(dir, 'boot_iso'), tree]
    await runOk(['genisoimage', '-quiet', ...iso], { timeoutMs: 60_000 })
    for (const key of ['kernel', 'ramdisk', 'boot_iso']) {
      files[key] = `file://${join(dir, key)}`
      files[`${key}_checksum`] = await fileDigest(join(dir, key), 'sha256')
    }
  }

  const pick = (...keys: string[]) =>
    Object.fromEntries(keys.flatMap((key) => [key, `${key}_checksum`]).map((key) => [key, files[key]]))
  const consoleOf = (server: Server) => readFile(join(server.dir, 'console.log'), 'latin1').catch(() => '')
  /** How often a text came since the console was `from` characters long. */
  const cameOn = (server: Server, text: string, from = 0) =>
    until(async () => (await consoleOf(server)).slice(from).includes(text), {
      what: `${text} on the console of ${server.name}`,
      timeoutMs: 240_000,
      everyMs: 500,
    })
  const setInfo = (node: string, info: object) =>
    bench.conductor.api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/instance_info', value: info }])

  async function booted(server: Server): Promise<void> {
    const { api } = bench.conductor
    const node = server.name
    await setInfo(node, { ...pick('kernel', 'ramdisk'), ramdisk_kernel_arguments: 'lab.mark=one' })
    await provision(api, node, { target: 'active' }, { to: 'active' })
    await cameOn(server, 'INSTANCE UP WITH ')
    const said = (await consoleOf(server)).split('\n').find((line) => line.includes('INSTANCE UP WITH ')) ?? ''
    expect(said).toContain('root=/dev/ram0 text')
    expect(said).toContain('lab.mark=one')
    expect(said).not.toContain('rackward.')

    const before = (await consoleOf(server)).length
    await api.ok('PUT', `/v1/nodes/${node}/states/power`, { target: 'rebooting' })
    await waitState(api, node, { to: 'active' })
    await cameOn(server, 'boots its instance', before).catch(() => undefined)
    await cameOn(server, 'INSTANCE UP WITH ', before)

    expect((await headOf(server.diskFile, MIB)).every((byte) => byte === 0)).toBe(true)
    await provision(api, node, { target: 'deleted' }, { to: 'available' })
    expect(await api.ok('GET', `/v1/nodes/${node}`)).toMatchObject({ power_state: 'power off', instance_info: {} })
  }

  test('a UEFI server is inspected, and its port learns the switch port that it is joined to', async () => {
    const { api } = bench.conductor
    const node = await enroll(api, uefi, { deploy_interface: 'ramdisk', automated_clean: false })
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    launch(bench.rack.in(['python3', '-c', LLDP, uefi.taps[0], ANNOUNCEMENT]))
    await provision(api, node, { target: 'inspect' }, { to: 'manageable' })

    const { inventory, plugin_data: plugin } = (await api.ok('GET', `/v1/nodes/${node}/inventory`)) as Record<
      string,
      any
    >
    const card = inventory.interfaces.find((one: { mac_address: string }) => one.mac_address === uefi.mac)
    expect(card).toMatchObject({ has_carrier: true, ipv6_address: expect.stringMatching(/^fe80::/) })
    expect(plugin.parsed_lldp).toEqual({
      [card.name]: {
        switch_chassis_id: '1c:7e:e0:aa:bb:00',
        switch_port_id: 'Eth17',
        switch_system_name: 'tor7',
      },
    })
    expect(inventory.disks[0]).toMatchObject({ by_path: expect.stringMatching(/^\/dev\/disk\/by-path\/pci-/) })
    expect(plugin).toMatchObject({ boot_interface: uefi.mac, numa_topology: { ram: [{ numa_node: 0 }] } })
    const { ports } = (await api.ok('GET', `/v1/ports/detail?address=${uefi.mac}`)) as { ports: Record<string, any>[] }
    expect(ports[0]?.local_link_connection).toEqual({
      switch_id: '1c:7e:e0:aa:bb:00',
      port_id: 'Eth17',
      switch_info: 'tor7',
    })
    await provision(api, node, { target: 'provide' }, { to: 'available' })
  })

  test('a BIOS server and a UEFI server run their ramdisk, again after a reboot, and no disk is written', async () => {
    const { api } = bench.conductor
    const node = await enroll(api, bios, { deploy_interface: 'ramdisk', automated_clean: false })
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await provision(api, node, { target: 'provide' }, { to: 'available' })
    await Promise.all([booted(bios), booted(uefi)])
  })

  test('a BIOS server boots an ISO image over HTTP', async () => {
    await setInfo('bios-1', pick('boot_iso'))
    await provision(bench.conductor.api, 'bios-1', { target: 'active' }, { to: 'active' })
    await cameOn(bios, 'ISO INSTANCE UP')
  })
})
