/** Reads and writes of a disk with and without the page cache: the same bytes, whatever the place and the buffer, and
 *  what is aligned asks the disk itself. */
import { randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { mkdtemp, open, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { isAligned, withAligned } from '../../host-agent/deploy/aligned.ts'
import { DiskFile } from '../../host-agent/deploy/disk.ts'

const SIZE = 256 * 1024
const SECTOR = 4_096
let dir = ''
let canDirect = false

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-direct-'))
  await writeFile(join(dir, 'try'), Buffer.alloc(SECTOR))
  const file = await open(join(dir, 'try'), constants.O_RDWR | constants.O_DIRECT).catch(() => undefined)
  canDirect = file !== undefined
  await file?.close()
})
afterAll(() => rm(dir, { recursive: true }))

/** Bytes that this process had fetched from disks (proc(5)). */
async function fetchedBytes(): Promise<number> {
  return Number(/^read_bytes: (\d+)$/m.exec(await readFile('/proc/self/io', 'latin1'))?.[1])
}

test.each(['of the system', '/dev/shm'])('files end as those of a model do: %s', async (where) => {
  const at = where === '/dev/shm' ? await mkdtemp(join(where, 'rackward-direct-')) : dir
  const place = fc.oneof(
    fc.record({ at: fc.nat(SIZE / SECTOR - 1), count: fc.integer({ min: 1, max: 8 }), unit: fc.constant(SECTOR) }),
    fc.record({ at: fc.nat(SIZE - 1), count: fc.integer({ min: 1, max: 20_000 }), unit: fc.constant(1) }),
  )
  const act = fc.record({ place, isLent: fc.boolean(), isWrite: fc.boolean(), skew: fc.constantFrom(0, 0, 1, 512) })
  try {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { maxLength: 12 }), async (acts) => {
        const model = randomBytes(SIZE)
        await writeFile(join(at, 'disk'), model)
        const disk = await DiskFile.open(join(at, 'disk'))
        for (const { place: to, isLent, isWrite, skew } of acts) {
          const from = to.at * to.unit
          const length = Math.min(to.count * to.unit, SIZE - from)
          const work = async (lent: Buffer) => {
            const bytes = (isLent ? lent : Buffer.alloc(length + skew)).subarray(skew, skew + length)
            if (!isWrite) {
              await disk.read(bytes, from)
              expect(bytes.equals(model.subarray(from, from + length))).toBe(true)
              return
            }
            randomBytes(length).copy(bytes)
            bytes.copy(model, from)
            await disk.write(bytes, from)
          }
          await withAligned(length + skew, work)
        }
        await disk.flush()
        await disk.close()
        expect((await readFile(join(at, 'disk'))).equals(model)).toBe(true)
      }),
      { numRuns: 40 },
    )
  } finally {
    if (at !== dir) await rm(at, { recursive: true })
  }
})

test('what is aligned goes past the page cache: the disk is asked although memory has it', async (context) => {
  if (!canDirect) return context.skip()
  const path = join(dir, 'cached')
  const content = randomBytes(SIZE)
  await writeFile(path, content)
  const disk = await DiskFile.open(path)
  await disk.flush()
  expect((await readFile(path)).equals(content)).toBe(true)
  const before = await fetchedBytes()
  await withAligned(SIZE, async (buffer) => {
    await disk.read(buffer.subarray(0, SIZE), 0)
    expect(buffer.subarray(0, SIZE).equals(content)).toBe(true)
  })
  expect((await fetchedBytes()) - before).toBeGreaterThanOrEqual(SIZE)
  const between = await fetchedBytes()
  await disk.read(Buffer.alloc(SIZE), 0)
  expect((await fetchedBytes()) - between).toBeLessThan(SIZE)
  await disk.close()
})

test('a buffer is aligned by its beginning, its length and its place', async () => {
  await withAligned(SIZE, async (buffer) => {
    expect(isAligned(buffer.subarray(0, SECTOR), SECTOR)).toBe(true)
    expect(isAligned(buffer.subarray(512, 512 + SECTOR), 0)).toBe(false)
    expect(isAligned(buffer.subarray(0, SECTOR - 512), 0)).toBe(false)
    expect(isAligned(buffer.subarray(0, SECTOR), 512)).toBe(false)
  })
  expect(isAligned(Buffer.alloc(SECTOR), 0)).toBe(false)
})

test('two that work at a time have a buffer each, and the next one gets one of them', async () => {
  const seen = new Set<ArrayBufferLike>()
  const both = await Promise.all([1, 2].map(() => withAligned(SIZE, async ({ buffer }) => buffer)))
  expect(both[0]).not.toBe(both[1])
  for (const one of both) seen.add(one)
  await withAligned(SIZE, async ({ buffer }) => expect(seen.has(buffer)).toBe(true))
})
