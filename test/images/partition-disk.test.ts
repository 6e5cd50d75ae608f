/** A partition image becomes a whole disk, and the agent ends it on the disk of a server: the layout as data, and the
 *  disk as sfdisk, fsck, e2fsck, blkid and mtools read it. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { DiskFile } from '../../host-agent/deploy/disk.ts'
import { fitTable, growExt4, writeConfigDriveTable } from '../../host-agent/deploy/finish.ts'
import { findCore } from '../../host-agent/deploy/raid/grub.ts'
import { fillPartitions, fitPartitions, planPartitions } from '../../host-agent/deploy/finish-partition.ts'
import { importPartition, type PartitionRequest } from '../../images/import-partition.ts'
import { checkKernel } from '../../images/partition-disk.ts'
import { diskScript, finishPlan, leastRootBytes, neededBytes, ROOT_START_MIB } from '../../images/partition-layout.ts'
import { bootMenu, MENU_BYTES } from '../../images/partition-menu.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { testDisk } from '../host-agent/disks.ts'
import { loader } from './efi-disk.ts'

const MIB = 1024 * 1024
const GIB = 1024 * MIB
const UUID = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
const SWAP_UUID = '9f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
const ESP = '@@2M'
let dir = ''
let store: ImageStore
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-partition-disk-'))
  store = new ImageStore(join(dir, 'store'))
  await mkdir(join(dir, 'loaders'))
  await writeFile(join(dir, 'loaders/bootx64.efi'), loader(true))
  await writeFile(join(dir, 'loaders/grubx64.efi'), randomBytes(100_000))
  await writeFile(join(dir, 'vmlinuz'), kernel(true))
  await writeFile(join(dir, 'initrd'), randomBytes(5 * MIB))
  await mkdir(join(dir, 'tree/etc'), { recursive: true })
  await writeFile(join(dir, 'tree/etc/hostname'), 'partition\n')
  await writeFile(join(dir, 'root.ext4'), '')
  await truncate(join(dir, 'root.ext4'), 20 * MIB)
  await tool('mke2fs', '-q', '-F', '-t', 'ext4', '-U', UUID, '-d', join(dir, 'tree'), join(dir, 'root.ext4'))
})
afterAll(() => rm(dir, { recursive: true }))

const tool = (...argv: string[]) => runOk(argv, { timeoutMs: 120_000 })

/** What Linux for x86_64 has at its beginning, which is a program of UEFI too. */
function kernel(signed: boolean): Buffer {
  const bytes = Buffer.concat([loader(signed), Buffer.alloc(MIB, 'linux')])
  bytes.write('HdrS', 0x202, 'latin1')
  return bytes
}

async function part(name: string) {
  const source = join(dir, name)
  const hex = createHash('sha256')
    .update(await readFile(source))
    .digest('hex')
  return { source, checksum: { algo: 'sha256' as const, hex }, tools: {} }
}

const request = async (image = 'root.ext4', kernelFile = 'vmlinuz'): Promise<PartitionRequest> => ({
  name: 'one',
  image: await part(image),
  kernel: await part(kernelFile),
  ramdisk: await part('initrd'),
  loaders: join(dir, 'loaders'),
  bios: true,
  bootFileBytes: GIB,
})

/** The raw bytes of an image of the store. */
async function unpack(id: string, to: string, sizeBytes: number): Promise<void> {
  const index = await store.find(id)
  const data = await readFile(store.dataPath(id))
  await writeFile(to, '')
  await truncate(to, sizeBytes)
  const file = await open(to, 'r+')
  for (const [number, piece] of index.pieces.entries()) {
    if (piece.zero) continue
    const frame = join(dir, 'frame')
    await writeFile(frame, data.subarray(piece.at, piece.at + piece.lengthBytes))
    await tool('zstd', '-dqf', frame, '-o', `${frame}.raw`)
    const bytes = await readFile(`${frame}.raw`)
    await file.write(bytes, 0, bytes.length, number * index.pieceBytes)
  }
  await file.close()
}

