/** What keeps the image store: what is removed and what is not, damage that is found, and a disk that fills. */
import { randomBytes } from 'node:crypto'
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isMadeName, sortImages, type StoredImage } from '../../images/garbage.ts'
import { importImage } from '../../images/import.ts'
import { originOf } from '../../images/origin.ts'
import { damagedPieces } from '../../images/scrub.ts'
import { ImageStore } from '../../images/store.ts'
import { run, runOk } from '../../kit/run.ts'
import { ended, importBench, MIB, type ImportBench } from './import-bench.ts'

const DAY_MS = 86_400_000
let bench: ImportBench
let count = 0
beforeAll(async () => {
  bench = await importBench()
})
afterAll(() => bench.stop())

const emptyStore = () => new ImageStore(join(bench.dir, `care-${(count += 1)}`))
const left = async (store: ImageStore) => (await readdir(store.root)).filter((entry) => entry.startsWith('.part'))

describe('what is removed', () => {
  const hex = fc.stringMatching(/^[0-9a-f]{32}$/)
  const name = fc.oneof(
    hex.map((digits) => `url-${digits}`),
    hex.map((digits) => `debian-12-${digits.slice(0, 20)}`),
    fc.constantFrom('debian-12', 'my-image', 'url-1'),
  )
  const image: fc.Arbitrary<StoredImage> = fc.record({
    id: fc.stringMatching(/^[0-9a-f]{64}$/),
    names: fc.uniqueArray(name, { maxLength: 3 }),
    storedBytes: fc.nat(),
    usedAtMs: fc.nat(1_000),
  })
  test('nothing that has a name of a person, that somebody refers to, or that was used since; every image has one fate', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(image, { selector: ({ id }) => id, maxLength: 20 }),
        fc.array(fc.nat(50)),
        fc.boolean(),
        fc.nat(1_000),
        (images, referred, isOpen, unusedSinceMs) => {
          const words = images.flatMap(({ id, names }) => [id, ...names])
          const by = new Map(referred.flatMap((at) => (words[at] === undefined ? [] : [[words[at], 'x'] as const])))
          const references = { by, anyFetched: isOpen ? 'a roll-out' : undefined }
          const { remove, keep } = sortImages(images, { references, unusedSinceMs })
          expect(remove.length + keep.length).toBe(images.length)
          for (const { id, names, usedAtMs } of remove) {
            expect([id, ...names].some((word) => by.has(word))).toBe(false)
            expect(names.every(isMadeName)).toBe(true)
            expect(usedAtMs).toBeLessThanOrEqual(unusedSinceMs)
            if (isOpen) expect(names.some((one) => one.startsWith('url-'))).toBe(false)
          }
          // And no more is kept than that.
          for (const { image: one } of keep)
            expect(
              [one.id, ...one.names].some((word) => by.has(word)) ||
                !one.names.every(isMadeName) ||
                one.usedAtMs > unusedSinceMs ||
                isOpen,
            ).toBe(true)
        },
      ),
    )
  })
  test('an image that a deploy asks for while it is being removed stays', async () => {
    const store = emptyStore()
    const name = `url-${'a'.repeat(32)}`
    const { id } = await importImage(store, { source: bench.raw, name })
    const oldMs = Date.now() - 30 * DAY_MS
    await store.use(name, oldMs)
    expect(await store.discard(id, oldMs - 1)).toBe(false)
    // Asked for between the look of the one and the removal by the other, in any order: whole or gone, never half.
    const [kept, found] = await Promise.all([
      store.discard(id, oldMs),
      store.use(name, Date.now()).catch(() => undefined),
    ])
    const now = await store.list()
    expect(now.length).toBe(kept ? 0 : 1)
    if (!kept) expect(await damagedPieces(store, now[0]!)).toEqual([])
    if (!kept) expect(found?.id).toBe(id)
    expect(await left(store)).toEqual([])
  })
})

