/** Images through boot rooms: the agent's own code fetches pieces from real rooms, which fetch each block once from a
 *  conductor; and what becomes of a deploy whose room dies, is cut off, or has a bad disk. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { Orders } from '../../../conductor/agents/orders.ts'
import type { BootRoom } from '../../../conductor/boot/rooms/room.ts'
import { newNode } from '../../../conductor/node/record.ts'
import { planDeploy } from '../../../conductor/node/policy/steps.ts'
import { DiskFile } from '../../../host-agent/deploy/disk.ts'
import { PieceServers } from '../../../host-agent/deploy/piece-servers.ts'
import { writeImage } from '../../../host-agent/deploy/write-image.ts'
import { importImage } from '../../../images/import.ts'
import { PIECE_BYTES, type ImageIndex } from '../../../images/index.ts'
import { ImageStore } from '../../../images/store.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { closed, listen, urlOf } from '../../../kit/listen.ts'
import { roomRack, SEGMENT, uuidOf, type RoomRack, type Side } from './room-rack.ts'

const PIECES = 12
const ADDRESSES = { r1: '127.0.9.1', r2: '127.0.9.2' } as const

let images: string
let raw: Buffer
let index: ImageIndex
let store: ImageStore
let path = ''
/** What the conductor itself served, beside its rooms. */
let conductor: Server
let direct = 0

let rack: RoomRack
let side: Side

beforeAll(async () => {
  images = await mkdtemp(join(tmpdir(), 'rackward-room-images-'))
  raw = randomBytes(PIECES * PIECE_BYTES)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(images, 'raw'), raw)
  store = new ImageStore(join(images, 'store'))
  index = await importImage(store, { source: join(images, 'raw'), name: 'i' })
  path = `/images/${index.id}/data.zst`
  const data = await readFile(store.dataPath(index.id))
  conductor = createServer((request, response) => {
    const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    direct += 1
    response.writeHead(206, { 'content-length': to - from + 1 }).end(data.subarray(from, to + 1))
  })
  await listen(conductor, { port: 0, host: '127.0.0.1' })
}, 60_000)
afterAll(async () => {
  await closed(conductor)
  await rm(images, { recursive: true })
})

beforeEach(async () => {
  direct = 0
  rack = await roomRack()
  for (const name of ['r1', 'r2']) await mkdir(join(rack.dir, `room ${name}`), { mode: 0o700 })
  side = await rack.side()
  await side.listen()
  side.files.set(path, store.dataPath(index.id))
})
afterEach(() => rack.end())

async function room(name: keyof typeof ADDRESSES): Promise<BootRoom> {
  const made = rack.room(await side.rooms.add({ name, segments: [SEGMENT] }), [side.url], { address: ADDRESSES[name] })
  await made.start()
  await until(() => made.look().state === 'fresh', { what: `the room ${name}`, timeoutMs: 50_000, everyMs: 20 })
  return made
}

const blockAsks = () => side.asked.filter((url) => url.startsWith('/room/v1/block')).length
const blocks = () => Math.ceil(index.dataBytes / (4 * 1024 * 1024))

/** As the agent of a node in the segment does with its order. */
async function deploy(n: number, onPiece: () => Promise<void> = async () => undefined): Promise<string | undefined> {
  await side.node(n, { kind: 'local' }, { version: 1 })
  const near = await side.rooms.nearOf(uuidOf(n))
  const source = new PieceServers(
    `${urlOf(conductor)}${path}`,
    near.map((base) => `${base}${path}`),
  )
  const file = join(images, `disk-${n}`)
  await writeFile(file, Buffer.alloc(raw.length, 0xee))
  const disk = await DiskFile.open(file)
  const clock = { ...systemClock, sleep: (ms: number) => systemClock.sleep(Math.min(ms, 50)) }
  let done = 0
  try {
    await writeImage({
      disk,
      index,
      source,
      clock,
      onProgress: (phase, doneBytes) => {
        if (phase !== 'write' || doneBytes <= done) return
        done = doneBytes
        void onPiece()
      },
    })
    expect((await readFile(file)).equals(raw)).toBe(true)
  } finally {
    await disk.close()
    await rm(file)
  }
  return source.said
}

test('four nodes through two rooms: each block leaves the conductor once for each room, and no node asks him', async () => {
  const [one, two] = [await room('r1'), await room('r2')]
  const said = await Promise.all([1, 2, 3, 4].map((n) => deploy(n)))
  expect(new Set(said)).toEqual(new Set(Object.values(ADDRESSES).map((ip) => `image server: boot room ${ip}`)))
  expect([direct, blockAsks()]).toEqual([0, 2 * blocks()])
  expect([one.look().cacheBytes, two.look().cacheBytes]).toEqual([index.dataBytes, index.dataBytes])
}, 120_000)

