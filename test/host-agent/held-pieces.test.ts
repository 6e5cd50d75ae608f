/** A disk that holds pieces of the image already: these are neither fetched nor written, and whatever the disk held
 *  before, it ends as the image. */
import { createHash, randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DiskFile } from '../../host-agent/deploy/disk.ts'
import { PieceServers } from '../../host-agent/deploy/piece-servers.ts'
import { sourcesText } from '../../host-agent/deploy/orders.ts'
import { writeImage, type WriteParts } from '../../host-agent/deploy/write-image.ts'
import { indexFlaw, type ImageIndex, type Piece } from '../../images/index.ts'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { runOk } from '../../kit/run.ts'

const PIECE = 16 * 1024
const MIB = 1024 * 1024
const COUNT = 100
const TAIL = 5_000
/** Zeros in the image. */
const ZEROS = new Set([3, 4, 5, 40])
const DATA = COUNT + 1 - ZEROS.size

let dir = ''
let raw: Buffer
let index: ImageIndex
let data: Buffer
let server: Server
let dataUrl = ''
let fetched: { from: number; to: number }[] = []
let isDown = false
const clock: Clock = { ...systemClock, sleep: async () => undefined }

/** The frames of all pieces, made by one zstd. */
async function pack(): Promise<void> {
  const pieces: Piece[] = []
  const frames: Buffer[] = []
  const names = Array.from({ length: COUNT + 1 }, (_, number) => join(dir, 'pieces', String(number)))
  await mkdir(join(dir, 'pieces'))
  const bytesOf = (number: number) => raw.subarray(number * PIECE, (number + 1) * PIECE)
  for (const [number, name] of names.entries()) await writeFile(name, bytesOf(number))
  await runOk(['zstd', '-q', '-1', '--no-check', ...names], { timeoutMs: 60_000 })
  let at = 0
  for (const [number, name] of names.entries()) {
    const sha256 = createHash('sha256').update(bytesOf(number)).digest('hex')
    const zero = ZEROS.has(number)
    const frame = zero ? Buffer.alloc(0) : await readFile(`${name}.zst`)
    pieces.push({ sha256, zero, at: zero ? 0 : at, lengthBytes: frame.length })
    frames.push(frame)
    at += frame.length
  }
  data = Buffer.concat(frames)
  const id = createHash('sha256').update(raw).digest('hex')
  index = { id, names: [], sizeBytes: raw.length, pieceBytes: PIECE, dataBytes: at, pieces, createdAt: '' }
  expect(indexFlaw(index)).toBeUndefined()
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-held-'))
  raw = randomBytes(COUNT * PIECE + TAIL)
  for (const number of ZEROS) raw.fill(0, number * PIECE, (number + 1) * PIECE)
  await pack()
  server = createServer((request, response) => {
    if (isDown) return void request.socket.destroy()
    const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    fetched.push({ from, to })
    const bytes = data.subarray(from, to + 1)
    response.writeHead(206, { 'content-length': bytes.length }).end(bytes)
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
  fetched = []
  isDown = false
})

interface Seen {
  readonly read: number[]
  readonly written: number[]
}

/** A disk that holds `bytes`, whose reads and writes are seen; `fails` says which reads do not come back. */
async function diskOf(bytes: Buffer, fails: (at: number, read: number) => boolean = () => false) {
  const path = join(dir, `disk-${randomBytes(4).toString('hex')}`)
  await writeFile(path, bytes)
  const disk = await DiskFile.open(path)
  const seen: Seen = { read: [], written: [] }
  const spied = {
    path,
    read: async (into: Buffer, at: number) => {
      seen.read.push(at / PIECE)
      if (fails(at / PIECE, seen.read.length)) throw new Error('EIO: i/o error, read')
      await disk.read(into, at)
    },
    write: (from: Buffer, at: number) => {
      seen.written.push(at / PIECE)
      return disk.write(from, at)
    },
    // The caches of this machine are not the test's to drop.
    flush: async () => undefined,
  } as unknown as DiskFile
  const end = async (): Promise<Buffer> => {
    await disk.close()
    const now = await readFile(path)
    await rm(path)
    return now
  }
  return { disk: spied, seen, end }
}

const write = (disk: DiskFile, more: Partial<WriteParts> = {}) =>
  writeImage({ disk, index, source: new PieceServers(dataUrl), clock, onProgress: () => undefined, ...more })
/** The same disk with another way of doing one thing. */
const withOther = (disk: DiskFile, method: 'flush' | 'write', does: unknown): DiskFile =>
  new Proxy(disk, { get: (target, name) => (name === method ? does : (Reflect.get(target, name) as unknown)) })
const other = (bytes = raw) => Buffer.alloc(bytes.length + 3 * PIECE, 0xee)
const fetchedBytes = () => fetched.reduce((sum, { from, to }) => sum + to - from + 1, 0)

test('the same image again moves nothing, is proven all the same, and the boot sector still comes last', async () => {
  const { disk, seen, end } = await diskOf(raw)
  const said: (string | undefined)[] = []
  const proven: number[] = []
  const onProgress: WriteParts['onProgress'] = (phase, done, moved) =>
    phase === 'write' ? said.push(sourcesText([], moved)) : proven.push(done)
  const moved = await write(disk, { onProgress })
  expect(moved).toEqual({ pieces: DATA, heldPieces: DATA, fetchedBytes: 0, writtenBytes: 0 })
  expect(fetched).toEqual([])
  expect(proven.at(-1)).toBe(raw.length)
  // Cleared at first, and given back at the end.
  expect(seen.written).toEqual([0, 0])
  expect(said).toContain(`(${DATA - 2} of ${DATA} pieces already on the disk)`)
  // Compared, and proven at the end.
  for (let number = 1; number <= COUNT; number += 1)
    if (!ZEROS.has(number)) expect(seen.read.filter((one) => one === number)).toHaveLength(2)
  expect((await end()).equals(raw)).toBe(true)
})

test.each([17, 0, COUNT])('one piece that differs (%i) is the one that is fetched and written', async (number) => {
  const before = Buffer.from(raw)
  before[number * PIECE + 11]! ^= 1
  const { disk, seen, end } = await diskOf(before)
  const moved = await write(disk)
  const piece = index.pieces[number]!
  expect(fetched).toEqual([{ from: piece.at, to: piece.at + piece.lengthBytes - 1 }])
  const writtenBytes = number === COUNT ? TAIL : PIECE
  expect(moved).toEqual({ pieces: DATA, heldPieces: DATA - 1, fetchedBytes: piece.lengthBytes, writtenBytes })
  expect(seen.written.filter((one) => one !== 0)).toEqual(number === 0 ? [] : [number])
  expect((await end()).equals(raw)).toBe(true)
})

test('a disk that holds something else is compared with a few pieces only, and not at all where that is not wanted', async () => {
  const one = await diskOf(other())
  expect((await write(one.disk)).heldPieces).toBe(0)
  // Each piece is read to be proven; up to that it is reads of the comparison.
  const compared = one.seen.read.length - (COUNT + 1)
  expect([compared > 60, compared <= 64 + 3]).toEqual([true, true])
  expect((await one.end()).subarray(0, raw.length).equals(raw)).toBe(true)

  const two = await diskOf(Buffer.concat([raw, Buffer.alloc(PIECE)]))
  const moved = await write(two.disk, { compare: false })
  expect([moved.heldPieces, moved.fetchedBytes, two.seen.read.length]).toEqual([0, data.length, COUNT + 1])
  expect((await two.end()).subarray(0, raw.length).equals(raw)).toBe(true)
})

test('a disk that cannot be read somewhere is written as ever from there on', async () => {
  let failed = 0
  const { disk, end } = await diskOf(raw, (number) => number === 20 && (failed += 1) === 1)
  const moved = await write(disk)
  expect([failed, moved.heldPieces > 0, moved.heldPieces < DATA - 30]).toEqual([2, true, true])
  expect(moved.fetchedBytes).toBe(fetchedBytes())
  expect((await end()).equals(raw)).toBe(true)
})

test.each([
  ['beside what is written', 41],
  ['far from everything that is written', 30],
])('a piece that was compared, and that a misdirected write hit %s, is fetched after all', async (_, number) => {
  const before = Buffer.from(raw)
  // A piece far away is the one that is sent.
  before[17 * PIECE + 11]! ^= 1
  const { disk, end } = await diskOf(before)
  const lies = withOther(disk, 'write', async (bytes: Buffer, at: number) => {
    await disk.write(bytes, at)
    if (at === 17 * PIECE) await disk.write(bytes, number * PIECE)
  })
  await write(lies)
  expect(fetched).toHaveLength(2)
  expect((await end()).equals(raw)).toBe(true)
})

test('a deploy that broke off goes on with what it wrote: only the rest is fetched', async () => {
  const { disk, end } = await diskOf(other())
  let writes = 0
  const dies = withOther(disk, 'write', async (bytes: Buffer, at: number) => {
    if ((writes += 1) > 50) throw new Error('the power went')
    await disk.write(bytes, at)
  })
  await expect(write(dies)).rejects.toThrow('the power went')
  fetched = []
  const moved = await write(disk)
  expect(moved.heldPieces).toBeGreaterThan(30)
  expect(moved.fetchedBytes).toBeLessThan(data.length * 0.7)
  expect((await end()).subarray(0, raw.length).equals(raw)).toBe(true)
})

test('where zeros cannot be written, the data is not fetched to its end', async () => {
  const { disk, end } = await diskOf(other())
  const fails = withOther(disk, 'write', (bytes: Buffer, at: number) => {
    if (ZEROS.has(at / PIECE)) return Promise.reject(new Error('a bad sector'))
    return disk.write(bytes, at)
  })
  const run: WriteParts['run'] = () => Promise.reject(new Error('there is no blkdiscard'))
  await expect(write(fails, { run, compare: false })).rejects.toThrow('a bad sector')
  expect(fetchedBytes()).toBeLessThan(data.length / 2)
  await end()
})

test('with the first piece the backup GPT at the end of the disk goes, before anything else is written', async () => {
  const diskBytes = raw.length + 2 * MIB
  const { disk, end } = await diskOf(Buffer.concat([raw, Buffer.alloc(2 * MIB, 0xee)]))
  const dies = withOther(disk, 'flush', async () => {
    throw new Error('the power went')
  })
  await expect(write(dies, { diskBytes })).rejects.toThrow('the power went')
  const now = await end()
  expect(now.subarray(0, PIECE).every((byte) => byte === 0)).toBe(true)
  expect(now.subarray(PIECE, raw.length).equals(raw.subarray(PIECE))).toBe(true)
  expect(now.subarray(raw.length, -MIB).every((byte) => byte === 0xee)).toBe(true)
  expect(now.subarray(-MIB).every((byte) => byte === 0)).toBe(true)
})

test('an image that fills the disk ends as the image all the same', async () => {
  const { disk, end } = await diskOf(raw)
  const moved = await write(disk, { diskBytes: raw.length })
  expect([moved.heldPieces > 0, moved.heldPieces < DATA]).toEqual([true, true])
  expect((await end()).equals(raw)).toBe(true)
})

test('in a swarm the pieces that are there are offered, and the others are asked for', async () => {
  const before = Buffer.from(raw)
  for (const number of [7, 60]) before.fill(1, number * PIECE, (number + 1) * PIECE)
  const { disk, end } = await diskOf(before)
  const offered: number[] = []
  let asked: number[] = []
  const swarm: WriteParts['swarm'] = {
    wrote: (number) => void offered.push(number),
    fetch: async (isWanted, hands) => {
      const there = await hands.held(
        [...index.pieces.keys()].filter((number) => isWanted(number) && !ZEROS.has(number)),
      )
      const left = hands.runs((number) => isWanted(number) && !there.has(number))
      asked = left.map(({ first }) => first)
      await hands.unicast(left)
    },
    close: async () => undefined,
  }
  const moved = await write(disk, { swarm })
  expect([asked, moved.heldPieces]).toEqual([[7, 60], DATA - 2])
  expect(offered.length).toBe(DATA - 1)
  expect((await end()).equals(raw)).toBe(true)
})

test('whatever the disk held before, it ends as the image, and what differed is what came', async () => {
  const content = fc.array(fc.constantFrom('same', 'same', 'zero', 'noise', 'shifted'), {
    minLength: COUNT + 1,
    maxLength: COUNT + 1,
  })
  await fc.assert(
    fc.asyncProperty(content, async (kinds) => {
      const before = Buffer.from(raw)
      for (const [number, kind] of kinds.entries()) {
        const part = before.subarray(number * PIECE, (number + 1) * PIECE)
        if (kind === 'zero') part.fill(0)
        if (kind === 'noise') part.fill(0xa5)
        if (kind === 'shifted') raw.copy(part, 0, Math.max(0, number * PIECE - 512))
      }
      fetched = []
      const { disk, end } = await diskOf(before)
      const moved = await write(disk)
      expect((await end()).equals(raw)).toBe(true)
      const isSame = (number: number) =>
        before.subarray(number * PIECE, (number + 1) * PIECE).equals(raw.subarray(number * PIECE, (number + 1) * PIECE))
      const same = index.pieces.flatMap(({ zero }, number) => (!zero && isSame(number) ? [number] : []))
      expect(moved.heldPieces).toBe(same.length)
      expect(fetchedBytes()).toBe(moved.fetchedBytes)
    }),
    { numRuns: 8 },
  )
}, 60_000)
