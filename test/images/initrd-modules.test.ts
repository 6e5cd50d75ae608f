/** The modules of an initramfs, read from archives that real programs made: by one archive after the other, compressed
 *  or not; what is no such archive, or has no end, is not known. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import fc from 'fast-check'
import { modulesIn, versionOf } from '../../images/initrd-modules.ts'
import { runOk } from '../../kit/run.ts'

let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-initrd-'))
})
afterEach(async () => await rm(dir, { recursive: true }))

const VERSION = '6.1.0-56-amd64'
const at = (path: string, version = VERSION) => `usr/lib/modules/${version}/${path}`
const TREE = {
  init: '#!/bin/sh\n',
  [at('modules.builtin')]: 'kernel/drivers/scsi/sd_mod.ko\nkernel/drivers/pci/pcieport.ko\n',
  [at('kernel/drivers/nvme/host/nvme-core.ko')]: 'x'.repeat(5001),
  [at('kernel/drivers/nvme/host/nvme.ko.xz')]: 'y',
  [at('kernel/drivers/ata/ahci.ko.zst')]: '',
  [at('modules.dep')]: 'kernel/drivers/net/e1000.ko:\n',
}
const NAMES = ['ahci', 'nvme', 'nvme_core', 'pcieport', 'sd_mod']

async function archive(tree: Readonly<Record<string, string>>, filter = 'cat'): Promise<Buffer> {
  const top = await mkdtemp(join(dir, 'top-'))
  for (const [path, content] of Object.entries(tree)) {
    await mkdir(dirname(join(top, path)), { recursive: true })
    await writeFile(join(top, path), content)
  }
  const out = `${top}.cpio`
  const script = 'cd "$1" && find . | cpio --quiet -o -H newc | $3 > "$2"'
  await runOk(['bash', '-euo', 'pipefail', '-c', script, 'pack', top, out, filter], { timeoutMs: 60_000 })
  return readFile(out)
}

function emptyFile(name: string): Buffer {
  const hex = (number: number) => number.toString(16).padStart(8, '0')
  const fields = Array.from({ length: 13 }, (_, i) => hex(i === 11 ? name.length + 1 : 0)).join('')
  const head = `070701${fields}${name}\0`
  return Buffer.from(head.padEnd(Math.ceil(head.length / 4) * 4, '\0'), 'latin1')
}

async function* cut(bytes: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let from = 0; from < bytes.length; from += pieceBytes) yield bytes.subarray(from, from + pieceBytes)
}
const modules = (bytes: Buffer, version: string | undefined = VERSION, pieceBytes = 4096) =>
  modulesIn(cut(bytes, pieceBytes), version)

test.each(['cat', 'gzip -c', 'zstd -qc', 'xz -c --check=crc32'])('an archive by "%s"', async (filter) => {
  expect(await modules(await archive(TREE, filter))).toEqual(NAMES)
})

test('microcode as it is, modules as they are, and the rest compressed, with zeros between them', async () => {
  const [init, ...rest] = Object.entries(TREE)
  const bytes = Buffer.concat([
    await archive({ 'kernel/x86/microcode/GenuineIntel.bin': 'z'.repeat(3000) }),
    Buffer.alloc(1020),
    await archive(Object.fromEntries(rest)),
    await archive(Object.fromEntries([init as [string, string]]), 'zstd -qc'),
  ])
  for (const pieceBytes of [1, 777, 1024 * 1024]) expect(await modules(bytes, VERSION, pieceBytes)).toEqual(NAMES)
})

test('modules of another kernel are none; without the list of what is built in, nothing is known', async () => {
  const other = Object.fromEntries(Object.entries(TREE).map(([path, text]) => [path.replace(VERSION, '5.10.0'), text]))
  expect(await modules(await archive(other))).toEqual([])
  expect(await modulesIn(cut(await archive(other), 4096), undefined)).toEqual(NAMES)
  expect(await modulesIn(cut(await archive({ ...TREE, ...other }), 4096), undefined)).toBeUndefined()
  const { [at('modules.builtin')]: _, ...without } = TREE
  expect(await modules(await archive(without))).toBeUndefined()
})

test('what is cut off, packed twice, or of no known kind is not known', async () => {
  const whole = await archive(TREE, 'zstd -qc')
  expect(await modules(whole.subarray(0, whole.length - 20))).toBeUndefined()
  const plain = await archive(TREE)
  expect(await modules(plain.subarray(0, 3000))).toBeUndefined()
  await writeFile(join(dir, 'packed'), whole)
  await runOk(['gzip', join(dir, 'packed')], { timeoutMs: 60_000 })
  expect(await modules(await readFile(join(dir, 'packed.gz')))).toBeUndefined()
  expect(await modules(Buffer.from('BZh91AY&SY'))).toBeUndefined()
  expect(await modules(Buffer.alloc(0))).toBeUndefined()
})

test('modules for more kernels than there are in any initramfs, or more of them, are not known', async () => {
  const tree = (count: number) => ({
    ...TREE,
    ...Object.fromEntries(Array.from({ length: count }, (_, i) => [at('modules.builtin', `6.1.${i}`), 'x'])),
  })
  expect(await modules(await archive(tree(15)))).toEqual(NAMES)
  expect(await modules(await archive(tree(16)))).toBeUndefined()
  const others = Array.from({ length: 20_001 }, (_, i) => emptyFile(at(`kernel/m${i}.ko`, '5.10.0')))
  const whole = await archive(TREE)
  expect(await modules(Buffer.concat([whole, ...others.slice(0, 10_000)]))).toEqual(NAMES)
  expect(await modules(Buffer.concat([whole, ...others]))).toBeUndefined()
})

test('a long line that names no module takes no time worth naming', async () => {
  const bytes = await archive({ ...TREE, [at('modules.builtin')]: `${'a'.repeat(256 * 1024)}\nkernel/sd_mod.ko\n` })
  const beforeMs = performance.now()
  expect(await modules(bytes)).toContain('sd_mod')
  expect(performance.now() - beforeMs).toBeLessThan(10_000)
})

test('a property: no change of a byte ends more than the look', async () => {
  const plain = await archive(TREE)
  await fc.assert(
    fc.asyncProperty(fc.nat(plain.length - 1), fc.integer({ min: 0, max: 255 }), async (place, byte) => {
      const broken = Buffer.from(plain)
      broken[place] = byte
      const found = await modules(broken)
      expect(found === undefined || Array.isArray(found)).toBe(true)
    }),
  )
})

test('the version of a kernel for x86 stands where its header says', () => {
  const kernel = Buffer.alloc(16_384)
  kernel.write('HdrS', 0x202, 'latin1')
  kernel.writeUInt16LE(0x3000, 0x20e)
  kernel.write('6.1.0-56-amd64 (debian-kernel@lists.debian.org) #1 SMP\0', 0x3200, 'latin1')
  expect(versionOf(kernel)).toBe(VERSION)
  expect(versionOf(kernel.subarray(0, 0x3205))).toBeUndefined()
  kernel.writeUInt16LE(0, 0x20e)
  expect(versionOf(kernel)).toBeUndefined()
  expect(versionOf(Buffer.alloc(16_384))).toBeUndefined()
})
