/** What keeps a node from calling an honest neighbour a liar, from being called one, and from calling too often. */
import { createHash, randomBytes } from 'node:crypto'
import { createServer } from 'node:net'
import { expect, onTestFinished, test } from 'vitest'
import { provePiece } from '../../../host-agent/deploy/download.ts'
import { encodeFrame, FRAME, FrameReader } from '../../../host-agent/deploy/swarm/frames.ts'
import { Neighbours } from '../../../host-agent/deploy/swarm/neighbours.ts'
import { proofOf, ticketKeyOf } from '../../../host-agent/deploy/swarm/proof.ts'
import { Shelf } from '../../../host-agent/deploy/swarm/shelf.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { listen } from '../../../kit/listen.ts'
import { systemRandom } from '../../../kit/random.ts'
import { index, KEY, neighbourAt, SIZE, ticket } from './tickets.ts'

test('a piece that the disk does not hold as it was written is not given away', async () => {
  const bytes = randomBytes(SIZE)
  const sha256 = createHash('sha256').update(bytes).digest('hex')
  const pieces = index.pieces.map((piece) => ({ ...piece, sha256 }))
  let held = bytes
  const disk = { read: async (into: Buffer) => void held.copy(into) }
  const shelf = new Shelf({ index: { ...index, pieces }, disk, memoryBytes: 0 })
  shelf.keep(1)
  expect(await shelf.read(1)).toEqual({ isRaw: true, bytes })
  held = Buffer.concat([bytes.subarray(0, SIZE / 2), Buffer.alloc(SIZE / 2)])
  expect(await shelf.read(1)).toBeUndefined()
})

test('where zstd cannot be started, nobody is called a liar', async () => {
  const path = process.env.PATH
  onTestFinished(() => void (process.env.PATH = path))
  process.env.PATH = '/nowhere'
  await expect(provePiece(index, 1, { bytes: Buffer.alloc(SIZE), isRaw: false })).rejects.toThrow('cannot run prlimit')
})

test('a server that proves itself and ends at once, again and again, is called once a second', async () => {
  const key = ticketKeyOf(KEY, ticket())
  let calls = 0
  const fake = createServer((socket) => {
    calls += 1
    const frames = new FrameReader({ [FRAME.hello]: 512, [FRAME.prove]: 32 })
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => {
      for (const { type, body } of frames.push(chunk)) {
        const nonces = { reader: body.subarray(0, 16), server: Buffer.alloc(16) }
        if (type !== FRAME.hello) socket.destroy()
        else socket.write(encodeFrame(FRAME.challenge, Buffer.concat([nonces.server, proofOf(key, 'server', nonces)])))
      }
    })
  })
  await listen(fake, { port: 0, host: '127.0.0.1' })
  const { port } = fake.address() as { port: number }
  let [ends, nowMs] = [0, 1_000]
  const changed = () => {
    ends += 1
    neighbours.greet()
  }
  const neighbours: Neighbours = new Neighbours({
    index,
    localIp: '127.0.0.1',
    clock: { ...systemClock, now: () => nowMs },
    random: systemRandom,
    events: {
      joined: () => true,
      has: () => undefined,
      departed: () => undefined,
      none: () => undefined,
      piece: () => undefined,
      changed,
    },
  })
  neighbours.meet([neighbourAt(port, ticket())])
  await until(() => ends > 0, { what: 'the end', timeoutMs: 20_000, everyMs: 5 })
  for (let round = 0; round < 50; round += 1) neighbours.greet()
  expect(calls).toBe(1)
  nowMs += 1_000
  neighbours.greet()
  await until(() => calls === 2, { what: 'the next call', timeoutMs: 20_000, everyMs: 5 })
  neighbours.close()
  fake.close()
})