test('an order names the rooms of the node that are connected before the conductor, and no others', async () => {
  const first = await room('r1')
  await room('r2')
  await side.node(1, { kind: 'local' }, { version: 1 })
  await side.node(3, { kind: 'local' }, { version: 1, segment: 'rack2' })
  const base = 'http://192.0.2.1:8080'
  const orders = new Orders({ images: store, dataBase: base, nearOf: side.rooms.nearOf, lldpSeconds: 0, swarm: false })
  const orderOf = async (n: number) => {
    const node = newNode({ uuid: uuidOf(n), driver: 'ipmi' }, 0)
    const workflow = {
      ...node.workflow,
      order: 'deploy',
      phase: 'agent',
      imageId: index.id,
      steps: planDeploy([]),
    } as const
    const order = await orders.of({ ...node, provisionState: 'wait call-back', workflow })
    return order?.kind === 'deploy' ? { data: order.dataUrl, near: order.nearUrls } : order
  }
  const near = Object.values(ADDRESSES).map((ip) => `http://${ip}:${rack.httpPort}${path}`)
  const order = await orderOf(1)
  expect(order).toEqual({ data: `${base}${path}`, near: expect.any(Array) as unknown })
  expect(new Set((order as { near: string[] }).near)).toEqual(new Set(near))
  expect(await orderOf(3)).toEqual({ data: `${base}${path}`, near: undefined })
  await first.stop()
  await until(async () => (await side.rooms.nearOf(uuidOf(1))).length === 1, { what: 'its end', timeoutMs: 50_000 })
  expect(await orderOf(1)).toMatchObject({ near: [near[1]] })
}, 120_000)

test('a room that dies in the middle: the node goes on with the other one, and gets all of it right', async () => {
  const rooms = new Map([
    [ADDRESSES.r1 as string, await room('r1')],
    [ADDRESSES.r2 as string, await room('r2')],
  ])
  await side.node(1, { kind: 'local' }, { version: 1 })
  const [first = ''] = await side.rooms.nearOf(uuidOf(1))
  let pieces = 0
  const said = await deploy(1, async () => {
    if ((pieces += 1) === 2) await rooms.get(new URL(first).hostname)?.stop()
  })
  expect(said).toMatch(/^image server: boot room 127\.0\.9\.\d \(boot room 127\.0\.9\.\d gave nothing right\)$/)
  expect(direct).toBe(0)
}, 120_000)

test('without a conductor a room gives what it has, and what it lacks comes from where the order says', async () => {
  const one = await room('r1')
  await deploy(1)
  await side.node(2, { kind: 'local' }, { version: 1 })
  const near = await side.rooms.nearOf(uuidOf(2))
  await side.down()
  await until(() => one.look().state === 'away', { what: 'the loss', timeoutMs: 50_000 })
  const get = (n: number) =>
    fetch(`${near[0] ?? ''}${path}`, { headers: { range: `bytes=${n * 4 * 1024 * 1024}-${n * 4 * 1024 * 1024 + 9}` } })
  expect((await get(1)).status).toBe(206)
  const cache = join(rack.dir, 'room r1', 'cache', 'blocks')
  for (const name of await readdir(cache)) await rm(join(cache, name))
  expect((await get(1)).status).toBe(503)
}, 120_000)

test('a room whose disk turns blocks into others passes on none of them', async () => {
  const one = await room('r1')
  await deploy(1)
  const cache = join(rack.dir, 'room r1', 'cache', 'blocks')
  for (const name of await readdir(cache)) {
    const block = await open(join(cache, name), 'r+')
    await block.write(Buffer.from('poison'), 0, 6, 1_000)
    await block.close()
  }
  expect(await deploy(2)).toBe('image server: boot room 127.0.9.1')
  expect([direct, blockAsks(), one.look().damagedBlocks]).toEqual([0, 2 * blocks(), blocks()])
}, 120_000)

test('a room that is given other data for the image passes it on, and the node takes the right one from the conductor', async () => {
  await room('r1')
  const other = join(images, 'other')
  await writeFile(other, randomBytes(index.dataBytes))
  side.files.set(path, other)
  expect(await deploy(1)).toBe('image server: the conductor (boot room 127.0.9.1 gave nothing right)')
  expect(direct).toBeGreaterThan(0)
}, 120_000)
