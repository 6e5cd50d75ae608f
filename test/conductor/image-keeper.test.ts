/** The image store of a conductor: what nodes and roll-outs refer to stays, what nobody needs goes, what agents found
 *  damaged is fetched again. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { imageReferences } from '../../conductor/image-store/references.ts'
import { ImageKeeper, type KeeperParts } from '../../conductor/image-store/keeper.ts'
import { nameOf } from '../../conductor/node/run/image-place.ts'
import type { Store } from '../../conductor/store/port.ts'
import { importImage } from '../../images/import.ts'
import { damagedPieces } from '../../images/scrub.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { writeFile } from 'node:fs/promises'
import { importBench, MIB, type ImportBench } from '../images/import-bench.ts'
import { addNode, apiOf, itemOf, openStore, planOf } from './rollouts/world.ts'

const MONTH_MS = 30 * 86_400_000
const SUM = 'a'.repeat(64)
let bench: ImportBench
let count = 0
beforeAll(async () => {
  bench = await importBench()
})
afterAll(() => bench.stop())

/** Images of their own bytes, last used a month ago. */
async function storeOf(names: readonly string[]) {
  const images = new ImageStore(join(bench.dir, `keeper-${(count += 1)}`))
  for (const name of names) {
    const path = join(bench.dir, `${name}.raw`)
    const disk = Buffer.alloc(MIB, name)
    disk.writeUInt16LE(0xaa55, 510)
    await writeFile(path, disk)
    await importImage(images, { source: path, name })
    await images.use(name, Date.now() - MONTH_MS)
  }
  return images
}

const keeperOf = (images: ImageStore, store: Store, more: Partial<KeeperParts> = {}) =>
  new ImageKeeper({
    images,
    references: () => imageReferences(store),
    heal: () => Promise.reject(new Error('nobody heals')),
    clock: systemClock,
    log: silentLog,
    gc: { everyHours: 0, keepUnusedHours: 24 },
    scrubHours: 0,
    ...more,
  })

test('images that nodes run, were asked to get, or a roll-out names stay; the others are told, and removed', async () => {
  const { store } = await openStore()
  const urls = ['run', 'asked', 'rolled', 'nobody'].map((word) => `http://images/${word}`)
  const [run, asked, rolled, nobody] = urls.map((source) =>
    nameOf({ source, checksum: { algo: 'sha256', hex: SUM } }),
  ) as [string, string, string, string]
  const built = `debian-12-${'b'.repeat(20)}`
  const images = await storeOf([run, asked, rolled, nobody, built, 'named'])
  const node = await addNode(store, 'r1-u1', { provisionState: 'active' })
  await store.putNode({ ...node, workflow: { ...node.workflow, imageId: (await images.find(run)).id } })
  await addNode(store, 'r1-u2', { instanceInfo: { image_source: urls[1], image_checksum: SUM } })
  const keeper = keeperOf(images, store)
  const namesOf = (list: readonly { names: readonly string[] }[]) => list.flatMap(({ names }) => names).toSorted()

  const other = await addNode(store, 'r1-u3', { provisionState: 'active' })
  const patch = [{ op: 'add' as const, path: '/instance_info/image_source', value: built }]
  const item = await itemOf(store, other, [
    { do: 'patch', patch },
    { do: 'verb', verb: 'rebuild' },
  ])
  const api = apiOf(store)
  const { id } = await api.begin(planOf([item]))
  const during = await keeper.collect({ dryRun: true })
  // While a roll-out is open, nobody can tell which fetched image it means.
  expect(namesOf(during.remove)).toEqual([])
  expect(during.keep.find(({ image }) => image.names.includes(built))?.why).toBe('the roll-out of lab refers to it')
  await api.change(id, 'cancel')

  const dry = await keeper.collect({ dryRun: true })
  expect(namesOf(dry.remove)).toEqual([built, nobody, rolled].toSorted())
  expect((await images.list()).length).toBe(6)
  const done = await keeper.collect({ dryRun: false })
  expect(namesOf(done.remove)).toEqual([built, nobody, rolled].toSorted())
  expect(namesOf(await images.list())).toEqual([run, asked, 'named'].toSorted())
  expect(done.keep.map(({ why }) => why).toSorted()).toEqual([
    'it has the name named; rackward image rm removes it',
    'node r1-u1 uses it',
    'node r1-u2 uses it',
  ])
})

test('while a record cannot be read, nothing is removed', async () => {
  const { store } = await openStore()
  const images = await storeOf([`url-${'c'.repeat(32)}`])
  const damaged = { ...store, survey: async () => [{ kind: 'node', uuid: 'u', why: '' }] } as unknown as Store
  await expect(keeperOf(images, damaged).collect({ dryRun: false })).rejects.toThrow('which may need an image')
  expect((await images.list()).length).toBe(1)
})

test('what an agent found damaged is proven and fetched again; what cannot be fetched is told by name', async () => {
  const { store } = await openStore()
  const images = await storeOf(['bad', 'lost'])
  const flip = async (name: string) => {
    const image = await images.find(name)
    const file = await open(images.dataPath(image.id), 'r+')
    await file.write(Buffer.from('????'), 0, 4, 8)
    await file.close()
    return image
  }
  const [bad, lost] = [await flip('bad'), await flip('lost')]
  const healed: string[] = []
  const keeper = keeperOf(images, store, {
    heal: async (image) => {
      if (image.id === lost.id) throw new Error('its source is gone')
      healed.push(image.id)
      return importImage(images, { source: join(bench.dir, 'bad.raw'), name: 'bad', sameAs: image.id })
    },
  })
  const node = await addNode(store, 'r1-u9')
  for (const { id } of [bad, lost])
    keeper.changed({ lastFault: { code: 'image.piece', atMs: 1 }, workflow: { ...node.workflow, imageId: id } })
  keeper.start()
  await until(async () => healed.length === 1 && (await images.broken()).map(({ id }) => id).join() === lost.id, {
    what: 'the look at what was found damaged',
    timeoutMs: 20_000,
  })
  await keeper.stop()
  expect(await damagedPieces(images, bad)).toEqual([])
  expect(await images.broken()).toEqual([{ id: lost.id, why: '1 of the 1 pieces of image lost are damaged' }])
})
