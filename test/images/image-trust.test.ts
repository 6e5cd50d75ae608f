/** images.trustedKeys: what no trusted key signed is neither released, nor deployed, nor handed to an agent; and what
 *  an image has beside its index lasts as long as its content. */
import { generateKeyPairSync } from 'node:crypto'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Orders } from '../../conductor/agents/orders.ts'
import { seriesRoutes } from '../../conductor/api/image-series.ts'
import type { ApiRequest } from '../../conductor/api/route.ts'
import { Images } from '../../conductor/config-images.ts'
import { trustOf } from '../../conductor/image-store/trust.ts'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { ImportBudget } from '../../images/budget.ts'
import { importImage } from '../../images/import.ts'
import { signImage } from '../../images/sign-image.ts'
import { publicKeyId } from '../../images/signature.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { openStore } from '../conductor/rollouts/world.ts'
import { importBench, MIB, noRegistry, type ImportBench } from './import-bench.ts'

let dir = ''
let bench: ImportBench
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-trust-'))
  bench = await importBench()
})
afterAll(async () => {
  await bench.stop()
  await rm(dir, { recursive: true, force: true })
})

const keys = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  return {
    private: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    public: publicKey.export({ type: 'spki', format: 'pem' }).toString(),
  }
}

let count = 0
async function world() {
  const images = new ImageStore(join(dir, `store-${(count += 1)}`))
  const disk = Buffer.alloc(MIB, 'web')
  disk.writeUInt16LE(0xaa55, 510)
  const source = join(dir, 'web.raw')
  await writeFile(source, disk)
  const image = await importImage(images, { source, name: 'web', origin: null })
  await images.setBeside(image.id, 'sbom.cdx.json', '{}')
  return { images, image, source, dir: join(images.root, image.id) }
}

/** The three doors: a release, a deploy, the order of an agent. */
async function refusals(images: ImageStore, trustedKeys: readonly string[], source = 'web'): Promise<string[]> {
  const config = Images.parse({ store: images.root, trustedKeys, allowedHosts: ['127.0.0.1'] })
  const trust = trustOf(config, images)
  const { store } = await openStore()
  const routes = seriesRoutes({ store, images, nodes: {} as never, trust, clock: systemClock, random: systemRandom })
  const release = routes.find(({ method, path }) => method === 'post' && path.endsWith('/versions'))
  const actor = { user: 'boss', role: 'admin', project: null }
  const budget = new ImportBudget({}, systemClock)
  const sources = new ImageSource({
    store: images,
    trust,
    allowedPaths: [],
    budget,
    guard: { allowedHosts: ['127.0.0.1'] },
    glance: undefined,
    oci: noRegistry,
  })
  const instanceInfo = { image_source: source, ...(source === 'web' ? {} : { image_checksum: 'a'.repeat(64) }) }
  const orders = new Orders({ images, trust, dataBase: '', lldpSeconds: 0, swarm: false })
  const { id } = await images.find('web')
  const doors = [
    () => release?.handle({ actor, params: { name: 'web' }, body: { version: '1' } } as unknown as ApiRequest, {}),
    () => sources.resolve({ workflow: { project: null }, instanceInfo }),
    () => orders.indexOf(id),
  ]
  return Promise.all(
    doors.map(async (door) => {
      try {
        await door()
        return 'may'
      } catch (error) {
        const { code, message } = error as { code?: string; message: string }
        return `${code}: ${message}`
      }
    }),
  )
}
const MAY = ['may', 'may', 'may']
const each = (text: RegExp) => [1, 2, 3].map(() => expect.stringMatching(text) as string)

test('without trusted keys every image may; with them, what one of them signed, also while keys change', async () => {
  const { images, image } = await world()
  const [old, next, foreign] = [keys(), keys(), keys()]
  expect(await refusals(images, [])).toEqual(MAY)
  const says = new RegExp(`^image.untrusted: image web ${image.id.slice(0, 16)}: it is not signed; .* has `)
  expect(await refusals(images, [old.public])).toEqual(each(says))
  await signImage(images, image, { recipe: 'test', key: old.private })
  expect(await refusals(images, [old.public])).toEqual(MAY)
  expect(await refusals(images, [foreign.public, old.public])).toEqual(MAY)
  expect(await refusals(images, [foreign.public])).toEqual(
    each(new RegExp(`signed by another key .${publicKeyId(old.public).slice(0, 16)}`)),
  )
  // Both are trusted until everything is signed anew; then the old one goes.
  expect(await refusals(images, [old.public, next.public])).toEqual(MAY)
  await signImage(images, image, { recipe: 'test', key: next.private })
  expect(await refusals(images, [old.public, next.public])).toEqual(MAY)
  expect(await refusals(images, [next.public])).toEqual(MAY)
  expect(await refusals(images, [old.public])).toEqual(each(/signed by another key/))
})

