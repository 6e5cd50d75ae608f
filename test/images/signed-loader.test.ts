/** Whether the boot loader of an image is signed, and its architecture, read from disks that sfdisk and mtools made;
 *  and disks that are damaged, or made to mislead. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { importImage } from '../../images/import.ts'
import { diskLoader } from '../../images/signed-loader.ts'
import { ImageStore } from '../../images/store.ts'
import { loader, makeEfiDisk, type EspOptions } from './efi-disk.ts'

let dir = ''
let disk = ''
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-loader-'))
  disk = join(dir, 'disk')
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const hasSignature = async (path: string, where?: string) => (await diskLoader(path, where)).signed
const BOOT = 'EFI/BOOT/BOOTX64.EFI'
const look = async (options: EspOptions, where?: string) => {
  await makeEfiDisk(disk, options)
  return hasSignature(disk, where)
}

test.each([
  { label: 'gpt', bits: 32 },
  { label: 'gpt', bits: 16 },
  { label: 'dos', bits: 12 },
] as const)('$label, FAT$bits', async (kind) => {
  expect(await look({ ...kind, files: { [BOOT]: loader(true) } })).toBe(true)
  expect(await look({ ...kind, files: { [BOOT]: loader(false) } })).toBe(false)
})

test('FAT32 with fewer clusters than the specification wants, as it is on a small ESP, is FAT32', async () => {
  await makeEfiDisk(disk, { bits: 32, files: { [BOOT]: loader(true) } })
  const file = await open(disk, 'r+')
  const sectors = Buffer.alloc(4)
  sectors.writeUInt32LE(40_000)
  // The size of the file system; what was written lies at its beginning.
  await file.write(sectors, 0, 4, 1024 * 1024 + 32)
  await file.close()
  expect(await hasSignature(disk)).toBe(true)
})

test('the loader of iPXE as Debian has it is not signed', async () => {
  expect(await look({ files: { [BOOT]: await readFile('/usr/lib/ipxe/ipxe.efi') } })).toBe(false)
})

test('the loader that the boot entry names is the one that counts; that of arm64 is found', async () => {
  const files = { [BOOT]: loader(false), 'EFI/debian/shimx64.efi': loader(true) }
  expect(await look({ files })).toBe(false)
  expect(await hasSignature(disk, '\\EFI\\debian\\shimx64.efi')).toBe(true)
  expect(await look({ files: { 'EFI/BOOT/BOOTAA64.EFI': loader(true) } })).toBe(true)
})

test('behind many files, which fill a chain of clusters, it is found', async () => {
  const others = Object.fromEntries(
    Array.from({ length: 80 }, (_, i) => [`EFI/BOOT/a-file-with-a-long-name-${i}.txt`, Buffer.from('x')]),
  )
  expect(await look({ bits: 16, files: { ...others, [BOOT]: loader(true) } })).toBe(true)
})

test('nothing is said where there is no ESP, no loader, or no program', async () => {
  expect(await look({ files: {} })).toBeUndefined()
  expect(await look({ files: { [BOOT]: Buffer.from('#!/bin/sh') } })).toBeUndefined()
  await writeFile(disk, Buffer.alloc(100))
  expect(await hasSignature(disk)).toBeUndefined()
  const mbr = Buffer.alloc(1024 * 1024)
  mbr.writeUInt16LE(0xaa55, 510)
  await writeFile(disk, mbr)
  expect(await hasSignature(disk)).toBeUndefined()
})

test('a disk whose tables are noise ends the look, and never in an error', async () => {
  await makeEfiDisk(disk, { bits: 16, files: { [BOOT]: loader(true) } })
  const whole = await readFile(disk)
  const file = await open(disk, 'r+')
  try {
    // The table of partitions, the head of the file system, its table, its directories.
    for (const at of [446, 512, 1024, 1024 * 1024, 1024 * 1024 + 2048, 1024 * 1024 + 34 * 1024])
      for (let round = 0; round < 20; round += 1) {
        await file.write(randomBytes(64), 0, 64, at + round * 3)
        expect([true, false, undefined]).toContain(await hasSignature(disk))
        await file.write(whole, at, 256, at)
      }
  } finally {
    await file.close()
  }
})

test('an import keeps what was found', async () => {
  const store = new ImageStore(join(dir, 'store'))
  await makeEfiDisk(disk, { bits: 12, files: { [BOOT]: loader(false) } })
  await importImage(store, { source: disk, name: 'plain' })
  await makeEfiDisk(disk, { bits: 12, files: { [BOOT]: loader(true) } })
  await importImage(store, { source: disk, name: 'signed' })
  await makeEfiDisk(disk, { bits: 12, files: {} })
  await importImage(store, { source: disk, name: 'none' })
  const found = await Promise.all(
    ['plain', 'signed', 'none'].map(async (name) => (await store.find(name)).signedLoader),
  )
  expect(found).toEqual([false, true, undefined])
})

test('an import keeps the architecture of the loader; loaders of two architectures say nothing', async () => {
  const store = new ImageStore(join(dir, 'architectures'))
  const found = async (name: string, files: EspOptions['files']) => {
    await makeEfiDisk(disk, { files })
    return (await importImage(store, { source: disk, name })).architecture
  }
  const arm = 'EFI/BOOT/BOOTAA64.EFI'
  expect(await found('intel', { [BOOT]: loader(false) })).toBe('x86_64')
  expect(await found('arm', { [arm]: loader(true, 0xaa64) })).toBe('aarch64')
  expect(await found('both', { [BOOT]: loader(true), [arm]: loader(true, 0xaa64) })).toBeUndefined()
  expect(await found('riscv', { [BOOT]: loader(true, 0x5064) })).toBeUndefined()
  expect(await found('none', {})).toBeUndefined()
})
