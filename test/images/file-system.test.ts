/** The file system of a partition image: UUID and size as mke2fs and blkid say them, and what is refused by name. */
import { mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { fileSystemOf, rootFileSystem, VOLUME_HEAD_BYTES } from '../../images/file-system.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { run, runOk } from '../../kit/run.ts'

const MIB = 1024 * 1024
const UUID = '0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0'
let dir = ''
beforeAll(async () => (dir = await mkdtemp(join(tmpdir(), 'rackward-file-system-'))))
afterAll(() => rm(dir, { recursive: true }))

const uuidBytes = () => Buffer.from(UUID.replaceAll('-', ''), 'hex')
const head = () => Buffer.alloc(VOLUME_HEAD_BYTES)

async function extImage(kind: string, ...options: string[]): Promise<string> {
  const path = join(dir, kind)
  await writeFile(path, '')
  await truncate(path, 16 * MIB)
  await runOk(['mke2fs', '-q', '-F', '-t', kind, '-U', UUID, ...options, path], { timeoutMs: 60_000 })
  return path
}

/** As xfsprogs lays it out: block size, number of blocks, UUID, and what blkid looks at beside them. */
function xfsHead(): Buffer {
  const block = head()
  block.write('XFSB', 0, 'latin1')
  block.writeUInt32BE(4096, 4)
  block.writeBigUInt64BE(4096n, 8)
  uuidBytes().copy(block, 32)
  block.writeUInt32BE(1, 80)
  block.writeUInt32BE(1024, 84)
  block.writeUInt32BE(4, 88)
  block.writeUInt16BE(0x4, 100)
  block.writeUInt16BE(512, 102)
  block.writeUInt16BE(512, 104)
  block.writeUInt16BE(8, 106)
  for (const [at, log] of [12, 9, 9, 3, 10].entries()) block.writeUInt8(log, 120 + at)
  block.writeUInt8(25, 127)
  return block
}

function btrfsHead(devices = 1n): Buffer {
  const block = head()
  uuidBytes().copy(block, 0x10020)
  block.write('_BHRfS_M', 0x10040, 'latin1')
  block.writeBigUInt64LE(BigInt(16 * MIB), 0x10070)
  block.writeBigUInt64LE(devices, 0x10088)
  return block
}

describe('known file systems', () => {
  test.each([
    ['ext4', []],
    ['ext4', ['-O', '64bit', '-b', '4096']],
    ['ext2', ['-b', '1024']],
  ])('%s %j', async (kind, options) => {
    const bytes = await readFile(await extImage(kind, ...options))
    expect(rootFileSystem(bytes.subarray(0, VOLUME_HEAD_BYTES), bytes.length)).toEqual({
      kind: 'ext4',
      uuid: UUID,
      sizeBytes: 16 * MIB,
    })
  })

  test('XFS, as blkid reads it', async () => {
    const path = join(dir, 'xfs')
    await writeFile(path, xfsHead())
    await truncate(path, 16 * MIB)
    expect((await runOk(['blkid', '-p', '-o', 'value', '-s', 'UUID', path], { timeoutMs: 10_000 })).trim()).toBe(UUID)
    expect(rootFileSystem(xfsHead(), 16 * MIB)).toEqual({ kind: 'xfs', uuid: UUID, sizeBytes: 16 * MIB })
  })

  test('btrfs of one device', () => {
    expect(rootFileSystem(btrfsHead(), 16 * MIB)).toEqual({ kind: 'btrfs', uuid: UUID, sizeBytes: 16 * MIB })
    expect(fileSystemOf(btrfsHead(2n))).toBeUndefined()
  })

  test('one that is cut short is refused', () => {
    expect(() => rootFileSystem(xfsHead(), 16 * MIB - 1)).toThrow(/xfs file system .* cut short/)
  })
})

describe('what is no root file system', () => {
  test.each([
    ['squashfs', 0, 'hsqs'],
    ['NTFS', 3, 'NTFS    '],
    ['FAT32', 82, 'FAT32   '],
    ['LVM', 512, 'LABELONE'],
    ['swap', 4086, 'SWAPSPACE2'],
    ['ISO 9660', 32_769, 'CD001'],
    ['tar archive', 257, 'ustar'],
    ['cpio archive', 0, '070701'],
  ])('%s by its name', (name, at, magic) => {
    const bytes = head()
    bytes.write(magic, at, 'latin1')
    expect(() => rootFileSystem(bytes, MIB)).toThrow(`holds ${name}: give ext4, XFS or btrfs`)
  })

  test('a swap area, as mkswap makes it', async () => {
    const path = join(dir, 'swap')
    await writeFile(path, Buffer.alloc(MIB))
    if ((await run(['mkswap', path], { timeoutMs: 10_000 })).code !== 0) throw new Error('mkswap failed')
    const bytes = (await readFile(path)).subarray(0, VOLUME_HEAD_BYTES)
    expect(() => rootFileSystem(bytes, MIB)).toThrow('holds swap')
  })

  test('a whole disk, with the remedy', async () => {
    const path = join(dir, 'disk')
    await writeFile(path, '')
    await truncate(path, 4 * MIB)
    await runOk(['sfdisk', '--quiet', '--label', 'gpt', path], { timeoutMs: 10_000, input: 'start=1MiB, type=L\n' })
    const bytes = (await readFile(path)).subarray(0, VOLUME_HEAD_BYTES)
    expect(() => rootFileSystem(bytes, 4 * MIB)).toThrow(/whole-disk image: leave out image_type, kernel and ramdisk/)
  })

  test('anything else, without a crash', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
        expect(() => rootFileSystem(Buffer.from(bytes), bytes.length)).toThrow(/image holds|partition table/)
      }),
    )
  })
})

test('an import of a whole disk refuses a file system by its name', async () => {
  const source = await extImage('ext4')
  await expect(importImage(new ImageStore(join(dir, 'store')), { source, name: 'one' })).rejects.toThrow(
    /one ext4 file system, a partition image, and no whole disk: deploy it with instance_info\/kernel/,
  )
})
