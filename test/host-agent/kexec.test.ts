/** The kernel of an image, read from the disk by the places of the index: proven, loaded, and every refusal told in
 *  words that the conductor can pass on. */
import { createHash } from 'node:crypto'
import { mkdir, mkdtemp, readdir, readFile, rm, symlink } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { ImageIndex } from '../../conductor/api/agent-wire.ts'
import { readDrivers } from '../../host-agent/deploy/disk-drivers.ts'
import { jump, takeKernel, type LoadParts } from '../../host-agent/deploy/kexec.ts'
import type { Run, RunResult } from '../../kit/run.ts'

let scratch = ''
beforeEach(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'rackward-kexec-'))
})
afterEach(async () => await rm(scratch, { recursive: true }))

const DISK = Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7) % 251))
const disk = { read: async (into: Buffer, at: number) => void DISK.copy(into, 0, at, at + into.length) }
const fileAt = (...places: [at: number, lengthBytes: number][]) => {
  const bytes = Buffer.concat(places.map(([at, length]) => DISK.subarray(at, at + length)))
  return {
    bytes,
    file: {
      sha256: createHash('sha256').update(bytes).digest('hex'),
      sizeBytes: bytes.length,
      extents: places.map(([at, lengthBytes]) => ({ at, lengthBytes })),
    },
  }
}
const DRIVERS = ['virtio_blk', 'virtio_pci']
const kernel = fileAt([40_000, 5_000], [1_000, 2_000])
const initrd = fileAt([60_000, 9_000])
const bootKernel = { kernel: kernel.file, initrd: initrd.file, args: 'root=UUID=7a1c ro' }
const loadKernel = async (parts: LoadParts) => (await takeKernel(parts)).loading
const load = (index: Pick<ImageIndex, 'bootKernel' | 'sizeBytes'>, answer: Partial<RunResult> = {}) => {
  const calls: { argv: readonly string[]; files: Buffer[] }[] = []
  const run: Run = async (argv) => {
    const files = [argv[3] ?? '', (argv[4] ?? '').replace('--initrd=', '')]
    calls.push({ argv, files: await Promise.all(files.map((path) => readFile(path))) })
    return { code: 0, stdout: '', stderr: '', ...answer }
  }
  return loadKernel({ disk, index, run, scratch, drivers: DRIVERS }).then((ready) => ({ ready, calls }))
}

test('kernel and initramfs are put together from their places, and loaded with the arguments of the image', async () => {
  const { ready, calls } = await load({ bootKernel, sizeBytes: DISK.length })
  expect(ready).toEqual({ ready: true })
  expect(calls).toHaveLength(1)
  expect(calls[0]?.argv.slice(0, 3)).toEqual(['kexec', '--kexec-file-syscall', '--load'])
  expect(calls[0]?.argv.at(-1)).toBe('--command-line=root=UUID=7a1c ro')
  expect(calls[0]?.files.map((bytes, i) => bytes.equals([kernel.bytes, initrd.bytes][i] as Buffer))).toEqual([
    true,
    true,
  ])
  expect(await readdir(scratch)).toEqual([])
})

test('a large file is read in pieces, whose order is kept', async () => {
  const sizeBytes = 9 * 1024 * 1024 + 5
  const content = Buffer.from(Array.from({ length: 4096 }, (_, i) => (i * 7) % 251))
  const whole = Buffer.alloc(sizeBytes, content)
  const sha256 = createHash('sha256').update(whole).digest('hex')
  const reads: number[] = []
  const large = {
    read: async (into: Buffer, at: number) => {
      reads.push(into.length)
      whole.copy(into, 0, at, at + into.length)
    },
  }
  const file = { sha256, sizeBytes, extents: [{ at: 0, lengthBytes: sizeBytes }] }
  const index = { sizeBytes, bootKernel: { ...bootKernel, kernel: file, initrd: file } }
  const run: Run = async () => ({ code: 0, stdout: '', stderr: '' })
  expect(await loadKernel({ disk: large, index, run, scratch, drivers: DRIVERS })).toEqual({ ready: true })
  expect(Math.max(...reads)).toBeLessThanOrEqual(4 * 1024 * 1024)
})

