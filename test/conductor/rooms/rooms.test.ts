/** Boot rooms and conductors over real TLS: who gets in, what a room is told, what it keeps, what it reports. */
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { randomBytes } from 'node:crypto'
import { request } from 'node:https'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { tlsOf } from '../../../conductor/boot/rooms/link.ts'
import { BLOCK_BYTES } from '../../../conductor/boot/rooms/manifest.ts'
import { newCertificate, type Bundle } from '../../../conductor/boot/rooms/records.ts'
import type { BootRoom } from '../../../conductor/boot/rooms/room.ts'
import { LINK_PATH, upgradeHeaders } from '../../../conductor/boot/rooms/wire.ts'
import { mintToken, readToken, roomKey } from '../../../conductor/boot/token.ts'
import { until } from '../../../kit/clock.ts'
import { macOf, roomRack, SEGMENT, uuidOf, type RoomRack, type Side } from './room-rack.ts'

let rack: RoomRack
let side: Side
let bundle: Bundle
const LOCAL = { kind: 'local' } as const
const ramdisk = (generation: number) => ({ kind: 'ramdisk', generation, rescue: false, token: true }) as const

beforeEach(async () => {
  rack = await roomRack()
  for (const name of ['r1', 'r2']) await mkdir(join(rack.dir, `room ${name}`), { mode: 0o700 })
  side = await rack.side()
  await side.listen()
  bundle = await side.rooms.add({ name: 'r1', segments: [SEGMENT] })
})
afterEach(() => rack.end())

const sees = (what: string, check: () => boolean | Promise<boolean>) =>
  until(check, { what, timeoutMs: 50_000, everyMs: 20 })
const orders = (room: BootRoom) =>
  Object.fromEntries(room.holds().map(({ mac, order, fixedIp }) => [mac, { order, fixedIp }]))
const started = async (conductors = [side.url], given = bundle, address = '127.0.9.1') => {
  const room = rack.room(given, conductors, { address })
  await room.start()
  return room
}

/** What the port answers to these credentials. */
function knock(tls: object, headers: Record<string, string>, url = side.url): Promise<string> {
  return new Promise((resolve) => {
    const asked = request(url, { path: LINK_PATH, headers, agent: false, ...tls })
    asked.on('upgrade', (_, socket) => {
      socket.destroy()
      resolve('let in')
    })
    asked.on('response', (response) => {
      let text = ''
      response.on('data', (chunk: Buffer) => (text += chunk.toString()))
      response.on('end', () => resolve(`${response.statusCode} ${String((JSON.parse(text) as { code: string }).code)}`))
    })
    asked.on('error', (error) => resolve(error.message))
    asked.end()
  })
}

describe('who gets in', () => {
  test('the room with its certificate, under its own name alone', async () => {
    expect(await knock(tlsOf(bundle), upgradeHeaders('r1'))).toBe('let in')
    expect(await knock(tlsOf(bundle), upgradeHeaders('r2'))).toBe('403 room.unknown')
  })
  test('no certificate, one of somebody else, one of a removed room and an expired one are refused', async () => {
    const bare = { rejectUnauthorized: false, minVersion: 'TLSv1.3' }
    expect(await knock(bare, upgradeHeaders('r1'))).toBe('403 room.unknown')
    const other = await newCertificate('r1', { days: 9, nowMs: Date.now() })
    expect(await knock(tlsOf({ ...bundle, ...other }), upgradeHeaders('r1'))).toBe('403 room.unknown')
    await side.records.change('r1', 0, ({ certificates }) => ({
      certificates: certificates.map((one) => ({ ...one, expiresAtMs: Date.now() - 1 })),
    }))
    expect(await knock(tlsOf(bundle), upgradeHeaders('r1'))).toBe('403 room.expired')
    await side.rooms.remove('r1')
    expect(await knock(tlsOf(bundle), upgradeHeaders('r1'))).toBe('403 room.unknown')
  })
  test('a room talks to no conductor whose certificate it was not given', async () => {
    await side.node(1, LOCAL, { version: 3 })
    const room = await started([side.url], { ...bundle, pins: ['0'.repeat(64)] })
    await sees('the refusal', () => room.look().conductors[0]?.trouble?.includes('certificate') === true)
    expect([room.look().state, room.look().clients]).toEqual(['empty', 0])
  })
  test('a new certificate ends the one of before when it is used, and no sooner', async () => {
    const next = await side.rooms.renew('r1')
    expect(await knock(tlsOf(bundle), upgradeHeaders('r1'))).toBe('let in')
    const room = await started([side.url], next)
    await sees('the room', () => room.look().state === 'fresh')
    expect(await knock(tlsOf(bundle), upgradeHeaders('r1'))).toBe('403 room.unknown')
  })
  test('a room that is removed is cut off at once', async () => {
    const room = await started()
    await sees('the room', () => room.look().state === 'fresh')
    await side.rooms.remove('r1')
    await sees('its end', () => room.look().state === 'away')
    await sees('why', () => room.look().conductors[0]?.trouble?.includes('no boot room') === true)
  })
})