describe('damage', () => {
  test('every byte of every piece is proven, and a damaged image is told and comes back whole from its source', async () => {
    const store = emptyStore()
    const image = await importImage(store, { source: bench.raw, name: 'whole' })
    expect(await damagedPieces(store, image)).toEqual([])
    const file = await open(store.dataPath(image.id), 'r+')
    const at = Math.floor(image.dataBytes / 2)
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, at)
    await file.write(Buffer.from([buffer[0]! ^ 0x40]), 0, 1, at)
    await file.close()
    expect(await damagedPieces(store, image)).toEqual([0])
    await store.setDamaged(image.id, [0])
    expect(await store.broken()).toEqual([{ id: image.id, why: '1 of the 1 pieces of image whole are damaged' }])
    const origin = await store.originOf(image.id)
    expect(origin).toEqual({ source: bench.raw })
    await importImage(store, { ...origin!, name: 'whole', sameAs: image.id })
    expect(await damagedPieces(store, image)).toEqual([])
    expect(await store.broken()).toEqual([])
  })
  test('data that are cut short, or gone', async () => {
    const store = emptyStore()
    const image = await importImage(store, { source: bench.raw, name: 'short' })
    await writeFile(store.dataPath(image.id), Buffer.alloc(10))
    expect(await damagedPieces(store, image)).toEqual([0])
    await rm(store.dataPath(image.id))
    expect(await damagedPieces(store, image)).toEqual([0])
  })
  test('a source that holds another image now replaces nothing', async () => {
    const store = emptyStore()
    const image = await importImage(store, { source: bench.raw, name: 'first' })
    const other = join(bench.dir, 'other.raw')
    const disk = Buffer.alloc(MIB, 'other')
    disk.writeUInt16LE(0xaa55, 510)
    await writeFile(other, disk)
    expect(await ended(importImage(store, { source: other, name: 'first', sameAs: image.id }))).toMatch(
      /^image.source: .*another image now/,
    )
    expect((await store.list()).map(({ id }) => id)).toEqual([image.id])
    expect(await left(store)).toEqual([])
  })
  test.each([
    ['https://u:p@host/x', undefined],
    ['https://host/x?X-Amz-Signature=1', undefined],
    ['https://host/x', { source: 'https://host/x' }],
    ['relative', undefined],
  ])('of %j is kept %j', (source, kept) => expect(originOf({ source })).toEqual(kept))
})

test('a disk that fills during an import is told as that, and nothing is left of it', async ({ skip }) => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-full-'))
  const { code } = await run(['mount', '-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', dir], { timeoutMs: 30_000 })
  if (code !== 0) skip('only root may mount')
  try {
    const store = new ImageStore(join(dir, 'store'))
    // Without a budget nothing is refused before: what fills the disk is the import itself.
    const big = join(bench.dir, 'big.raw')
    const disk = randomBytes(8 * MIB)
    disk.writeUInt16LE(0xaa55, 510)
    await writeFile(big, disk)
    const unlimited = { claim: () => NO_CLAIM, run: RUN, limits: {}, checkSize: () => undefined, now: Date.now }
    const result = await ended(importImage(store, { source: big, name: 'x' }, { budget: unlimited as never }))
    expect(result).toMatch(/^image.space: the disk of .* became full during the import/)
    expect(await readdir(store.root)).toEqual([])
    const refused = await ended(importImage(store, { source: `${bench.base}/disk`, name: 'x' }))
    expect(refused).toMatch(/^image.space: the import needs at least 4\.2 MB in .* which has \d.* to spare/)
    expect(bench.open()).toBe(0)
    expect(await readdir(store.root)).toEqual([])
  } finally {
    await runOk(['umount', dir], { timeoutMs: 30_000 })
    await rm(dir, { recursive: true })
  }
})

const NO_CLAIM = { grow: async () => undefined, needs: async () => undefined, wrote: () => undefined, release: () => 0 }
const RUN = (_: unknown, work: (signal: AbortSignal) => Promise<unknown>) => work(new AbortController().signal)

test('what a killed process left of a removal is cleared away', async () => {
  const store = emptyStore()
  await mkdir(join(store.root, '.part-4194305-77-1'), { recursive: true })
  await store.clean()
  expect(await readdir(store.root)).toEqual([])
})
