/** Attacks on the port that a node opens while it writes an image, and on the end that fetches: over real sockets. */
import { connect, createServer, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Ticket } from '../../../conductor/api/swarm-wire.ts'
import { encodeFrame, FRAME, FrameReader, numbersBody, pieceHead } from '../../../host-agent/deploy/swarm/frames.ts'
import { PeerLink } from '../../../host-agent/deploy/swarm/peer-link.ts'
import { PeerServer } from '../../../host-agent/deploy/swarm/peer-server.ts'
import { goodTicket, proofOf, ticketKeyOf } from '../../../host-agent/deploy/swarm/proof.ts'
import { Shelf } from '../../../host-agent/deploy/swarm/shelf.ts'
import { systemClock, turn, until, type Clock } from '../../../kit/clock.ts'
import { listen } from '../../../kit/listen.ts'
import { systemRandom } from '../../../kit/random.ts'
import { uuid } from './rig.ts'
import { IMAGE, index, KEY, neighbourAt, READER, SELF, SIZE, ticket } from './tickets.ts'

/** Patience passes twenty times as fast. */
const clock: Clock = { ...systemClock, after: (ms, callback) => systemClock.after(ms / 20, callback) }
let server: PeerServer
let port = 0
beforeEach(async () => {
  const shelf = new Shelf({ index, disk: { read: async () => undefined }, memoryBytes: 1e6 })
  for (const number of [1, 2, 3, 4, 5, 6]) shelf.keep(number, Buffer.alloc(SIZE, number))
  server = new PeerServer({
    shelf,
    self: () => ({ id: SELF, imageId: IMAGE, key: KEY, nowMs: 1_000_000 }),
    bytesPerSecond: () => undefined,
    clock,
    random: systemRandom,
  })
  port = await server.listen('127.0.0.1')
})
afterEach(() => server.close())

/** What a stranger hears until it is cut off, or has heard `enough` bytes. */
async function hears(socket: Socket, enough = Number.POSITIVE_INFINITY): Promise<Buffer> {
  const chunks: Buffer[] = []
  let isOver = false
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  socket.on('error', () => undefined)
  socket.once('close', () => (isOver = true))
  const bytes = () => Buffer.concat(chunks)
  await until(() => isOver || bytes().length >= enough, { what: 'an end', timeoutMs: 20_000, everyMs: 5 })
  return bytes()
}
const dial = () => connect({ host: '127.0.0.1', port })
const nonce = Buffer.alloc(16, 5)
const hello = (text: string) => encodeFrame(FRAME.hello, Buffer.concat([nonce, Buffer.from(text)]))

test.each([
  ['nothing at all', Buffer.alloc(0)],
  ['no frame', Buffer.from('GET / HTTP/1.1\r\n\r\n')],
  ['a frame that claims four gigabytes', Buffer.from([FRAME.hello, 0xff, 0xff, 0xff, 0xff])],
  ['a proof without a ticket', encodeFrame(FRAME.prove, Buffer.alloc(32))],
  ['a request without a ticket', encodeFrame(FRAME.get, numbersBody([1]))],
  ['no ticket', hello('let me in')],
  ['a ticket of yesterday', hello(ticket({ notAfterMs: 999_999 }))],
  ['a ticket for another address', hello(ticket({ readerIp: '127.0.0.2' }))],
  ['a ticket for another node', hello(ticket({ server: uuid(7) }))],
  ['a ticket for another image', hello(ticket({ imageId: 'b'.repeat(64) }))],
])('%s: cut off without an answer', async (_, bytes) => {
  const socket = dial()
  socket.write(bytes)
  expect((await hears(socket)).length).toBe(0)
  expect(server.connections).toBe(0)
})

test('a forged ticket, and the proof of another connection, open nothing', async () => {
  const key = ticketKeyOf(KEY, ticket())
  const first = dial()
  first.write(hello(ticket()))
  const challenge = (await hears(first, 53)).subarray(5)
  const old = proofOf(key, 'reader', { reader: nonce, server: challenge.subarray(0, 16) })
  for (const proof of [Buffer.alloc(32), old]) {
    const socket = dial()
    socket.write(hello(ticket()))
    socket.write(encodeFrame(FRAME.prove, proof))
    // The challenge, and nothing else.
    expect((await hears(socket)).length).toBe(53)
  }
  expect(server.connections).toBe(0)
  first.destroy()
})