describe('what a room knows', () => {
  test('the clients of its segments alone, with an address each that all rooms give', async () => {
    await side.node(1, ramdisk(4), { version: 3 })
    await side.node(2, LOCAL, { version: 3 })
    await side.node(3, LOCAL, { version: 3, segment: 'rack2' })
    await side.node(4, LOCAL, { version: 3, segment: null })
    const other = await side.rooms.add({ name: 'r2', segments: [SEGMENT] })
    const [room, twin] = [await started(), await started([side.url], other, '127.0.9.2')]
    await sees('the orders', () => room.look().clients === 2 && twin.look().clients === 2)
    expect(orders(room)).toEqual({
      [macOf(1)]: { order: ramdisk(4), fixedIp: '10.9.0.100' },
      [macOf(2)]: { order: LOCAL, fixedIp: '10.9.0.101' },
    })
    expect(orders(twin)).toEqual(orders(room))
    await side.node(1, LOCAL, { version: 4 })
    await side.gone(2)
    await sees('the changes', () => room.look().clients === 1 && orders(room)[macOf(1)]?.order.kind === 'local')
    // The address of the one that is gone is free again.
    await side.node(5, LOCAL, { version: 1 })
    await sees('the next one', () => orders(room)[macOf(5)]?.fixedIp === '10.9.0.101')
  })
  test('where addresses are used up, a client is refused with the reason', async () => {
    for (const n of [1, 2, 3, 4]) await side.node(n, LOCAL, { version: 1 })
    const room = await started()
    await sees('the orders', () => room.look().clients === 4)
    expect(room.holds().filter(({ refusal }) => refusal?.includes('allotted')).length).toBe(1)
  })
  test('a flush waits for the room, and fails while none is there', async () => {
    await side.node(1, LOCAL, { version: 1 })
    await expect(side.hub.flush(uuidOf(1))).rejects.toThrow(/no boot room of segment rack1/)
    const room = await started()
    await sees('the room', () => room.look().clients === 1)
    await side.node(1, ramdisk(1), { version: 2 })
    await side.hub.flush(uuidOf(1))
    expect(orders(room)[macOf(1)]?.order).toEqual(ramdisk(1))
  })
  test('it keeps serving without any conductor, also after a restart, and says how old its knowledge is', async () => {
    await side.node(1, ramdisk(4), { version: 3 })
    const before = await started()
    await sees('the orders', () => before.look().clients === 1)
    await side.down()
    await sees('the loss', () => before.look().state === 'away')
    const port = rack.httpPort
    expect((await fetch(`http://127.0.9.1:${port}/nothing`)).status).toBe(404)
    await before.stop()
    const room = await started()
    expect(orders(room)).toEqual({ [macOf(1)]: { order: ramdisk(4), fixedIp: '10.9.0.100' } })
    expect(room.look()).toMatchObject({ state: 'away', clients: 1 })
    expect(room.look().ageSeconds).toBeGreaterThanOrEqual(0)
    expect((await fetch(`http://127.0.9.1:${port}/nothing`)).status).toBe(404)
    expect((await stat(join(rack.dir, 'room r1', 'room-state.json'))).mode & 0o777).toBe(0o600)
    const kept = await readFile(join(rack.dir, 'room r1', 'room-state.json'), 'utf8')
    expect(JSON.parse(kept)).toMatchObject({ settings: { segments: [{ name: SEGMENT }] } })
  })
  test('of two conductors the newer word counts, whichever is heard last', async () => {
    const old = await rack.side()
    await old.listen()
    await side.node(1, ramdisk(5), { version: 9 })
    await side.node(2, LOCAL, { version: 9 })
    await old.node(1, LOCAL, { version: 8 })
    const room = await started([side.url])
    await sees('the orders', () => room.look().clients === 2)
    await side.down()
    await room.stop()
    const again = await started([old.url])
    await sees('the old one', () => again.look().state === 'fresh' && again.look().olderRefused > 0)
    expect(orders(again)[macOf(1)]?.order).toEqual(ramdisk(5))
    expect(again.look().clients).toBe(2)
  })
  test('a damaged file of its own empties it, and the next conductor fills it again', async () => {
    await side.node(1, LOCAL, { version: 3 })
    const before = await started()
    await sees('the orders', () => before.look().clients === 1)
    await before.stop()
    await writeFile(join(rack.dir, 'room r1', 'room-state.json'), '{"mark":')
    await chmod(join(rack.dir, 'room r1', 'room-state.json'), 0o600)
    const room = await started()
    await sees('the orders', () => room.look().state === 'fresh' && room.look().clients === 1)
  })
})

