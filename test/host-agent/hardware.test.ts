/** Reading hardware from made-up /sys trees and SMBIOS tables; the kernel command line; boot entries; what is erased of
 *  a disk. */
import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { rangesOf } from '../../host-agent/deploy/clean.ts'
import { parseCmdline } from '../../host-agent/deploy/cmdline.ts'
import { oldEntries } from '../../host-agent/deploy/uefi.ts'
import { installedMemoryMb } from '../../host-agent/deploy/smbios.ts'
import { parseBmcLan } from '../../host-agent/deploy/inventory.ts'
import { readNuma } from '../../host-agent/deploy/numa.ts'
import { ipv6Of, pathOf, readDisks, readNics, readPartitions, wwnOf } from '../../host-agent/deploy/sysfs.ts'

test.each([
  ['/sys/devices/pci0000:00/0000:00:1f.2/ata3/host2/target2:0:0/2:0:0:0/block/sda', '1', 'pci-0000:00:1f.2-ata-3'],
  ['/sys/devices/pci0000:00/0000:00:1c.0/0000:02:00.0/nvme/nvme0/nvme0n1', '1', 'pci-0000:02:00.0-nvme-1'],
  ['/sys/devices/pci0000:00/0000:00:05.0/virtio2/block/vda', '1', 'pci-0000:00:05.0'],
])('udev would call %s by its path', (device, nsid, path) =>
  expect(pathOf(device, nsid)).toBe(`/dev/disk/by-path/${path}`),
)
test('a disk on another bus has no path', () => {
  expect(pathOf('/sys/devices/pci0000:00/0000:00:14.0/usb1/1-1/1-1:1.0/host6/target6:0:0/6:0:0:0/block/sdb', '1')).toBe(
    null,
  )
  expect(pathOf('', '1')).toBe(null)
})

test('a global IPv6 address is preferred to the one of the link', () => {
  const table = `fe8000000000000050540000fe000001 02 40 20 80     eno1
20010db8000000000000000000000007 02 40 00 00     eno1
00000000000000000000000000000001 01 80 10 80       lo`
  expect([ipv6Of(table, 'eno1'), ipv6Of(table, 'lo'), ipv6Of(table, 'eno2')]).toEqual(['2001:db8::7', '::1', null])
})

test('a BMC’s addresses, of which zeros are none', () => {
  const lan =
    'IP Address Source       : Static Address\nIP Address              : 192.0.2.9\nMAC Address             : AC:1F:6B:00:00:09\n'
  const lan6 =
    'IPv6 Static Address 0:\n    Enabled:        yes\n    Address:        ::/0\nIPv6 Dynamic Address 0:\n    Address:        2001:db8::9/64\n'
  expect(parseBmcLan(lan, lan6)).toEqual({ ipv4: '192.0.2.9', ipv6: '2001:db8::9', mac: 'ac:1f:6b:00:00:09' })
  expect(parseBmcLan('IP Address              : 0.0.0.0\n', '')).toEqual({ ipv4: null, ipv6: null, mac: null })
})

describe('sysfs', () => {
  let sys = ''
  beforeAll(async () => {
    sys = await mkdtemp(join(tmpdir(), 'rackward-sys-'))
    const put = async (path: string, text: string | Buffer) => {
      await mkdir(join(sys, path, '..'), { recursive: true })
      await writeFile(join(sys, path), text)
    }
    await put('devices/2:0:0:0/model', 'ST4000NM0033    \n')
    await put('devices/2:0:0:0/vendor', 'SEAGATE \n')
    await put('devices/2:0:0:0/wwid', 'naa.5000c50094a1b2c3\n')
    await put('devices/2:0:0:0/vpd_pg80', Buffer.from('\x00\x80\x00\x08Z1Z0ABCD', 'latin1'))
    await put('block/sda/size', '7814037168\n')
    await put('block/sda/ro', '0\n')
    await put('block/sda/queue/rotational', '1\n')
    await put('block/sda/queue/logical_block_size', '512\n')
    await put('block/sda/sda2/partition', '2\n')
    await put('block/sda/sda2/start', '2048\n')
    await put('block/sda/sda2/size', '4096\n')
    await symlink(join(sys, 'devices/2:0:0:0'), join(sys, 'block/sda/device'))
    await put('block/loop0/size', '100\n')
    await put('block/sr0/size', '100\n')
    await put('block/vdb/size', '0\n')
    await put('class/net/lo/address', '00:00:00:00:00:00\n')
    await put('devices/0000:00:02.0/vendor', '0x8086\n')
    await put('class/net/eno1/address', 'AC:1F:6B:00:11:22\n'.toLowerCase())
    await put('class/net/eno1/carrier', '1\n')
    await put('class/net/eno1/speed', '10000\n')
    // In a bond: the address of the bond, and its own.
    await put('class/net/eno2/address', 'ac:1f:6b:00:11:22\n')
    await put('class/net/eno2/bonding_slave/perm_hwaddr', 'ac:1f:6b:00:11:23\n')
    await symlink(join(sys, 'devices/0000:00:02.0'), join(sys, 'class/net/eno2/device'))
    await symlink(join(sys, 'devices/0000:00:02.0'), join(sys, 'class/net/eno1/device'))
    await put('devices/0000:00:02.0/numa_node', '1\n')
    for (const node of [0, 1]) {
      await put(`devices/system/node/node${node}/meminfo`, `Node ${node} MemTotal:       65536 kB\n`)
      for (const cpu of [node, node + 2])
        await put(`devices/system/node/node${node}/cpu${cpu}/topology/core_id`, `${node}\n`)
    }
  })
  afterAll(() => rm(sys, { recursive: true }))
  test('memory, cores with their threads, and cards by NUMA node', async () => {
    expect(await readNuma(['eno1', 'gone'], sys)).toEqual({
      ram: [
        { node: 0, sizeKb: 65536 },
        { node: 1, sizeKb: 65536 },
      ],
      cpus: [
        { core: 0, node: 0, threads: [0, 2] },
        { core: 1, node: 1, threads: [1, 3] },
      ],
      nics: [{ name: 'eno1', node: 1 }],
    })
    expect(await readNuma([], join(sys, 'block'))).toBeNull()
  })
  test('a SAS disk with serial, WWN, address; loops, optical drives and empty slots are no disks', async () => {
    expect(await readDisks(sys)).toEqual([
      {
        name: '/dev/sda',
        sizeBytes: 4000787030016,
        rotational: true,
        model: 'ST4000NM0033',
        vendor: 'SEAGATE',
        serial: 'Z1Z0ABCD',
        wwn: '0x5000c50094a1b2c3',
        hctl: '2:0:0:0',
        byPath: null,
        transport: 'scsi',
        logicalSectorBytes: 512,
        physicalSectorBytes: 512,
        readOnly: false,
      },
    ])
  })
  test('cards are what has a device behind it', async () => {
    expect(await readNics(sys)).toEqual([
      expect.objectContaining({
        name: 'eno1',
        mac: 'ac:1f:6b:00:11:22',
        hasCarrier: true,
        speedMbps: 10000,
        vendor: '0x8086',
        pciAddress: '0000:00:02.0',
      }),
      expect.objectContaining({ name: 'eno2', mac: 'ac:1f:6b:00:11:23' }),
    ])
  })
  test('partitions by number', async () =>
    expect(await readPartitions('/dev/sda', sys)).toEqual(
      new Map([[2, { device: '/dev/sda2', startBytes: 1048576, sizeBytes: 2097152 }]]),
    ))
  test('WWNs in the form of hints', () =>
    expect(['naa.5000abc', 'eui.0025', 't10.ATA  x', null].map(wwnOf)).toEqual(['0x5000abc', 'eui.0025', null, null]))
})