interface Table {
  readonly partitiontable: { readonly partitions: { start: number; size: number; type: string; name: string }[] }
}
const tableOf = async (disk: string) =>
  (JSON.parse(await tool('sfdisk', '--json', disk)) as Table).partitiontable.partitions.map(
    ({ start, size, name }) => `${name} ${start / 2048}+${size / 2048}`,
  )

/** A part of a disk, as a file of its own. */
async function cut(disk: string, startMib: number, sizeMib: number): Promise<string> {
  const to = join(dir, `cut-${startMib}`)
  await tool(
    'dd',
    `if=${disk}`,
    `of=${to}`,
    'bs=1M',
    `skip=${startMib}`,
    `count=${sizeMib}`,
    'conv=sparse',
    'status=none',
  )
  await truncate(to, sizeMib * MIB)
  return to
}

describe('the plan', () => {
  test('of the table', () => {
    expect(diskScript(20 * MIB + 1)).toMatchInlineSnapshot(`
      "label: gpt
      label-id: 6b5f0c0e-7d2a-4f1b-8e21-52ac0d12deb1
      start=1MiB, size=1MiB, type=21686148-6449-6E6F-744E-656564454649, uuid=6b5f0c0e-7d2a-4f1b-8e22-52ac0d12deb1, name=bios
      start=2MiB, size=512MiB, type=U, uuid=6b5f0c0e-7d2a-4f1b-8e22-52ac0d12deb2, name=esp
      start=514MiB, size=21MiB, type=L, uuid=6b5f0c0e-7d2a-4f1b-8e22-52ac0d12deb3, name=root
      "
    `)
  })

  const wish = { diskBytes: 10 * GIB, imageBytes: 2 * GIB, driveBytes: 64 * MIB, rootBytes: null, swapBytes: 0 }
  test.each([
    ['the rest of the disk', {}, { rootMib: 10 * 1024 - 1 - 64 - 514, swap: null }],
    ['without a config drive', { driveBytes: 0 }, { rootMib: 10 * 1024 - 1 - 514, swap: null }],
    ['of its size', { rootBytes: 4 * GIB }, { rootMib: 4096, swap: null }],
    [
      'with swap in front of the config drive',
      { swapBytes: 512 * MIB },
      { rootMib: 10 * 1024 - 1 - 64 - 512 - 514, swap: { startMib: 10 * 1024 - 1 - 64 - 512, sizeMib: 512 } },
    ],
  ])('root: %s', (_, change, plan) => expect(finishPlan({ ...wish, ...change })).toEqual(plan))

  test.each([
    [{ rootBytes: 10 * GIB }, /instance_info\/root_gb: the root file system may have/],
    [{ rootBytes: GIB }, /instance_info\/root_gb: the file system of the image has/],
    [{ swapBytes: 9 * GIB }, /the file system of the image has .* are left for it/],
  ])('what does not fit: %j', (change, message) => expect(() => finishPlan({ ...wish, ...change })).toThrow(message))

  test('a disk that has what is needed holds everything, and nothing overlaps', () => {
    fc.assert(
      fc.property(
        fc.record({
          imageBytes: fc
            .integer({ min: (ROOT_START_MIB + 2) * MIB, max: 20 * GIB })
            .map((bytes) => Math.ceil(bytes / MIB) * MIB),
          driveBytes: fc.constantFrom(0, 64 * MIB),
          rootGib: fc.option(fc.integer({ min: 20, max: 100 })),
          swapBytes: fc.integer({ min: 0, max: 8 * GIB }),
          more: fc.integer({ min: MIB, max: GIB }),
        }),
        ({ rootGib, more, ...rest }) => {
          const one = { ...rest, rootBytes: rootGib === null ? null : rootGib * GIB }
          const diskBytes = neededBytes(one) + more
          const { rootMib, swap } = finishPlan({ ...one, diskBytes })
          const rootEnd = ROOT_START_MIB + rootMib
          const drive = Math.floor(diskBytes / MIB) - 1 - one.driveBytes / MIB
          expect(rootMib * MIB).toBeGreaterThanOrEqual(leastRootBytes(one.imageBytes))
          expect(rootEnd).toBeLessThanOrEqual(swap?.startMib ?? drive)
          if (swap) expect(swap.startMib + swap.sizeMib).toBe(drive)
        },
      ),
    )
  })

  test('of the menu: always as long, and every word in quotes', () => {
    const menu = bootMenu(UUID, ['console=ttyS0,115200', 'a;b&c'])
    expect(menu).toHaveLength(MENU_BYTES)
    expect(menu.toString().trimEnd()).toMatchInlineSnapshot(`
      "# Written by Rackward for this server.
      set timeout=0
      menuentry 'Instance' {
        linux ($root)/kernel root=UUID=0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0 ro 'console=ttyS0,115200' 'a;b&c'
        initrd ($root)/ramdisk
      }"
    `)
    expect(() => bootMenu(UUID, ["a'b"])).toThrow(/GRUB would change/)
  })

  test.each([
    ['BIOS, and no loader for it', { bootMode: 'bios', bios: false }, /starts by UEFI alone/],
    ['BIOS, of an older conductor', { bootMode: 'bios' }, /starts by UEFI alone/],
    ['software RAID', { isVolume: true }, /software RAID/],
    ['sectors of 4 KiB', { disk: testDisk('/dev/sda', 10 * GIB, { logicalSectorBytes: 4096 }) }, /sectors of 4096/],
  ] as const)('a server with %s is refused before its disk is touched', (_, change, message) => {
    const at = { disk: testDisk('/dev/sda', 10 * GIB), bootMode: 'uefi', isVolume: false } as const
    expect(planPartitions(wish, at).rootMib).toBeGreaterThan(0)
    expect(planPartitions(wish, { ...at, bootMode: 'bios', bios: true })).toEqual(planPartitions(wish, at))
    expect(() => planPartitions(wish, { ...at, ...change })).toThrow(message)
  })
})