const other = { ...kernel.file, sha256: '0'.repeat(64) }
test.each([
  ['an image without one', { sizeBytes: DISK.length }, /no kernel is known/],
  [
    'other bytes on the disk',
    { bootKernel: { ...bootKernel, kernel: other }, sizeBytes: DISK.length },
    /not those of the image/,
  ],
  ['a place beyond the image', { bootKernel, sizeBytes: 50_000 }, /ends before its kernel/],
])('%s is not loaded', async (_, index, why) => {
  const { ready, calls } = await load(index)
  expect(ready).toMatchObject({ ready: false, why: expect.stringMatching(why) })
  expect([calls, await readdir(scratch)]).toEqual([[], []])
})

test('a kernel without a module for the root disk is not loaded, and the module is named', async () => {
  const known = (...modules: string[]) => load({ bootKernel: { ...bootKernel, modules }, sizeBytes: DISK.length })
  const { ready, calls } = await known('ahci', 'nvme', 'virtio_pci')
  expect(ready).toEqual({
    ready: false,
    code: 'jump.driver',
    why: 'the kernel of the image and its initramfs have no module for the root disk: virtio_blk',
  })
  expect(calls).toEqual([])
  expect((await known('virtio_blk', 'virtio_pci')).ready).toEqual({ ready: true })
})

test('the modules of a disk are those of every device on the way to it; what is built in has none', async () => {
  const sys = await mkdtemp(join(tmpdir(), 'rackward-sys-'))
  try {
    const bus = 'devices/pci0000:00'
    const way = [bus, `${bus}/0000:00:03.0`, `${bus}/0000:00:03.0/virtio2`, `${bus}/0000:00:03.0/virtio2/block/vda`]
    const drive = async (device: string, driver: string, module?: string) => {
      await mkdir(join(sys, 'bus', driver), { recursive: true })
      if (module) {
        await mkdir(join(sys, 'module', module), { recursive: true })
        await symlink(join(sys, 'module', module), join(sys, 'bus', driver, 'module'))
      }
      await symlink(join(sys, 'bus', driver), join(sys, device, 'driver'))
    }
    await mkdir(join(sys, way[3] as string), { recursive: true })
    await mkdir(join(sys, 'block'))
    await symlink(join('..', way[3] as string), join(sys, 'block/vda'))
    await drive(way[0] as string, 'pcieport')
    await drive(way[1] as string, 'virtio-pci', 'virtio-pci')
    await drive(way[2] as string, 'virtio_blk', 'virtio_blk')
    expect(await readDrivers('/dev/vda', sys)).toEqual(['virtio_blk', 'virtio_pci'])
    expect(await readDrivers('/dev/vdb', sys)).toEqual([])
  } finally {
    await rm(sys, { recursive: true })
  }
})

test.each([
  ['kexec_file_load failed: Operation not permitted', /^Secure Boot refused the kernel of the image: kexec_file_load/],
  ['kexec_file_load failed: Key was rejected by service', /^Secure Boot refused/],
  ['kexec_file_load failed: Exec format error', /^the kernel of the image was not loaded: kexec_file_load/],
])('"%s" is told as what it means', async (stderr, why) => {
  const { ready } = await load({ bootKernel, sizeBytes: DISK.length }, { code: 255, stderr })
  expect(ready).toMatchObject({ ready: false, code: 'jump.refused', why: expect.stringMatching(why) })
  expect(await readdir(scratch)).toEqual([])
})

test('a jump that comes back is a fault', async () => {
  const run: Run = async (argv) => ({ code: 1, stdout: '', stderr: `${argv.join(' ')}: Device or resource busy\n` })
  await expect(jump(run)).rejects.toMatchObject({ code: 'agent.jump', message: expect.stringMatching(/busy/) })
})
