/** Writing to a file that plays the disk: exact bytes, zeros over what was there, resumption, verification, and the
 *  boot sector last. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DiskFile } from '../../host-agent/deploy/disk.ts'
import { PieceServers } from '../../host-agent/deploy/piece-servers.ts'
import { dataRuns, zeroRuns } from '../../host-agent/deploy/runs.ts'
import { makeUnbootable, writeImage } from '../../host-agent/deploy/write-image.ts'
import { importImage } from '../../images/import.ts'
import { PIECE_BYTES, type ImageIndex } from '../../images/index.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until, type Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'

let dir = ''
let raw: Buffer
let index: ImageIndex
let data: Buffer
let server: Server
let dataUrl = ''
/** What the server does with the n-th request. */
let behave: (request: number) => 'serve' | 'break' | 'refuse' | 'corrupt' | 'garbage' = () => 'serve'
let requests: { from: number; to: number }[] = []
/** Pauses pass at once: what is tested is what happens, not when. */
const clock: Clock = { ...systemClock, sleep: async () => undefined }

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-write-'))
  const piece = () => randomBytes(PIECE_BYTES)
  raw = Buffer.concat([
    piece(),
    Buffer.alloc(PIECE_BYTES),
    ...Array.from({ length: 10 }, piece),
    Buffer.alloc(3 * PIECE_BYTES),
    piece(),
    randomBytes(5000),
  ])
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'raw'), raw)
  const store = new ImageStore(join(dir, 'store'))
  index = await importImage(store, { source: join(dir, 'raw'), name: 'i' })
  data = await readFile(store.dataPath(index.id))
  server = createServer((request, response) => {
    const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    requests.push({ from, to })
    const what = behave(requests.length)
    if (what === 'refuse') return void request.socket.destroy()
    const bytes = Buffer.from(data.subarray(from, to + 1))
    if (what === 'garbage') bytes.fill(0)
    if (what === 'corrupt') bytes.fill(0x5a, Math.floor(bytes.length / 2), Math.floor(bytes.length / 2) + 64)
    response.writeHead(206, { 'content-length': bytes.length })
    if (what === 'break')
      return void response.write(bytes.subarray(0, Math.floor(bytes.length * 0.6)), () =>
        systemClock.after(50, () => response.destroy()),
      )
    response.end(bytes)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  dataUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/data.zst`
}, 60_000)
afterAll(async () => {
  server.close()
  server.closeAllConnections()
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  behave = () => 'serve'
  requests = []
})

/** A disk of which some methods are others. */
const but = (disk: DiskFile, other: Partial<Pick<DiskFile, 'write' | 'flush'>>): DiskFile =>
  new Proxy(disk, {
    get(target, name) {
      const value: unknown = Reflect.get(other, name) ?? Reflect.get(target, name)
      return typeof value === 'function' ? (value as (...args: unknown[]) => unknown).bind(target) : value
    },
  })

const DISK_BYTES = 32 * PIECE_BYTES

/** A disk full of somebody else's data. */
async function usedDisk(): Promise<{ path: string; disk: DiskFile }> {
  const path = join(dir, `disk-${randomBytes(4).toString('hex')}`)
  await writeFile(path, Buffer.alloc(DISK_BYTES, 0xee))
  return { path, disk: await DiskFile.open(path) }
}
const write = (disk: DiskFile, more: Partial<Parameters<typeof writeImage>[0]> = {}) =>
  writeImage({ disk, index, source: new PieceServers(dataUrl), clock, onProgress: () => undefined, ...more })

test('the disk holds the image exactly, also where the image has zeros and the disk had data', async () => {
  const { path, disk } = await usedDisk()
  const seen: [string, number][] = []
  await write(disk, { onProgress: (phase, bytes) => seen.push([phase, bytes]) })
  const now = await readFile(path)
  expect(now.subarray(0, raw.length).equals(raw)).toBe(true)
  expect(now.subarray(raw.length).every((byte) => byte === 0xee)).toBe(true)
  expect(Math.max(...seen.filter(([phase]) => phase === 'write').map(([, bytes]) => bytes))).toBe(raw.length)
  await disk.close()
  await rm(path)
})

test('zeros are written beside the data, not before it', async () => {
  const { path, disk } = await usedDisk()
  let wrote = () => undefined as void
  const firstData = new Promise<void>((resolve) => (wrote = resolve))
  const watched = but(disk, {
    write: async (bytes, at) => {
      await disk.write(bytes, at)
      if (at > 0) wrote()
    },
  })
  // Each run of zeros takes until data was written.
  const run = async () => (await firstData, { code: 1, stdout: '', stderr: '' })
  await write(watched, { run })
  expect((await readFile(path)).subarray(0, raw.length).equals(raw)).toBe(true)
  await disk.close()
  await rm(path)
})

test('zeros that could not be written end the deploy when nothing writes any more', async () => {
  const { path, disk } = await usedDisk()
  let [open, isWaiting, isOver, hasFailed] = [() => undefined as void, false, false, false]
  const gate = new Promise<void>((resolve) => (open = resolve))
  const watched = but(disk, {
    write: async (bytes, at) => {
      if (at === 0) return disk.write(bytes, at)
      if (bytes.every((byte) => byte === 0)) {
        // While data is being written.
        await until(async () => isWaiting, { what: 'data', timeoutMs: 20_000, everyMs: 1 })
        hasFailed = true
        throw new Fault('deploy.write', 'the disk is full')
      }
      isWaiting = true
      await gate
    },
  })
  const failing = write(watched, { run: async () => ({ code: 1, stdout: '', stderr: '' }) }).finally(
    () => (isOver = true),
  )
  await until(async () => isWaiting && hasFailed, { what: 'both', timeoutMs: 20_000, everyMs: 1 })
  expect(isOver).toBe(false)
  open()
  await expect(failing).rejects.toThrow(/is full/)
  await disk.close()
  await rm(path)
})

test('after the data failed, no more zeros are written', async () => {
  const { path, disk } = await usedDisk()
  const zeros: number[] = []
  const watched = but(disk, {
    write: async (bytes, at) => {
      if (at === 0) return disk.write(bytes, at)
      zeros.push(at)
      await systemClock.sleep(50)
    },
  })
  const run = async () => ({ code: 1, stdout: '', stderr: '' })
  const download = () => Promise.reject(new Fault('deploy.write', 'the disk is full'))
  expect(index.pieces.slice(1).filter(({ zero }) => zero).length).toBeGreaterThan(1)
  await expect(write(watched, { run, download, compare: false })).rejects.toThrow(/is full/)
  expect(zeros.length).toBeLessThanOrEqual(1)
  await disk.close()
  await rm(path)
})

test('a line that breaks is taken up at the first missing piece, not at the start', async () => {
  behave = (request) => (request <= 2 ? 'break' : request === 4 ? 'refuse' : 'serve')
  const { path, disk } = await usedDisk()
  await write(disk)
  expect((await readFile(path)).subarray(0, raw.length).equals(raw)).toBe(true)
  const fetched = requests.reduce((sum, { from, to }) => sum + to - from + 1, 0)
  expect(requests.length).toBeGreaterThan(zeroRuns(index).length)
  expect(fetched).toBeLessThan(data.length * 2)
  await disk.close()
  await rm(path)
})

test('data that cannot be decompressed is requested three times, not as often as a broken connection', async () => {
  behave = () => 'garbage'
  const { path, disk } = await usedDisk()
  await expect(write(disk)).rejects.toMatchObject({ code: 'image.damaged' })
  const perRun = new Map<number, number>()
  for (const { from } of requests) perRun.set(from, (perRun.get(from) ?? 0) + 1)
  expect(Math.max(...perRun.values())).toBe(3)
  await disk.close()
  await rm(path)
})

test('a line that stays broken ends the deploy with the piece, and the disk does not boot', async () => {
  behave = () => 'refuse'
  const { path, disk } = await usedDisk()
  await expect(write(disk)).rejects.toMatchObject({ code: 'deploy.download' })
  expect((await readFile(path)).subarray(0, 512).every((byte) => byte === 0)).toBe(true)
  await disk.close()
  await rm(path)
})

test('a piece that was damaged on its way once is found when it is read back, and mended', async () => {
  const { path, disk } = await usedDisk()
  let broken = false
  const flips = but(disk, {
    write: (bytes: Buffer, at: number) => {
      if (at !== 4 * PIECE_BYTES || broken) return disk.write(bytes, at)
      broken = true
      const other = Buffer.from(bytes)
      other[77]! ^= 1
      return disk.write(other, at)
    },
  })
  await write(flips)
  expect([broken, (await readFile(path)).subarray(0, raw.length).equals(raw)]).toEqual([true, true])
  await disk.close()
  await rm(path)
})

test('data that is not what the index says is never taken for it', async () => {
  behave = () => 'corrupt'
  const { path, disk } = await usedDisk()
  await expect(write(disk)).rejects.toMatchObject({
    code: expect.stringMatching(/image\.piece|image\.damaged/) as string,
  })
  expect((await readFile(path)).readUInt16LE(510)).toBe(0)
  await disk.close()
  await rm(path)
})

test('a disk that does not keep what was written is found out when it is read back', async () => {
  const { path, disk } = await usedDisk()
  const liar = but(disk, {
    write: (bytes: Buffer, at: number) => (at === 3 * PIECE_BYTES ? Promise.resolve() : disk.write(bytes, at)),
  })
  await expect(write(liar)).rejects.toMatchObject({
    code: 'deploy.readback',
    detail: expect.stringContaining('piece 3') as string,
  })
  expect((await readFile(path)).readUInt16LE(510)).toBe(0)
  await disk.close()
  await rm(path)
})

test('the boot sector is written last of all', async () => {
  const { path, disk } = await usedDisk()
  const order: number[] = []
  const spy = but(disk, {
    write: (bytes: Buffer, at: number) => {
      if (bytes.some((byte) => byte !== 0)) order.push(at)
      return disk.write(bytes, at)
    },
  })
  await write(spy)
  expect([order.at(-1), order.filter((at) => at === 0).length]).toEqual([0, 1])
  await disk.close()
  await rm(path)
})

test('the old boot sector is off the disk before anything of the image is on it: a power cut in between boots neither', async () => {
  const { path, disk } = await usedDisk()
  const order: string[] = []
  const spy = but(disk, {
    write: (bytes: Buffer, at: number) => (
      order.push(bytes.some((byte) => byte !== 0) ? 'data' : `zeros ${at}`),
      disk.write(bytes, at)
    ),
    flush: () => (order.push('flush'), disk.flush()),
  })
  await write(spy)
  expect(order.slice(0, 2)).toEqual(['zeros 0', 'flush'])
  await disk.close()
  await rm(path)
})

test('a failed deploy leaves neither partition table', async () => {
  const { path, disk } = await usedDisk()
  await makeUnbootable(disk, DISK_BYTES)
  const now = await readFile(path)
  expect([
    now.subarray(0, PIECE_BYTES).every((byte) => byte === 0),
    now.subarray(-PIECE_BYTES).every((byte) => byte === 0),
  ]).toEqual([true, true])
  await disk.close()
  await rm(path)
})

test('runs cover every piece with data once, in order of the data', () => {
  const runs = dataRuns(index, () => true)
  const pieces = runs.flatMap((run) => Array.from({ length: run.count }, (_, i) => run.first + i))
  expect(pieces).toEqual([...index.pieces.keys()].filter((number) => !index.pieces[number]?.zero))
  expect(runs.reduce((sum, run) => sum + run.lengthBytes, 0)).toBe(index.dataBytes)
  expect(createHash('sha256').update(raw).digest('hex')).toBe(index.id)
})