test('of ten thousand forged tickets none is good, and a good reader is served meanwhile', async () => {
  const me = { id: SELF, imageId: IMAGE, nowMs: 1_000_000 }
  const forged = Array.from({ length: 10_000 }, (_, i) => ticket({ reader: uuid(i), notAfterMs: 1_000_000 - i }))
  expect(forged.filter((text) => goodTicket(text, me, '127.0.0.1'))).toEqual([])
  const flood = forged.slice(0, 300).map((text) => {
    const socket = dial()
    socket.on('error', () => undefined)
    socket.write(hello(text))
    return new Promise((resolve) => socket.once('close', resolve))
  })
  await Promise.all(flood)
  const { heard, link } = reader()
  await until(() => heard.has.length > 0, { what: 'pieces', timeoutMs: 20_000, everyMs: 10 })
  link.ask(3)
  await until(() => heard.pieces.length > 0, { what: 'piece 3', timeoutMs: 20_000, everyMs: 10 })
  expect(heard.pieces[0]).toEqual({ number: 3, bytes: Buffer.alloc(SIZE, 3), isRaw: false })
  link.ask(7)
  await until(() => heard.none.length > 0, { what: 'a refusal', timeoutMs: 20_000, everyMs: 10 })
  expect(heard.none).toEqual([7])
  link.close()
})

