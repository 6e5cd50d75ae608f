/** The kernel of a disk image: found in real ext4 file systems behind real partition tables, never guessed, and never
 *  the end of the program that looks. */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { mkdir, mkdtemp, open, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { diskKernel } from '../../images/boot-kernel.ts'
import { firstEntry } from '../../images/grub-menu.ts'
import type { BootFile } from '../../images/index.ts'
import { runOk } from '../../kit/run.ts'

const MIB = 1024 * 1024
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-kernel-'))
})
afterEach(async () => await rm(dir, { recursive: true }))

const MENU = `set timeout=0
menuentry "Linux" {
  search --fs-uuid --set=root 7a1c
  linux /vmlinuz root=UUID=7a1c ro console=ttyS0,115200n8
  initrd /initrd.img
}
`
const KERNEL = Buffer.alloc(MIB + 17, 'kernel')
const INITRD = Buffer.alloc(2 * MIB + 3, 'initrd')

/** A disk with a small first partition and the tree in the second one. */
async function disk(label: 'gpt' | 'dos', menu: string, more: readonly string[] = []): Promise<string> {
  const [tree, path, part] = [join(dir, 'tree'), join(dir, 'disk'), join(dir, 'part')]
  await rm(tree, { recursive: true, force: true })
  await mkdir(join(tree, 'boot/grub'), { recursive: true })
  await writeFile(join(tree, 'boot/grub/grub.cfg'), menu)
  await writeFile(join(tree, 'boot/vmlinuz-6.1'), KERNEL)
  await writeFile(join(tree, 'boot/initrd.img-6.1'), INITRD)
  await symlink('boot/vmlinuz-6.1', join(tree, 'vmlinuz'))
  await symlink('/boot/initrd.img-6.1', join(tree, 'initrd.img'))
  await writeFile(part, '')
  await truncate(part, 48 * MIB)
  await runOk(['mke2fs', '-q', '-t', 'ext4', ...more, '-d', tree, part], { timeoutMs: 60_000 })
  await writeFile(path, '')
  await truncate(path, 64 * MIB)
  const script = `label: ${label}\nstart=2048, size=2048\nstart=8192, size=98304\n`
  await runOk(['sfdisk', '-q', path], { timeoutMs: 60_000, input: script })
  const file = await open(path, 'r+')
  await file.write(await readFile(part), 0, 48 * MIB, 8192 * 512)
  await file.close()
  return path
}

async function bytesOf(path: string, { extents }: BootFile): Promise<Buffer> {
  const all = await readFile(path)
  return Buffer.concat(extents.map(({ at, lengthBytes }) => all.subarray(at, at + lengthBytes)))
}

test.each([
  ['gpt', []],
  ['dos', ['-b', '1024']],
  ['gpt', ['-O', '^64bit,^metadata_csum,^flex_bg']],
] as const)('behind a %s table, in ext4 made with %j', async (label, options) => {
  const path = await disk(label, MENU, options)
  const found = await diskKernel(path)
  expect(found?.args).toBe('root=UUID=7a1c ro console=ttyS0,115200n8')
  if (!found) return
  for (const [file, bytes] of [
    [found.kernel, KERNEL],
    [found.initrd, INITRD],
  ] as const) {
    expect((await bytesOf(path, file)).equals(bytes)).toBe(true)
    expect(file.sha256).toBe(createHash('sha256').update(bytes).digest('hex'))
  }
})

test.each([
  ['the kernel is missing', MENU.replace('/vmlinuz', '/nothing')],
  ['there is no initramfs', MENU.replace(/ {2}initrd.*\n/, '')],
  ['the arguments are a variable', MENU.replace(' ro ', ' $kernelopts ')],
  ['a link leads to a directory', MENU.replace('/vmlinuz', '/boot')],
])('%s: no kernel is told', async (_, menu) => {
  expect(await diskKernel(await disk('gpt', menu))).toBeUndefined()
})

test('ext2 without extents, an empty disk and a disk that is cut off have no kernel', async () => {
  const path = await disk('gpt', MENU)
  await truncate(path, 9 * MIB)
  expect(await diskKernel(path)).toBeUndefined()
  expect(await diskKernel(await disk('gpt', MENU, ['-O', '^extents,^64bit']))).toBeUndefined()
  await writeFile(path, '')
  expect(await diskKernel(path)).toBeUndefined()
})

test('the menu of a distribution: its first entry, with two archives', () => {
  const text = `set default="0"
function savedefault {
}
menuentry 'Debian GNU/Linux' --class debian $menuentry_id_option 'gnulinux-simple' {
	load_video
	if [ x$grub_platform = xxen ]; then insmod xzio; insmod lzopio; fi
	linux	/boot/vmlinuz-6.1.0-18-amd64 root=UUID=3e1 ro  quiet
	initrd	/boot/intel-ucode.img /boot/initrd.img-6.1.0-18-amd64
}
menuentry 'another' {
	linux /other
	initrd /other
}`
  expect(firstEntry(text)).toEqual({
    kernel: '/boot/vmlinuz-6.1.0-18-amd64',
    initrds: ['/boot/intel-ucode.img', '/boot/initrd.img-6.1.0-18-amd64'],
    args: 'root=UUID=3e1 ro  quiet',
  })
  expect(firstEntry(text.replace('default="0"', 'default="1"'))).toBeUndefined()
  expect(firstEntry(text.replace('default="0"', 'default="${saved_entry}"'))).toBeUndefined()
  expect(firstEntry(text.replace('set default="0"', 'set default="${next_entry}"\nset default="0"'))).toBeDefined()
  expect(firstEntry('set timeout=0')).toBeUndefined()
})

