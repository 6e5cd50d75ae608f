/** Images: what is refused, what is kept, and that every piece proves itself. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { mkdtemp, readdir, readFile, rm, symlink, truncate, writeFile } from 'node:fs/promises'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { zstdDecompress } from './zstd.ts'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { ImageSource } from '../../conductor/node/run/image-source.ts'
import { ImportBudget } from '../../images/budget.ts'
import { parseChecksum } from '../../images/checksum.ts'
import { detectFormat } from '../../images/format.ts'
import { importImage } from '../../images/import.ts'
import { indexFlaw, PIECE_BYTES, pieceLength } from '../../images/index.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'
import { noRegistry } from './import-bench.ts'

let dir = ''
let store: ImageStore
let raw: Buffer
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-images-'))
  store = new ImageStore(join(dir, 'store'))
  // Data, a hole of two pieces, data that does not compress, a short last piece.
  raw = Buffer.concat([
    Buffer.alloc(PIECE_BYTES, 'data'),
    Buffer.alloc(2 * PIECE_BYTES),
    randomBytes(PIECE_BYTES),
    Buffer.alloc(1000, 9),
  ])
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'disk.raw'), raw)
})
afterAll(() => rm(dir, { recursive: true, force: true }))

const sha = (algo: string, bytes: Buffer) => createHash(algo).update(bytes).digest('hex')
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  )

describe('import', () => {
  test('cuts into pieces that give the image back, byte for byte', async () => {
    const image = await importImage(store, {
      source: join(dir, 'disk.raw'),
      name: 'disk',
      checksum: parseChecksum(sha('sha512', raw)),
    })
    expect(indexFlaw(image)).toBeUndefined()
    expect([image.id, image.pieces.map((piece) => piece.zero)]).toEqual([
      sha('sha256', raw),
      [false, true, true, false, false],
    ])
    const data = await readFile(store.dataPath(image.id))
    for (const [number, piece] of image.pieces.entries()) {
      const bytes = piece.zero
        ? Buffer.alloc(pieceLength(image, number))
        : await zstdDecompress(data.subarray(piece.at, piece.at + piece.lengthBytes))
      expect(bytes.equals(raw.subarray(number * PIECE_BYTES, (number + 1) * PIECE_BYTES))).toBe(true)
      expect(sha('sha256', bytes)).toBe(piece.sha256)
    }
    expect((await store.find('disk')).id).toBe(image.id)
  })
  test('of a qcow2 gives the same image as of the raw disk in it', async () => {
    const qcow2 = join(dir, 'disk.qcow2')
    await runOk(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', '-c', join(dir, 'disk.raw'), qcow2], {
      timeoutMs: 60_000,
    })
    // qcow2 counts in sectors: the last piece is filled up to one.
    const image = await importImage(store, { source: qcow2, name: 'from-qcow2' })
    expect(image.sizeBytes).toBe(Math.ceil(raw.length / 512) * 512)
    expect(image.pieces.slice(0, 4)).toEqual((await store.find('disk')).pieces.slice(0, 4))
  })
  test('refuses a wrong checksum, a wrong format, a backing file, a device, a missing file; and leaves nothing behind', async () => {
    const backed = join(dir, 'backed.qcow2')
    await runOk(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', join(dir, 'disk.raw'), '-F', 'raw', backed], {
      timeoutMs: 60_000,
    })
    await writeFile(join(dir, 'text'), 'hello')
    const source = join(dir, 'disk.raw')
    const before = await readdir(store.root)
    expect(await code(importImage(store, { source, name: 'x', checksum: parseChecksum('0'.repeat(64)) }))).toBe(
      'image.checksum',
    )
    expect(await code(importImage(store, { source, name: 'x', format: 'qcow2' }))).toBe('image.format')
    expect(await code(importImage(store, { source: backed, name: 'x' }))).toBe('image.format')
    expect(await code(importImage(store, { source: join(dir, 'text'), name: 'x' }))).toBe('image.format')
    expect(await code(importImage(store, { source: '/dev/zero', name: 'x' }))).toBe('image.source')
    expect(await code(importImage(store, { source: join(dir, 'none'), name: 'x' }))).toBe('image.source')
    expect(await code(importImage(store, { source, name: '../x' }))).toBe('input.invalid')
    expect(await readdir(store.root)).toEqual(before)
  })
  test('a raw image that is in truth a qcow2 is never converted', async () => {
    const backed = join(dir, 'liar.raw')
    await runOk(['qemu-img', 'create', '-q', '-f', 'qcow2', '-b', '/etc/passwd', '-F', 'raw', backed], {
      timeoutMs: 60_000,
    })
    expect(await code(importImage(store, { source: backed, name: 'x', format: 'raw' }))).toBe('image.format')
  })
})

describe('from a URL', () => {
  let server: Server
  let base = ''
  beforeAll(async () => {
    server = createServer((request, response) => {
      if (request.url === '/short') {
        response.writeHead(200, { 'content-length': raw.length })
        return void response.write(raw.subarray(0, 5000), () => response.destroy())
      }
      if (request.url === '/huge')
        return void response.writeHead(200, { 'content-length': 1e15 }).write(raw.subarray(0, 5000))
      if (request.url === '/moved') return void response.writeHead(302, { location: '/disk' }).end()
      if (request.url === '/loop') return void response.writeHead(302, { location: '/loop' }).end()
      if (request.url !== '/disk') return void response.writeHead(404).end()
      response.writeHead(200, { 'content-length': raw.length }).end(raw)
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  })
  afterAll(() => void server.close())
  test('follows a redirect, and refuses what is short, missing or circular', async () => {
    expect((await importImage(store, { source: `${base}/moved`, name: 'moved' })).id).toBe(sha('sha256', raw))
    for (const path of ['short', 'missing', 'loop'])
      expect(await code(importImage(store, { source: `${base}/${path}`, name: 'x' }))).toBe('image.source')
    expect(await code(importImage(store, { source: `${base}/huge`, name: 'x' }))).toBe('image.space')
  })
  test('a node’s URL needs a checksum, is imported once for many nodes, and a file URL stays within the allowed paths', async () => {
    const series = new Map<string, string>()
    const source = new ImageSource({
      series: (name) => Promise.resolve(series.get(name)),
      glance: undefined,
      oci: noRegistry,
      store,
      allowedPaths: [join(dir, 'allowed')],
      budget: new ImportBudget({}, systemClock),
      guard: { allowedHosts: ['127.0.0.1'] },
    })
    const node = (image_source: string, image_checksum?: string) => ({
      workflow: { project: null },
      instanceInfo: { image_source, ...(image_checksum ? { image_checksum } : {}) },
    })
    expect(await code(source.resolve(node(`${base}/disk`)))).toBe('input.missing')
    expect(await code(source.resolve(node(`${base}/disk`, 'f'.repeat(64))))).toBe('image.checksum')
    const images = await Promise.all([1, 2, 3].map(() => source.resolve(node(`${base}/disk`, sha('sha256', raw)))))
    expect(new Set(images.map((image) => image.id)).size).toBe(1)
    await symlink(join(dir, 'disk.raw'), join(dir, 'link'))
    expect(await code(source.resolve(node(`file://${dir}/disk.raw`, sha('sha256', raw))))).toBe('input.invalid')
    await runOk(['mkdir', '-p', join(dir, 'allowed')], { timeoutMs: 30_000 })
    await symlink('/etc/passwd', join(dir, 'allowed/passwd'))
    expect(await code(source.resolve(node(`file://${dir}/allowed/passwd`, '0'.repeat(64))))).toBe('input.invalid')
    expect(await code(source.resolve(node('no-such-image')))).toBe('image.missing')
    expect(await code(source.resolve(node('web@stable')))).toBe('image.missing')
    series.set('web@stable', images[0]?.id ?? '')
    expect((await source.resolve(node('web@stable'))).id).toBe(images[0]?.id)
    expect((await source.known(node('web@stable')))?.id).toBe(images[0]?.id)
  })
})

describe('formats', () => {
  test('any head is accepted or refused, never anything else', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        try {
          detectFormat(Buffer.from(bytes))
        } catch (error) {
          expect(error).toBeInstanceOf(Fault)
        }
      }),
    )
  })
  test('a qcow2 with an external data file or an unknown feature is refused', () => {
    const head = Buffer.alloc(512)
    head.writeUInt32BE(0x514649fb, 0)
    head.writeUInt32BE(3, 4)
    expect(detectFormat(head)).toBe('qcow2')
    for (const bit of [2n, 40n]) {
      head.writeBigUInt64BE(1n << bit, 72)
      expect(() => detectFormat(head)).toThrow(Fault)
    }
  })
})

test('an id that is no hash never becomes a path', () => {
  for (const id of ['../../etc', '', 'a'.repeat(63), `${'a'.repeat(64)}/..`])
    expect(() => store.dataPath(id)).toThrow(Fault)
})

test('an index whose pieces do not cover the data is refused', async () => {
  const image = await store.find('disk')
  const flaws = [
    { ...image, sizeBytes: image.sizeBytes + PIECE_BYTES },
    { ...image, dataBytes: image.dataBytes + 1 },
    { ...image, pieces: [...image.pieces].reverse() },
  ]
  expect(flaws.map((flaw) => indexFlaw(flaw) !== undefined)).toEqual([true, true, true])
})

test('a truncated index is an error that names the image, not an empty store', async () => {
  const broken = new ImageStore(join(dir, 'broken'))
  const image = await importImage(broken, { source: join(dir, 'disk.raw'), name: 'x' })
  await truncate(join(broken.root, image.id, 'index.json'), 10)
  await expect(broken.find('x')).rejects.toThrow()
})
