/** The main job with real parts: one blank BIOS server (by IPMI) and one blank UEFI server (by Redfish), from power-off
 *  to a login. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import type { Cli } from '../clients/cli.ts'
import { addressOf, configDrive, driverInfo, login, travel, waitState, type Result } from '../lab/journey.ts'
import type { Server } from '../lab/server.ts'
import { newSeen } from '../lab/show.ts'
import { diskBoots, openPair, type Pair } from './pair.ts'
import { onServer, starts, useDebian, type Bench } from './setup.ts'

const GIB = 1024 ** 3
let pair: Pair
let bench: Bench
let bios: Server
let uefi: Server
let cli: Cli
beforeAll(async () => {
  pair = await openPair('deploy')
  ;({ bench, bios, uefi, cli } = pair)
})
afterAll(() => pair?.close())

/** The whole way by the real `baremetal` command line. */
async function travelByCli(server: Server, image: string): Promise<string> {
  const { api } = bench.conductor
  const publicKey = (await readFile(join(bench.rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
  const info = Object.entries(driverInfo(server)).flatMap(([key, value]) => ['--driver-info', `${key}=${value}`])
  const made = await cli.ok(
    'node',
    'create',
    '--driver',
    'ipmi',
    '--name',
    server.name,
    ...info,
    '--property',
    'capabilities=boot_mode:bios',
    '-f',
    'json',
  )
  await cli.ok('port', 'create', server.mac, '--node', made.uuid)
  const verb = async (name: string, to: string, ...more: string[]) => {
    await cli.ok('node', name, server.name, ...more)
    await waitState(api, made.uuid, { to })
  }
  await verb('manage', 'manageable')
  await verb('inspect', 'manageable')
  await verb('clean', 'manageable', '--clean-steps', '[{"interface": "deploy", "step": "erase_devices_metadata"}]')
  await verb('provide', 'available')
  await cli.ok('node', 'set', server.name, '--instance-info', `image_source=${image}`)
  await verb('deploy', 'active', '--config-drive', JSON.stringify(configDrive(server, publicKey)))
  return (await login(bench.rack, await addressOf(api, made.uuid, server.mac), server.name)).hostname
}

test('a blank BIOS server and a blank UEFI server become running Debians', async () => {
  const image = await useDebian(bench)
  const { api } = bench.conductor
  const [byCli, byApi]: [string, Result] = await Promise.all([
    travelByCli(bios, image),
    travel({ api, rack: bench.rack, server: uefi, image, seen: newSeen() }),
  ])
  expect([byCli, byApi.error, byApi.proof?.hostname]).toEqual(['bios-1', undefined, 'uefi-1'])
})

test('the warm path: inspected, cleaned and deployed with one boot of the ramdisk and one of the disk', async () => {
  for (const server of [bios, uefi]) expect([server.name, await starts(server)]).toEqual([server.name, 2])
})

test('the Redfish BMC was asked through one session, and consumed the override of the network boot', async () => {
  const log = await readFile(join(uefi.dir, 'redfish.log'), 'utf8')
  const count = (what: RegExp) => log.split('\n').filter((line) => what.test(line)).length
  expect(count(/POST \S*\/Sessions \(login\)/)).toBe(1)
  expect(count(/PATCH .*"Pxe".*"Once"/)).toBe(1)
  expect(count(/ComputerSystem\.Reset \{"ResetType":"On"\}/)).toBe(2)
  expect((await bench.conductor.api.ok('GET', '/v1/nodes/uefi-1')).driver).toBe('redfish')
})

test('inspection filled properties, inventory and ports with what the hardware is', async () => {
  const { api } = bench.conductor
  const node = await api.ok('GET', '/v1/nodes/bios-1')
  expect(node.properties).toMatchObject({
    cpus: 2,
    cpu_arch: 'x86_64',
    memory_mb: 1024,
    local_gb: 4,
    vendor: 'Rackward',
  })
  const { inventory } = (await api.ok('GET', '/v1/nodes/bios-1/inventory')) as { inventory: Record<string, any> }
  expect(inventory.disks).toEqual([
    expect.objectContaining({ name: '/dev/sda', size: 5 * GIB, serial: 'bios-1-d0', rotational: true }),
  ])
  expect(inventory.boot).toEqual({ current_boot_mode: 'bios', pxe_interface: bios.mac })
  expect(inventory.system_vendor).toMatchObject({
    manufacturer: 'Rackward',
    product_name: 'Lab',
    serial_number: 'bios-1',
  })
  expect(inventory.interfaces.map((nic: { mac_address: string }) => nic.mac_address).sort()).toEqual([
    bios.mac,
    bios.secondMac,
  ])
  const other = (await api.ok('GET', '/v1/nodes/uefi-1/inventory')) as { inventory: Record<string, any> }
  expect(other.inventory.boot.current_boot_mode).toBe('uefi')
  expect(other.inventory.disks[0]).toMatchObject({ name: '/dev/nvme0n1', serial: 'uefi-1-d0', tran: 'nvme' })
  const { ports } = (await api.ok('GET', '/v1/nodes/bios-1/ports?detail=true')) as {
    ports: { address: string; pxe_enabled: boolean }[]
  }
  expect(ports.map(({ address, pxe_enabled }) => [address, pxe_enabled]).sort()).toEqual([
    [bios.mac, true],
    [bios.secondMac, false],
  ])
})

test('root was grown to the disk, and the config drive stands behind it', async () => {
  const address = await addressOf(
    bench.conductor.api,
    (await bench.conductor.api.ok('GET', '/v1/nodes/bios-1')).uuid as string,
    bios.mac,
  )
  const ssh = [
    'ssh',
    '-i',
    join(bench.rack.dir, 'id_ed25519'),
    '-o',
    'BatchMode=yes',
    '-o',
    'StrictHostKeyChecking=no',
    '-o',
    'UserKnownHostsFile=/dev/null',
    '-o',
    'LogLevel=ERROR',
    `debian@${address}`,
  ]
  const { stdout } = await run(
    bench.rack.in([
      ...ssh,
      "df --output=size -B1 / | tail -1; lsblk -nbo LABEL /dev/sda4; systemctl is-failed 'cloud-*' || true; sudo cat /proc/cmdline",
    ]),
    { timeoutMs: 60_000 },
  )
  const [size = '', label = ''] = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim())
  expect(Number(size)).toBeGreaterThan(4.5 * GIB)
  expect(label).toBe('config-2')
  expect(stdout).not.toMatch(/^failed$/m)
})

test('cloud-init looked for network cards after udev had named all of them', async () => {
  const { api } = bench.conductor
  const address = await addressOf(api, (await api.ok('GET', '/v1/nodes/uefi-1')).uuid as string, uefi.mac)
  const moment = (unit: string, at: string) => `systemctl show --value -p ${at}TimestampMonotonic ${unit}`
  const said = await onServer(
    bench.rack,
    address,
    `${moment('systemd-udev-settle', 'ActiveEnter')}; ${moment('cloud-init-local', 'InactiveExit')}`,
  )
  const [settledUs = 0, begunUs = 0] = said.split('\n').map(Number)
  expect(settledUs).toBeGreaterThan(0)
  expect(begunUs).toBeGreaterThanOrEqual(settledUs)
})

test('the UEFI server has a boot entry of ours', async () => {
  const variables = await readFile(join(uefi.dir, 'vars.fd'))
  expect(variables.includes(Buffer.from('Rackward', 'utf16le'))).toBe(true)
})

test('a node that always tries the network first is sent to its own disk, by BIOS and by UEFI', async () => {
  const { api } = bench.conductor
  await Promise.all(
    [bios, uefi].map(async (server) => {
      const uuid = (await api.ok('GET', `/v1/nodes/${server.name}`)).uuid as string
      await networkFirst(server, uuid)
      const before = (await api.ok('GET', `/v1/nodes/${uuid}`)) as {
        driver_internal_info: { rackward: { milestones: Record<string, string> } }
      }
      const started = await diskBoots(server)
      await api.ok('PUT', `/v1/nodes/${uuid}/states/power`, { target: 'rebooting' })
      await until(
        async () => {
          const now = (await api.ok('GET', `/v1/nodes/${uuid}`)) as typeof before
          return (
            now.driver_internal_info.rackward.milestones.script !==
            before.driver_internal_info.rackward.milestones.script
          )
        },
        { what: `${server.name} to ask for its script`, timeoutMs: 300_000, everyMs: 500 },
      )
      await started()
    }),
  )
})

/** At the BMC: behind the conductor's back where the BMC speaks IPMI, through the API where an override is set by
 *  Redfish. */
async function networkFirst(server: Server, uuid: string): Promise<void> {
  const { api } = bench.conductor
  if (server.bmc === 'redfish')
    await api.ok('PUT', `/v1/nodes/${uuid}/management/boot_device`, { boot_device: 'pxe', persistent: true })
  else expect((await bench.rack.ipmi(server, ['chassis', 'bootdev', 'pxe'])).code).toBe(0)
}