test.each(['ro; halt', 'ro # quiet', 'ro && reboot', 'ro $(id)', "ro 'a b'"])(
  'arguments that GRUB would not hand over as they stand are not told: %s',
  (args) => {
    const menu = MENU.replace('ro console=ttyS0,115200n8', args)
    expect(firstEntry(menu)).toBeUndefined()
  },
)

test('a menu of long lines and of many archives is not understood, and is read in no time', () => {
  const beganMs = performance.now()
  const long = `menuentry "x" {\nlinux ${'a'.repeat(240_000)}\u2028b\u2028c\ninitrd /i\n}\n`
  expect(firstEntry(long)).toBeUndefined()
  expect(firstEntry(MENU.replace('/initrd.img', '/i '.repeat(80_000)))).toBeUndefined()
  expect(firstEntry(MENU.replace('/vmlinuz', '/..'.repeat(80_000)))).toBeUndefined()
  expect(performance.now() - beganMs).toBeLessThan(5_000)
})

/** Changes bytes of a disk. */
async function patch(path: string, at: number, bytes: Buffer): Promise<void> {
  const file = await open(path, 'r+')
  await file.write(bytes, 0, bytes.length, at)
  await file.close()
}

test('a file system whose journal was not replayed has no kernel that can be told', async () => {
  const path = await disk('gpt', MENU)
  const incompatible = 8192 * 512 + 1024 + 96
  const flags = (await readFile(path)).readUInt32LE(incompatible)
  const dirty = Buffer.alloc(4)
  dirty.writeUInt32LE(flags | 4)
  await patch(path, incompatible, dirty)
  expect(await diskKernel(path)).toBeUndefined()
})

test('a tree of extents that leads into itself is left after few reads; one as it should be is followed', async () => {
  const start = 8192 * 512
  const path = await disk('gpt', MENU, ['-b', '4096', '-O', '^64bit,^metadata_csum,^flex_bg'])
  const whole = await readFile(path)
  const inodes = start + whole.readUInt32LE(start + 4096 + 8) * 4096
  const inodeBytes = whole.readUInt16LE(start + 1024 + 88)
  const head = (depth: number, entries: number) => {
    const bytes = Buffer.alloc(12)
    bytes.writeUInt16LE(0xf30a, 0)
    bytes.writeUInt16LE(entries, 2)
    bytes.writeUInt16LE(340, 4)
    bytes.writeUInt16LE(depth, 6)
    return bytes
  }
  const indexTo = (block: number) => {
    const bytes = Buffer.alloc(12)
    bytes.writeUInt32LE(block, 4)
    return bytes
  }
  const place = inodes + inodeBytes + 40
  const extent = whole.subarray(place + 12, place + 24)
  await patch(path, start + 8_000 * 4096, Buffer.concat([head(0, 1), extent]))
  await patch(path, place, Buffer.concat([head(1, 1), indexTo(8_000)]))
  expect(await diskKernel(path)).toBeDefined()

  // The root directory: levels, each of which names the level below 340 times, and leaves without an extent.
  const first = 8_000
  await patch(path, place, Buffer.concat([head(5, 4), ...Array<Buffer>(4).fill(indexTo(first))]))
  for (let depth = 4; depth >= 0; depth -= 1) {
    const entries = depth === 0 ? [] : Array<Buffer>(340).fill(indexTo(first + 5 - depth))
    await patch(path, start + (first + 4 - depth) * 4096, Buffer.concat([head(depth, entries.length), ...entries]))
  }
  expect(await diskKernel(path)).toBeUndefined()
})

test('a property: bytes that are changed anywhere end nothing and loop nowhere', async () => {
  const path = await disk('gpt', MENU)
  const whole = await readFile(path)
  const start = 8192 * 512
  // Tables, descriptors, inodes, directories and the first data.
  const place = fc.oneof(
    fc.nat(40_000),
    fc.nat(2 * MIB).map((at) => start + at),
  )
  const change = fc.tuple(place, fc.uint8Array({ minLength: 1, maxLength: 32 }))
  await fc.assert(
    fc.asyncProperty(fc.array(change, { minLength: 1, maxLength: 60 }), async (changes) => {
      const file = await open(path, 'r+')
      for (const [at, bytes] of changes) await file.write(bytes, 0, bytes.length, at)
      await file.close()
      const found = await diskKernel(path)
      if (found) expect(found.kernel.sizeBytes).toBeGreaterThan(0)
      const restored = await open(path, 'r+')
      for (const [at, { length }] of changes) await restored.write(whole, at, length, at)
      await restored.close()
    }),
    { numRuns: 60 },
  )
})