test('a connection ends with its ticket', async () => {
  const { heard } = reader({ notAfterMs: 1_002_000 })
  await until(() => heard.has.length > 0, { what: 'pieces', timeoutMs: 20_000, everyMs: 10 })
  await until(() => heard.gone.length > 0, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
  expect(heard.gone).toEqual([true])
})

test('a connection lasts as long as the newest ticket that was shown on it', async () => {
  let aheadMs = 0
  const startMs = performance.now()
  const { heard, link } = reader({ notAfterMs: 1_040_000 }, port, { ...clock, now: () => clock.now() + aheadMs })
  await until(() => heard.has.length > 0, { what: 'pieces', timeoutMs: 20_000, everyMs: 5 })
  // It shows a newer one after a while alone.
  aheadMs = 20_000
  link.renew(neighbourAt(port, ticket({ notAfterMs: 1_080_000 })))
  await until(() => heard.gone.length > 0, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
  expect((performance.now() - startMs) * 20).toBeGreaterThan(79_000)
})

test.each([
  ['a forged one', ticket({ notAfterMs: 9_000_000 }), Buffer.alloc(32)],
  ['the one that it has', ticket({ notAfterMs: 8_000_000 }), undefined],
  ['one of another reader', ticket({ notAfterMs: 9_000_000, reader: uuid(7) }), undefined],
  ['one for another image', ticket({ notAfterMs: 9_000_000, imageId: 'b'.repeat(64) }), undefined],
  ['no ticket', 'let me stay', undefined],
])('who shows a newer ticket that is not its own (%s) is cut off', async (_, text, forged) => {
  const { socket, proofFor } = await provenWith({ notAfterMs: 8_000_000 })
  await until(() => server.connections === 1, { what: 'a neighbour', timeoutMs: 20_000, everyMs: 5 })
  socket.write(encodeFrame(FRAME.renew, Buffer.concat([forged ?? proofFor(text), Buffer.from(text)])))
  await until(() => socket.destroyed, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
  expect(server.connections).toBe(0)
})

test('a reader that asks for more than it may is cut off', async () => {
  const socket = await proven()
  socket.write(Buffer.concat([1, 2, 3, 4, 5, 6].map((number) => encodeFrame(FRAME.get, numbersBody([number])))))
  await until(() => socket.destroyed, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
})

/** A reader that proved itself, as nobody's code. */
const proven = async (more: Partial<Ticket> = {}): Promise<Socket> => (await provenWith(more)).socket

async function provenWith(more: Partial<Ticket>): Promise<{ socket: Socket; proofFor: (text: string) => Buffer }> {
  const [socket, text] = [dial(), ticket(more)]
  socket.write(hello(text))
  const challenge = (await hears(socket, 53)).subarray(5)
  const nonces = { reader: nonce, server: challenge.subarray(0, 16) }
  const proofFor = (one: string) => proofOf(ticketKeyOf(KEY, one), 'reader', nonces)
  socket.write(encodeFrame(FRAME.prove, proofFor(text)))
  return { socket, proofFor }
}

test('a reader that reads nothing makes the server hold one answer', async () => {
  const socket = await proven()
  await until(() => server.connections === 1, { what: 'a neighbour', timeoutMs: 20_000, everyMs: 5 })
  const { neighbours } = server as unknown as { neighbours: Map<string, { readonly socket: Socket }> }
  const held = neighbours.get(READER)?.socket as Socket
  const write = held.write.bind(held)
  // The kernel takes nothing more.
  let answers = 0
  held.write = ((...[bytes]: Parameters<typeof write>) => {
    answers += 1
    return bytes.length === 0
  }) as typeof held.write
  for (let round = 0; round < 20; round += 1) {
    const { bytesRead } = held
    socket.write(encodeFrame(FRAME.get, numbersBody([7])))
    await until(() => held.bytesRead >= bytesRead + 9, { what: 'the request', timeoutMs: 20_000, everyMs: 1 })
    await turn()
  }
  expect(answers).toBe(1)
})

test('a reader has one connection: the one before ends', async () => {
  // Its ticket does not end meanwhile.
  const first = await proven({ notAfterMs: 9_000_000 })
  await until(() => server.connections === 1, { what: 'a neighbour', timeoutMs: 20_000, everyMs: 5 })
  const second = await proven()
  await until(() => first.destroyed, { what: 'the end of the first', timeoutMs: 20_000, everyMs: 5 })
  expect([server.connections, second.destroyed]).toEqual([1, false])
})

test('a connection that cannot be accepted ends nothing else', async () => {
  const { server: listener } = server as unknown as { server: Server }
  listener.emit('error', new Error('accept EMFILE'))
  const { heard } = reader()
  await until(() => heard.has.length > 0, { what: 'pieces', timeoutMs: 20_000, everyMs: 10 })
})

function reader(more: Partial<Ticket> = {}, at = port, itsClock = clock) {
  const text = ticket(more)
  const heard = {
    has: [] as number[],
    pieces: [] as { number: number; bytes: Buffer; isRaw: boolean }[],
    none: [] as number[],
    gone: [] as boolean[],
  }
  const link = new PeerLink({
    neighbour: neighbourAt(at, text),
    index,
    clock: itsClock,
    random: systemRandom,
    events: {
      ready: () => undefined,
      has: (pieces) => heard.has.push(...pieces),
      piece: (number, bytes, isRaw) => heard.pieces.push({ number, bytes, isRaw }),
      none: (number) => heard.none.push(number),
      gone: (wasReady) => heard.gone.push(wasReady),
    },
  })
  return { heard, link }
}

/** A server of another make: proves itself where `isGenuine`, then sends `bytes`. */
async function impostor(bytes: Buffer, isGenuine: boolean) {
  const key = isGenuine ? ticketKeyOf(KEY, ticket()) : Buffer.alloc(32)
  const fake = createServer((socket) => {
    const frames = new FrameReader({ [FRAME.hello]: 512, [FRAME.prove]: 32, [FRAME.get]: 4 })
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      for (const { type, body } of frames.push(chunk))
        if (type === FRAME.hello) {
          const nonces = { reader: body.subarray(0, 16), server: Buffer.alloc(16) }
          socket.write(encodeFrame(FRAME.challenge, Buffer.concat([nonces.server, proofOf(key, 'server', nonces)])))
        } else if (type === FRAME.prove) socket.write(bytes)
    })
  })
  await listen(fake, { port: 0, host: '127.0.0.1' })
  const { heard } = reader({}, (fake.address() as { port: number }).port)
  await until(() => heard.gone.length > 0, { what: 'the end', timeoutMs: 20_000, everyMs: 10 })
  fake.close()
  return heard
}

test('a server that has not the key of the ticket is left before anything is asked of it', async () =>
  expect(await impostor(Buffer.alloc(0), false)).toMatchObject({ gone: [false], has: [] }))

test.each([
  ['a piece that nobody asked for', Buffer.concat([pieceHead(1, true, SIZE), Buffer.alloc(SIZE)])],
  ['a frame longer than any piece', Buffer.from([FRAME.piece, 0x7f, 0xff, 0xff, 0xff])],
  ['more claims than the image has pieces', encodeFrame(FRAME.have, numbersBody([1, 2, 3, 4, 5, 6, 7, 1, 2]))],
  ['half a number', encodeFrame(FRAME.have, Buffer.alloc(3))],
  ['a claim of nothing', encodeFrame(FRAME.have, Buffer.alloc(0))],
  ['a refusal of what nobody asked for', encodeFrame(FRAME.none, numbersBody([1]))],
])('a server that sends %s is left', async (_, bytes) => {
  const heard = await impostor(bytes, true)
  expect(heard).toMatchObject({ gone: [true], pieces: [] })
})