test('a changed index, bill of materials or signature is refused, and so is one that was taken away', async () => {
  const own = keys()
  const { images, image, dir: at } = await world()
  await signImage(images, image, { recipe: 'test', key: own.private })
  const whole = await readFile(join(at, 'index.json'), 'utf8')
  const index = JSON.parse(whole) as Record<string, unknown> & { pieces: object[] }
  for (const [change, says] of [
    [{ efiLoader: '\\EFI\\evil.efi' }, /its boot is not/],
    [{ pieces: [{ ...index.pieces[0], sha256: 'e'.repeat(64) }] }, /its pieces is not/],
    [{ pieces: [{ ...index.pieces[0], zero: true, lengthBytes: 0 }], dataBytes: 0 }, /its pieces is not/],
    [{ sizeBytes: MIB - 512 }, /its sizeBytes is not/],
  ] as const) {
    await writeFile(join(at, 'index.json'), JSON.stringify({ ...index, ...change }))
    expect(await refusals(images, [own.public]), JSON.stringify(change)).toEqual(each(says))
  }
  await writeFile(join(at, 'index.json'), whole)
  await writeFile(join(at, 'sbom.cdx.json'), '{"other": 1}')
  expect(await refusals(images, [own.public])).toEqual(each(/its sbom is not/))
  await writeFile(join(at, 'sbom.cdx.json'), '{}')
  expect(await refusals(images, [own.public])).toEqual(MAY)
  const signed = JSON.parse(await readFile(join(at, 'signature.json'), 'utf8')) as { signature: string }
  await writeFile(join(at, 'signature.json'), JSON.stringify({ ...signed, signature: 'AAAA' }))
  expect(await refusals(images, [own.public])).toEqual(each(/its signature is wrong/))
  await writeFile(join(at, 'signature.json'), 'rubbish')
  expect(await refusals(images, [own.public])).toEqual(each(/cannot be read/))
  await rm(join(at, 'signature.json'))
  expect(await refusals(images, [own.public])).toEqual(each(/it is not signed/))
})

test('where only signed images may be deployed, nothing is fetched from a URL', async () => {
  const own = keys()
  const { images, image } = await world()
  await signImage(images, image, { recipe: 'test', key: own.private })
  const url = `${bench.base}/trickle`
  const [, deploy] = await refusals(images, [own.public], url)
  expect(deploy).toMatch(/^image.untrusted: image http:.*nobody signed it/)
  expect(bench.open()).toBe(0)
})

test('a trusted key is an Ed25519 public key', () => {
  const parse = (key: string) => Images.safeParse({ store: '/s', trustedKeys: [key] }).error?.issues[0]?.message
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).publicKey.export({ type: 'spki', format: 'pem' })
  expect(parse(keys().public)).toBeUndefined()
  expect(parse(keys().private)).toContain('private')
  expect(parse(other.toString())).toContain('no Ed25519 key')
  expect(parse('rubbish')).toContain('no key in PEM')
})

test('another copy of the same content keeps signature and bill of materials; a scratch file is no origin', async () => {
  const own = keys()
  const { images, image, source, dir: at } = await world()
  await signImage(images, image, { recipe: 'test', key: own.private })
  expect(await images.originOf(image.id)).toBeUndefined()
  expect(await readdir(at)).not.toContain('origin.json')
  await importImage(images, { source, name: 'again', sameAs: image.id })
  expect((await images.originOf(image.id))?.source).toBe(source)
  expect(await images.beside(image.id, 'sbom.cdx.json')).toBe('{}')
  expect(await refusals(images, [own.public])).toEqual(MAY)
})

test('a copy that was fetched for somebody is no image for users of one project, by its name or its id', async () => {
  const { images, source } = await world()
  const copy = await importImage(images, { source: bench.raw, name: `url-${'0'.repeat(32)}` })
  expect(source).not.toBe(bench.raw)
  const sources = new ImageSource({
    store: images,
    allowedPaths: [],
    budget: new ImportBudget({}, systemClock),
    guard: { allowedHosts: [] },
    glance: undefined,
    oci: noRegistry,
  })
  const asked = (project: string | null, image_source: string) =>
    sources.resolve({ workflow: { project }, instanceInfo: { image_source } }).then(
      ({ id }) => id,
      ({ code }: { code: string }) => code,
    )
  for (const name of [copy.id, ...copy.names]) {
    expect(await asked('blue', name)).toBe('image.missing')
    expect(await asked(null, name)).toBe(copy.id)
  }
  await images.rename(copy.id, [...copy.names, 'for-all'])
  for (const name of [copy.id, 'for-all']) expect(await asked('blue', name)).toBe(copy.id)
})
