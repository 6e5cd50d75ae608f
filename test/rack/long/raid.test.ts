/** Root on software RAID 1, by BIOS and by UEFI: made by a manual cleaning, kept by the automated one, deployed, and
 *  started from the disk that is left when the other is pulled. */
import { open, readFile, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { addressOf, configDrive, enroll, login, provision } from '../../lab/journey.ts'
import type { Server, ServerSpec } from '../../lab/server.ts'
import { openBench, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const MIB = 1024 ** 2
const ESP_AT = 9 * MIB
const ESP_BYTES = 64 * MIB
const SPECS: readonly ServerSpec[] = [
  {
    name: 'raid-bios',
    firmware: 'bios',
    card: 'virtio',
    diskKind: 'ahci',
    diskBytes: 5 * GIB,
    moreDisks: [6 * GIB],
    memoryMb: 1024,
  },
  {
    name: 'raid-uefi',
    firmware: 'uefi',
    card: 'virtio',
    diskKind: 'nvme',
    diskBytes: 5 * GIB,
    moreDisks: [6 * GIB],
    memoryMb: 1024,
  },
]
const WANTED = {
  logical_disks: [
    { controller: 'software', raid_level: '1', size_gb: 3, is_root_volume: true, volume_name: 'root' },
    { controller: 'software', raid_level: '0', size_gb: 'MAX', volume_name: 'scratch' },
  ],
}

/** Four starts of the ramdisk or the system, without KVM on two busy cores. */
const TEST_TIMEOUT_MS = 30 * 60_000

describe('software RAID', { timeout: TEST_TIMEOUT_MS }, () => {
  let bench: Bench
  let image = ''
  beforeAll(async () => {
    bench = await openBench('raid', {})
    image = await useDebian(bench)
    await bench.conductor.start()
  })
  afterAll(() => bench?.rack.down())

  test.each(SPECS)('$name starts from either disk of its root volume', async (spec) => {
    const { api } = bench.conductor
    const server = await bench.rack.addServer(spec)
    const node = await enroll(api, server, { raid_interface: 'agent' })
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await api.ok('PUT', `/v1/nodes/${node}/states/raid`, WANTED)
    await provision(
      api,
      node,
      { target: 'clean', clean_steps: [{ interface: 'raid', step: 'create_configuration' }] },
      { to: 'manageable' },
    )
    const made = await raidOf(node)
    expect(made.raid_config.logical_disks).toMatchObject([
      { name: 'root', raid_level: '1', size_gb: 3, is_root_volume: true },
      { name: 'scratch', raid_level: '0', is_root_volume: false },
    ])
    for (const { physical_disks: disks } of made.raid_config.logical_disks)
      expect(serialsOf(disks)).toEqual(disksOf(server))
    // What 5 GiB have left besides the root volume, twice.
    expect(made.raid_config.logical_disks[1]?.size_gb).toBeGreaterThanOrEqual(2)
    expect(made.properties.root_device).toEqual({ volume_name: 'root' })

    await provision(api, node, { target: 'provide' }, { to: 'available' })
    const cleaned = await raidOf(node)
    expect(cleaned.raid_config.logical_disks).toEqual(made.raid_config.logical_disks)

    await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/instance_info/image_source', value: image }])
    const publicKey = (await readFile(join(bench.rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
    await provision(api, node, { target: 'active', configdrive: configDrive(server, publicKey) }, { to: 'active' })
    const address = await addressOf(api, node, server.mac)
    await login(bench.rack, address, server.name)
    expect(await ask(address, 'findmnt -no SOURCE /')).toMatch(/^\/dev\/md\d+p3$/)
    await until(async () => !/resync|recovery/.test(await ask(address, 'cat /proc/mdstat')), {
      what: 'the disks of the volumes to be alike',
      timeoutMs: 300_000,
      everyMs: 1_000,
    })
    await ask(address, 'sudo touch /kept && sync')

    // Behind its back, as disks fail.
    await bench.rack.cutPower(server)
    if (spec.firmware === 'uefi') {
      const [first, second] = await Promise.all([espOf(server.diskFile), espOf(`${server.diskFile}.1`)])
      expect(first.subarray(82, 87).toString()).toBe('FAT32')
      expect(first.equals(second)).toBe(true)
    }
    await bench.rack.pullDisk(server, 0)
    await truncate(join(server.dir, 'console.log'), 0)
    await bench.rack.ipmi(server, ['chassis', 'bootdev', 'disk', 'options=persistent'])
    await bench.rack.ipmi(server, ['chassis', 'power', 'on'])
    await login(bench.rack, address, server.name)
    expect(await ask(address, 'ls /kept; findmnt -no SOURCE /')).toMatch(/^\/kept\n\/dev\/md\d+p3$/)
    expect(await ask(address, 'cat /proc/mdstat')).toMatch(/active \(?.*raid1[\s\S]*\[2\/1\] \[(_U|U_)\]/)
    await bench.rack.cutPower(server)
  })

  const raidOf = async (node: string) =>
    (await bench.conductor.api.ok('GET', `/v1/nodes/${node}`)) as unknown as {
      raid_config: { logical_disks: Record<string, any>[] }
      properties: Record<string, unknown>
    }

  async function ask(address: string, command: string): Promise<string> {
    const options = ['BatchMode=yes', 'StrictHostKeyChecking=no', 'UserKnownHostsFile=/dev/null', 'LogLevel=ERROR']
    const argv = ['ssh', '-i', join(bench.rack.dir, 'id_ed25519'), ...options.flatMap((option) => ['-o', option])]
    const { stdout, stderr } = await run(bench.rack.in([...argv, `debian@${address}`, command]), { timeoutMs: 60_000 })
    return (stdout || stderr).trim()
  }
})

const disksOf = ({ name }: Server) => [`${name}-d0`, `${name}-d1`]
/** The kernel names disks in the order in which they answer. */
const serialsOf = (disks: readonly { serial: string }[]) => disks.map(({ serial }) => serial).sort()

async function espOf(path: string): Promise<Buffer> {
  const file = await open(path)
  try {
    const bytes = Buffer.alloc(ESP_BYTES)
    await file.read(bytes, 0, ESP_BYTES, ESP_AT)
    return bytes
  } finally {
    await file.close()
  }
}