describe('SMBIOS memory devices', () => {
  const device = (size: number, extended?: number) => {
    const bytes = Buffer.alloc(0x22)
    bytes.set([17, 0x22, 0, 0])
    bytes.writeUInt16LE(size, 0x0c)
    if (extended !== undefined) bytes.writeUInt32LE(extended, 0x1c)
    return Buffer.concat([bytes, Buffer.from('DIMM 0\0\0')])
  }
  const end = Buffer.from([127, 4, 0, 0, 0, 0])
  test('are summed: MB, kB, extended size, empty slots', () => {
    expect(
      installedMemoryMb(
        Buffer.concat([device(8192), device(0x8000 | 2048), device(0x7fff, 65536), device(0), device(0xffff), end]),
      ),
    ).toBe(8192 + 2 + 65536)
    expect(installedMemoryMb(end)).toBeNull()
  })
  test('any table is read without throwing', () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => void installedMemoryMb(Buffer.from(bytes))))
    const whole = Buffer.concat([device(8192), device(0x7fff, 65536), end])
    for (let length = 0; length < whole.length; length += 1) installedMemoryMb(whole.subarray(0, length))
  })
})

test('the command line gives what the boot script put there, or says what is missing', () => {
  const line =
    'console=ttyS0 rackward.url=https://10.0.0.1:6386 rackward.pin=AB rackward.token=a.b=c rackward.mac=02:00:00:00:00:01 rackward.ip=10.0.0.5/24\n'
  expect(parseCmdline(line)).toEqual({
    url: 'https://10.0.0.1:6386',
    pin: 'ab',
    token: 'a.b=c',
    mac: '02:00:00:00:00:01',
    ip: '10.0.0.5/24',
    gateway: undefined,
  })
  expect(() => parseCmdline('quiet')).toThrow(/rackward\.url/)
})

test('only our own boot entries are removed', () => {
  const text =
    'BootCurrent: 0001\nBootOrder: 0001,0003\nBoot0001* UEFI PXEv4\nBoot0003* Rackward\tHD(2,GPT)\nBoot000A  Rackward\nBoot0004* Rackward backup\n'
  expect(oldEntries(text)).toEqual(['0003', '000A'])
})

test('both ends of the disk and of every partition are erased, inside the disk, none twice', () => {
  const MIB = 1024 * 1024
  const ranges = rangesOf(100 * MIB, [
    { at: 10 * MIB, lengthBytes: 70 * MIB },
    { at: 90 * MIB, lengthBytes: MIB },
    { at: 99 * MIB, lengthBytes: 50 * MIB },
  ])
  const has = (at: number, lengthBytes: number) =>
    ranges.some((range) => range.at === at && range.lengthBytes === lengthBytes)
  expect([
    has(0, 4 * MIB),
    has(96 * MIB, 4 * MIB),
    has(10 * MIB, 4 * MIB),
    has(76 * MIB, 4 * MIB),
    has(74 * MIB, 65536),
    has(90 * MIB, MIB),
  ]).toEqual([true, true, true, true, true, true])
  expect(ranges.every(({ at, lengthBytes }) => at >= 0 && at + lengthBytes <= 100 * MIB)).toBe(true)
  expect(new Set(ranges.map((range) => JSON.stringify(range))).size).toBe(ranges.length)
})
