/** What imports share: space, places, time; and what is left of those that were killed. */
import { mkdir, readdir, rm, statfs, truncate, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { ImportBudget } from '../../images/budget.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { run, runOk } from '../../kit/run.ts'
import { ended, importBench, MIB, type ImportBench, noRegistry } from './import-bench.ts'

let bench: ImportBench
let store: ImageStore
let dir = ''
let raw = ''
let base = ''
beforeAll(async () => {
  bench = await importBench()
  ;({ dir, store, raw, base } = bench)
})
afterAll(() => bench.stop())

describe('the budget', () => {
  test('so many at a time; who does not want to wait any more leaves the queue', async () => {
    const budget = new ImportBudget({ imports: 2 }, systemClock)
    let [running, most] = [0, 0]
    const release: (() => void)[] = []
    const work = () =>
      budget.run(undefined, async () => {
        running += 1
        most = Math.max(most, running)
        await new Promise<void>((resolve) => release.push(resolve))
        running -= 1
      })
    const all = Array.from({ length: 5 }, work)
    const impatient = new AbortController()
    const left = ended(budget.run(impatient.signal, async () => 'ran'))
    impatient.abort(new Fault('image.source', 'not any more'))
    expect(await left).toBe('image.source: not any more')
    for (let done = 0; done < 5; done += 1) {
      await until(() => release.length > 0, { what: 'a turn', timeoutMs: 20_000, everyMs: 1 })
      release.shift()?.()
    }
    await Promise.all(all)
    expect([most, running]).toEqual([2, 0])
  })
  test('free space is promised once', async () => {
    const { bavail, bsize } = await statfs(dir)
    const freeBytes = bavail * bsize
    const budget = new ImportBudget({ reserveBytes: Math.floor(freeBytes / 2) }, systemClock)
    const third = Math.floor(freeBytes / 3)
    const [one, two] = [budget.claim(dir), budget.claim(dir)]
    const ends = await Promise.all([ended(one.grow(third)), ended(two.grow(third))])
    expect(ends.toSorted()).toEqual([expect.stringContaining('to spare'), 'taken'])
    one.release()
    two.release()
    expect(await ended(budget.claim(dir).grow(third))).toBe('taken')
  })
  test('an import that takes too long ends, and leaves nothing', async () => {
    const budget = new ImportBudget({ importSeconds: 0.3 }, systemClock)
    expect(await ended(importImage(store, { source: `${base}/trickle`, name: 'x' }, { budget }))).toContain(
      'limits.images.importSeconds',
    )
    await until(() => bench.open() === 0, { what: 'the connection to end', timeoutMs: 20_000, everyMs: 5 })
    expect((await readdir(store.root)).filter((entry) => entry.startsWith('.part'))).toEqual([])
  })
  test('a download that is slower than the least rate ends', async () => {
    // A minute of the clock is a moment here.
    const fast = { ...systemClock, after: (ms: number, act: () => void) => systemClock.after(ms / 600, act) }
    const budget = new ImportBudget({ leastBytesPerSecond: 1000 }, fast)
    expect(
      await ended(importImage(store, { source: `${base}/trickle`, name: 'x' }, { budget, clock: fast })),
    ).toContain('limits.images.leastBytesPerSecond')
  })
  test('an import whose nodes do not want it any more ends; one that others wait for goes on', async () => {
    const source = new ImageSource({
      glance: undefined,
      oci: noRegistry,
      store,
      allowedPaths: [],
      budget: new ImportBudget({}, systemClock),
      guard: { allowedHosts: ['127.0.0.1'] },
    })
    const node = {
      workflow: { project: null },
      instanceInfo: { image_source: `${base}/trickle`, image_checksum: 'a'.repeat(64) },
    }
    const [one, two] = [new AbortController(), new AbortController()]
    const ends = [ended(source.resolve(node, one.signal)), ended(source.resolve(node, two.signal))]
    await until(() => bench.open() === 1, { what: 'the download', timeoutMs: 20_000, everyMs: 5 })
    one.abort(new Fault('node.lock-broken', 'no'))
    expect(await ends[0]).toBe('node.lock-broken: no')
    expect(bench.open()).toBe(1)
    two.abort(new Fault('node.lock-broken', 'no'))
    await ends[1]
    await until(
      async () => bench.open() === 0 && !(await readdir(store.root)).some((entry) => entry.startsWith('.part')),
      {
        what: 'the end of the import',
        timeoutMs: 30_000,
        everyMs: 5,
      },
    )
  })
})

describe('a qcow2', () => {
  test('that is too big once it is unpacked is refused by its header', async () => {
    const huge = join(dir, 'huge.qcow2')
    await runOk(['qemu-img', 'create', '-q', '-f', 'qcow2', huge, '8T'], { timeoutMs: 60_000 })
    const budget = new ImportBudget({ virtualSizeBytes: 1024 ** 4 }, systemClock)
    expect(await ended(importImage(store, { source: huge, name: 'x' }, { budget }))).toMatch(
      /^image.format: .*8.8 TB once it is unpacked/,
    )
  })
  test('whose data does not fit beside the reserve is refused before it is unpacked, compressed as it may be', async () => {
    const big = join(dir, 'big.raw')
    await run(['sh', '-c', 'yes rackward | head -c 268435456 > "$0"', big], { timeoutMs: 60_000 })
    const small = join(dir, 'small.qcow2')
    await runOk(['qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', big, small], { timeoutMs: 120_000 })
    await rm(big)
    const { bavail, bsize } = await statfs(dir)
    // 100 MiB are free beside the reserve: far more than the file has, less than its data.
    const budget = new ImportBudget({ reserveBytes: bavail * bsize - 100 * MIB }, systemClock)
    expect(await ended(importImage(store, { source: small, name: 'x' }, { budget }))).toMatch(
      /^image.space: the image needs 2\d\d\.\d MB more/,
    )
    expect((await readdir(store.root)).filter((entry) => entry.startsWith('.part'))).toEqual([])
  }, 120_000)
})

describe('the store', () => {
  test('at its start it removes what dead imports left, and nothing of living ones', async () => {
    const own = new ImageStore(join(dir, 'left'))
    const mine = await own.scratch()
    const dead = [`.part-${2 ** 22 + 1}-77-1`, `.part-${process.pid}-1-1`, '.part-4711-1']
    for (const entry of dead) await mkdir(join(own.root, entry))
    await own.clean()
    expect(await readdir(own.root)).toEqual([mine.split('/').at(-1)])
  })
  test.each(['', '{', '[]', '{"id":1}'])(
    'an index of %j takes out its image alone, is named, and can be removed',
    async (text) => {
      const own = new ImageStore(join(dir, `broken-${text.length}`))
      const good = await importImage(own, { source: raw, name: 'good' })
      const id = 'e'.repeat(64)
      await mkdir(join(own.root, id))
      await writeFile(join(own.root, id, 'index.json'), text)
      expect((await own.list()).map((image) => image.id)).toEqual([good.id])
      expect((await own.find('good')).id).toBe(good.id)
      expect(await own.broken()).toEqual([{ id, why: expect.stringContaining(id) as string }])
      expect(await ended(own.find('other'))).toContain(`the index of ${id.slice(0, 16)} cannot be read`)
      await own.remove((await own.which(id)).id)
      expect(await own.broken()).toEqual([])
      // The same image, damaged later, is noticed, and an import of it mends it.
      await truncate(join(own.root, good.id, 'index.json'), 3)
      expect((await own.broken()).length).toBe(1)
      await importImage(own, { source: raw, name: 'good' })
      expect([await own.broken(), (await own.find('good')).id]).toEqual([[], good.id])
    },
  )
})