describe('the disk', () => {
  test('is made of its parts, ended by the agent, and sound in every part', { timeout: 300_000 }, async () => {
    const index = await importPartition(store, await request())
    expect(index).toMatchObject({ names: ['one'], signedLoader: true, architecture: 'x86_64' })
    const disk = join(dir, 'disk')
    await unpack(index.id, disk, index.sizeBytes)
    expect(await tableOf(disk)).toEqual(['bios 1+1', 'esp 2+512', 'root 514+20'])
    expect((await readFile(disk)).subarray(514 * MIB, 534 * MIB).equals(await readFile(join(dir, 'root.ext4')))).toBe(
      true,
    )

    // The disk of a server is larger.
    const diskBytes = 2 * GIB + 300 * MIB
    await truncate(disk, diskBytes)
    const about = { disk: testDisk(disk, diskBytes), index, clock: systemClock }
    const wish = { imageBytes: index.sizeBytes, driveBytes: 64 * MIB, rootBytes: GIB, swapBytes: 128 * MIB }
    const plan = planPartitions(wish, { disk: about.disk, bootMode: 'uefi', isVolume: false })
    expect(await fitTable(about)).toBe('gpt')
    await writeConfigDriveTable(about.disk, 'gpt')
    await fitPartitions(disk, plan)
    const file = await DiskFile.open(disk)
    const root = await fillPartitions(file, { plan, args: ['console=ttyS0'], swapUuid: SWAP_UUID })
    await file.close()
    expect(root).toMatchObject({ kind: 'ext4', uuid: UUID })

    expect(await tableOf(disk)).toEqual(['bios 1+1', 'esp 2+512', 'root 514+1024', 'config-2 2283+64', 'swap 2155+128'])
    expect(await tool('sfdisk', '--verify', disk)).toContain('No errors')
    const head = await readFile(await cut(disk, 0, 2))
    const core = await findCore(head.subarray(0, 512), (sector) =>
      Promise.resolve(head.subarray(sector * 512, (sector + 1) * 512)),
    )
    expect(core?.at).toBe(MIB / 512)
    expect(core?.sectors).toBeLessThan(MIB / 512)
    const grown = await cut(disk, 514, 1024)
    await growExt4(grown)
    await tool('e2fsck', '-fn', grown)
    expect(await tool('dumpe2fs', '-h', grown)).toMatch(/Block count: +(262144|1048576)\n/)
    await tool('fsck.vfat', '-n', await cut(disk, 2, 512))
    const swap = await cut(disk, 2155, 128)
    expect(await tool('blkid', '-p', '-o', 'export', swap)).toMatch(new RegExp(`UUID=${SWAP_UUID}\\n[^]*TYPE=swap`))
    const esp = `${disk}${ESP}`
    expect(await tool('mtype', '-i', esp, '::/grub/grub.cfg')).toBe(bootMenu(UUID, ['console=ttyS0']).toString())
    const files = { vmlinuz: 'kernel', initrd: 'ramdisk', 'loaders/grubx64.efi': 'EFI/BOOT/grubx64.efi' }
    for (const [from, to] of Object.entries({ ...files, 'loaders/bootx64.efi': 'EFI/BOOT/BOOTX64.EFI' })) {
      await tool('mcopy', '-n', '-o', '-i', esp, `::/${to}`, join(dir, 'back'))
      expect((await readFile(join(dir, 'back'))).equals(await readFile(join(dir, from)))).toBe(true)
    }
  })

  test('of the same parts is the same, in another file too, wrapped or not', { timeout: 300_000 }, async () => {
    const first = await importPartition(store, await request())
    await tool('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', join(dir, 'root.ext4'), join(dir, 'root.qcow2'))
    await tool('zstd', '-qf', join(dir, 'root.qcow2'), '-o', join(dir, 'root.qcow2.zst'))
    const again = { ...(await request('root.qcow2.zst')), name: 'two' }
    expect((await importPartition(store, again)).id).toBe(first.id)
  })

  test('keeps nothing but itself in the store', async () => {
    const { id } = await importPartition(store, await request())
    expect((await readdir(join(store.root, id))).toSorted()).toEqual(['data.zst', 'index.json'])
  })

  test('without a loader for BIOS begins with an empty boot sector', { timeout: 300_000 }, async () => {
    const index = await importPartition(store, { ...(await request()), name: 'uefi', bios: false })
    const disk = join(dir, 'uefi-disk')
    await unpack(index.id, disk, index.sizeBytes)
    const head = await readFile(await cut(disk, 0, 2))
    expect(head.subarray(0, 440).every((byte) => byte === 0)).toBe(true)
    expect(head.subarray(MIB).every((byte) => byte === 0)).toBe(true)
  })

  test('a kernel without a signature is known to be stopped by Secure Boot', async () => {
    await writeFile(join(dir, 'unsigned'), kernel(false))
    expect(await checkKernel(join(dir, 'unsigned'))).toEqual({ signed: false })
    expect(await checkKernel(join(dir, 'vmlinuz'))).toEqual({ signed: true })
  })

  test('parts that are something else are refused', async () => {
    await expect(importPartition(store, await request('root.ext4', 'initrd'))).rejects.toThrow(/no Linux kernel/)
    await expect(importPartition(store, await request('initrd'))).rejects.toThrow(/no file system that is known/)
    const good = await request()
    const other = { ...good, ramdisk: { ...good.ramdisk, checksum: { algo: 'sha256' as const, hex: 'a'.repeat(64) } } }
    await expect(importPartition(store, other)).rejects.toThrow(/has another SHA-256/)
    await expect(importPartition(store, { ...good, bootFileBytes: MIB })).rejects.toThrow(/limits.images.bootFileBytes/)
    expect((await run(['ls', '-A', store.root], { timeoutMs: 10_000 })).stdout).not.toContain('.part')
  })
})
