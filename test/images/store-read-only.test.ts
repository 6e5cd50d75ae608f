/** An image store that the conductor may only read, such as one that is shared from another machine: its images and
 *  boot files are found, and nobody notes when. */
import { mkdir, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BootFiles, bootFilePath } from '../../images/boot-files.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { markUsed } from '../../images/used.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { importBench, type ImportBench } from './import-bench.ts'

const TIMEOUT = { timeoutMs: 30_000 }
const LATER_MS = Date.UTC(2040, 0, 1)
let bench: ImportBench
beforeAll(async () => {
  bench = await importBench()
})
afterAll(() => bench.stop())

test('what is in it is used; what is not is missing', async () => {
  const root = join(bench.dir, 'read-only')
  const store = new ImageStore(root)
  const { id } = await importImage(store, { source: bench.raw, name: 'one' })
  const hex = 'a'.repeat(64)
  const bootFile = bootFilePath(root, `sha256-${hex}`)
  await mkdir(join(root, 'boot'))
  await writeFile(bootFile, 'kernel')
  const files = new BootFiles(store, new HandClock(LATER_MS), { fileBytes: 1e9, unusedBytes: 1e9 })
  const before = await stat(bootFile)

  await runOk(['mount', '--bind', root, root], TIMEOUT)
  try {
    await runOk(['mount', '-o', 'remount,bind,ro', root], TIMEOUT)
    await expect(writeFile(join(root, 'probe'), '')).rejects.toMatchObject({ code: 'EROFS' })
    expect(await store.use('one', LATER_MS)).toMatchObject({ id })
    await expect(store.use('two', LATER_MS)).rejects.toMatchObject({ code: 'image.missing' })
    expect(await files.find({ algo: 'sha256', hex })).toBe(`sha256-${hex}`)
    expect(await files.find({ algo: 'sha256', hex: 'b'.repeat(64) })).toBeUndefined()
    expect((await stat(bootFile)).mtimeMs).toBe(before.mtimeMs)
  } finally {
    await run(['umount', '-l', root], TIMEOUT)
  }
  await store.use('one', LATER_MS)
  expect((await stat(join(root, id))).mtimeMs).toBe(LATER_MS)
  await expect(markUsed(join(root, 'none'), LATER_MS)).rejects.toMatchObject({ code: 'ENOENT' })
})