describe('what a room reports', () => {
  const event = (n: number, node = 1) =>
    ({ kind: 'sign', atMs: n, nodeUuid: uuidOf(node), sign: 'offer', detail: `${n}` }) as const
  const details = () => side.events.map((one) => (one.kind === 'sign' ? one.detail : one.kind))

  test('comes in order, once, also over a break; and of its own nodes alone', async () => {
    await side.node(1, LOCAL, { version: 1 })
    await side.node(3, LOCAL, { version: 1, segment: 'rack2' })
    const room = await started()
    await sees('the room', () => room.look().state === 'fresh')
    for (let n = 1; n <= 300; n += 1) room.report(event(n))
    room.report(event(999, 3))
    await sees('the reports', () => room.look().reportsWaiting === 0)
    expect(details()).toEqual(Array.from({ length: 300 }, (_, i) => `${i + 1}`))
    await side.down()
    await sees('the loss', () => room.look().state === 'away')
    for (let n = 301; n <= 310; n += 1) room.report(event(n))
    await side.listen()
    await sees('the rest', () => room.look().reportsWaiting === 0)
    expect(details()).toEqual(Array.from({ length: 310 }, (_, i) => `${i + 1}`))
  })
})

describe('what a room passes on', () => {
  const PATH = '/ramdisk/initrd'
  const get = (headers: Record<string, string> = {}) => fetch(`http://127.0.9.1:${rack.httpPort}${PATH}`, { headers })
  const bytesOf = async (answer: Response) => Buffer.from(await answer.arrayBuffer())
  const content = Buffer.concat([randomBytes(BLOCK_BYTES), randomBytes(BLOCK_BYTES), randomBytes(1000)])
  const blocks = () => side.asked.filter((url) => url.startsWith('/room/v1/block')).length
  const blockFiles = () => readdir(join(rack.dir, 'room r1', 'cache', 'blocks'))

  beforeEach(async () => {
    await writeFile(join(rack.dir, 'initrd'), content)
    side.files.set(PATH, join(rack.dir, 'initrd'))
  })
  const ready = async () => {
    const room = await started()
    await sees('the room', () => room.look().state === 'fresh')
    return room
  }

  test('is fetched once for all who ask, in ranges too, and goes on without a conductor', async () => {
    await ready()
    const answers = await Promise.all([get(), get(), get({ range: `bytes=${BLOCK_BYTES - 5}-${BLOCK_BYTES + 4}` })])
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 206])
    const [whole, again, part] = await Promise.all(answers.map(bytesOf))
    expect([whole?.equals(content), again?.equals(content)]).toEqual([true, true])
    expect(part).toEqual(content.subarray(BLOCK_BYTES - 5, BLOCK_BYTES + 5))
    expect(blocks()).toBe(3)
    await side.down()
    expect((await bytesOf(await get())).equals(content)).toBe(true)
    expect((await get({ range: 'bytes=99999999-' })).status).toBe(416)
  })
  test('a block that is damaged on the disk is fetched again', async () => {
    const room = await ready()
    await bytesOf(await get())
    const [name = ''] = await blockFiles()
    await writeFile(join(rack.dir, 'room r1', 'cache', 'blocks', name), Buffer.alloc(BLOCK_BYTES, 1))
    expect((await bytesOf(await get())).equals(content)).toBe(true)
    expect([blocks(), room.look().damagedBlocks]).toEqual([4, 1])
  })
  test('of a block that is not what its conductor said, not one byte goes out or is kept', async () => {
    const room = await ready()
    await get({ range: 'bytes=0-0' })
    // The file is another one now, and the room knows the digests of the one before.
    const other = Buffer.from(content).fill(3, BLOCK_BYTES, 2 * BLOCK_BYTES)
    await writeFile(join(rack.dir, 'initrd'), other)
    expect((await get({ range: `bytes=${BLOCK_BYTES}-${BLOCK_BYTES + 9}` })).status).toBe(503)
    expect((await blockFiles()).length).toBe(1)
    // It asks what the file is now.
    expect((await bytesOf(await get())).equals(other)).toBe(true)
    expect(room.look().cacheBytes).toBe(content.length)
  })
  test('nothing is taken from a conductor whose certificate it was not given', async () => {
    const before = await ready()
    await before.stop()
    const room = await started([side.url], { ...bundle, pins: ['0'.repeat(64)] })
    expect((await get()).status).toBe(503)
    expect([room.look().cacheBytes, side.asked]).toEqual([0, []])
  })
  test('what the conductor does not serve is not asked for twice, and strange paths not at all', async () => {
    await ready()
    side.files.clear()
    expect((await get()).status).toBe(404)
    const before = side.asked.length
    expect((await fetch(`http://127.0.9.1:${rack.httpPort}/etc/passwd`)).status).toBe(404)
    expect(side.asked.length).toBe(before)
  })
})

describe('the token of a room', () => {
  const token = { nodeUuid: uuidOf(1), generation: 3, mintedMs: 5 }
  const key = Buffer.alloc(32, 7)
  test('names it, and no other room can make it', () => {
    const text = mintToken(roomKey(key, 'r1'), { ...token, room: 'r1' })
    expect(readToken(key, text)).toEqual({ ...token, room: 'r1' })
    expect(() => readToken(key, text.replace('~r1', '~r2'))).toThrow(/not minted here/)
    expect(() => readToken(key, text.replace('~r1', ''))).toThrow(/not minted here/)
  })
  test('counts for nodes of its segments, while the room is there', async () => {
    await side.node(1, LOCAL, { version: 1 })
    await side.node(3, LOCAL, { version: 1, segment: 'rack2' })
    await side.rooms.checkToken({ ...token, room: 'r1' })
    await side.rooms.checkToken({ ...token, nodeUuid: uuidOf(3) })
    await expect(side.rooms.checkToken({ ...token, nodeUuid: uuidOf(3), room: 'r1' })).rejects.toThrow(/does not serve/)
    await side.rooms.remove('r1')
    await expect(side.rooms.checkToken({ ...token, room: 'r1' })).rejects.toThrow(/is no more/)
  })
})
