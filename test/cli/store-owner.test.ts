/** What root builds into the store of a service becomes the service's, and nothing else does. */
import { chown, link, mkdir, mkdtemp, rm, stat, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { asOwned } from '../../cli/store-owner.ts'
import { ImageStore } from '../../images/store.ts'

const SERVICE = 64_001
const ID = 'a'.repeat(64)
let dir = ''
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-owner-'))
})
afterEach(() => rm(dir, { recursive: true }))

const isRoot = process.getuid?.() === 0
const ownerOf = async (...path: string[]) => (await stat(join(dir, ...path))).uid

test.runIf(isRoot)('the image and its files change hands, also after a failure', async () => {
  await mkdir(join(dir, 'store'))
  await chown(join(dir, 'store'), SERVICE, SERVICE)
  const failing = asOwned(new ImageStore(join(dir, 'store')), async () => {
    await mkdir(join(dir, 'store', ID))
    await writeFile(join(dir, 'store', ID, 'index.json'), '{}')
    throw new Error('the disk is full')
  })
  await expect(failing).rejects.toThrow('the disk is full')
  expect([await ownerOf('store', ID), await ownerOf('store', ID, 'index.json')]).toEqual([SERVICE, SERVICE])
})

test.runIf(isRoot)('links that the service planted give it nothing of root', async () => {
  const store = join(dir, 'store')
  await mkdir(join(dir, 'secret'))
  for (const name of ['key', 'secret/key']) await writeFile(join(dir, name), 'secret')
  await mkdir(join(store, ID), { recursive: true })
  await symlink(join(dir, 'secret'), join(store, 'b'.repeat(64)))
  await symlink(join(dir, 'key'), join(store, ID, 'index.json'))
  await link(join(dir, 'key'), join(store, ID, 'data.zst'))
  await chown(store, SERVICE, SERVICE)
  await asOwned(new ImageStore(store), async () => undefined)
  for (const path of ['key', 'secret', 'secret/key']) expect([path, await ownerOf(path)]).toEqual([path, 0])
  expect(await ownerOf('store', ID)).toBe(SERVICE)
})

test.runIf(isRoot)("a store of root's own stays root's", async () => {
  await mkdir(join(dir, 'store', ID), { recursive: true })
  await asOwned(new ImageStore(join(dir, 'store')), async () => undefined)
  expect(await ownerOf('store', ID)).toBe(0)
})
