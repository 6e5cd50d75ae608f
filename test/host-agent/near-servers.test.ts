/** Images from a boot room: what it does not give, gives late or gives wrong comes from the conductor, and the deploy
 *  ends as without a room. */
import { randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import { DiskFile } from '../../host-agent/deploy/disk.ts'
import { HeldPieces } from '../../host-agent/deploy/held.ts'
import { Tally } from '../../host-agent/deploy/moved.ts'
import { PieceServers } from '../../host-agent/deploy/piece-servers.ts'
import { dataRuns } from '../../host-agent/deploy/runs.ts'
import { writeImage } from '../../host-agent/deploy/write-image.ts'
import { writeRuns } from '../../host-agent/deploy/write-runs.ts'
import { importImage } from '../../images/import.ts'
import { PIECE_BYTES, type ImageIndex } from '../../images/index.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, type Clock } from '../../kit/clock.ts'
import { closed, listen, urlOf } from '../../kit/listen.ts'

type Behaviour = (at: {
  number: number
  from: number
}) => 'serve' | 'refuse' | 503 | 'break' | 'stall' | 'corrupt' | 'garbage'

let dir = ''
let raw: Buffer
let data: Buffer
let index: ImageIndex
/** The nearest first; the last one is the conductor's. */
let servers: { server: Server; url: string; gaveBytes: number; requests: number }[] = []
let behaviours: Behaviour[] = []
const clock: Clock = { ...systemClock, sleep: async () => undefined }

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-near-'))
  raw = randomBytes(26 * PIECE_BYTES + 5_000)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'raw'), raw)
  const store = new ImageStore(join(dir, 'store'))
  index = await importImage(store, { source: join(dir, 'raw'), name: 'i' })
  data = await readFile(store.dataPath(index.id))
  for (const i of [0, 1, 2]) servers.push(await pieceServer(i))
}, 60_000)
afterAll(async () => {
  for (const { server } of servers) await closed(server)
  await rm(dir, { recursive: true })
})
beforeEach(() => {
  behaviours = [() => 'serve', () => 'serve', () => 'serve']
  for (const one of servers) Object.assign(one, { gaveBytes: 0, requests: 0 })
})

async function pieceServer(i: number): Promise<(typeof servers)[number]> {
  const server = createServer((request, response) => {
    const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
    const what = behaviours[i]?.({ number: (made.requests += 1), from }) ?? 'serve'
    if (what === 'refuse') return void request.socket.destroy()
    if (what === 503) return void response.writeHead(503).end()
    const bytes = Buffer.from(data.subarray(from, to + 1))
    made.gaveBytes += bytes.length
    if (what === 'garbage') bytes.fill(0)
    if (what === 'corrupt') bytes.fill(0x5a, Math.floor(bytes.length / 2), Math.floor(bytes.length / 2) + 64)
    response.writeHead(206, { 'content-length': bytes.length })
    if (what !== 'break' && what !== 'stall') return void response.end(bytes)
    response.write(bytes.subarray(0, Math.floor(bytes.length * 0.6)), () => what === 'break' && response.destroy())
  })
  await listen(server, { port: 0, host: '127.0.0.1' })
  const made = { server, url: `${urlOf(server)}/data.zst`, gaveBytes: 0, requests: 0 }
  return made
}

/** Answers what was said last, and how much of the image came from each. */
async function deploy(): Promise<{ said: string | undefined; shares: number[] }> {
  const path = join(dir, `disk-${randomBytes(4).toString('hex')}`)
  await writeFile(path, Buffer.alloc(raw.length, 0xee))
  const disk = await DiskFile.open(path)
  const [a = '', b = '', last = ''] = servers.map(({ url }) => url)
  const source = new PieceServers(last, [a, b])
  try {
    await writeImage({ disk, index, source, clock, onProgress: () => undefined })
    expect((await readFile(path)).equals(raw)).toBe(true)
  } finally {
    await disk.close()
    await rm(path)
  }
  return { said: source.said, shares: servers.map(({ gaveBytes }) => gaveBytes / data.length) }
}

test('a room that serves gives all, and the conductor nothing', async () => {
  expect(await deploy()).toEqual({ said: 'image server: boot room 127.0.0.1', shares: [1, 0, 0] })
})

test.each(['refuse', 503] as const)('a room that answers %s to all: the next one gives all', async (what) => {
  behaviours[0] = () => what
  const { said, shares } = await deploy()
  expect(shares).toEqual([0, 1, 0])
  expect(said).toMatch(/boot room .* gave nothing right/)
})

test('rooms that die half-way leave the rest to the next one, and at last to the conductor', async () => {
  behaviours[0] = ({ number }) => (number > 1 ? 'refuse' : 'serve')
  behaviours[1] = ({ number }) => (number > 1 ? 'refuse' : 'serve')
  const { said, shares } = await deploy()
  expect(said).toMatch(/^image server: the conductor/)
  expect(shares[2]).toBeGreaterThan(0)
})

test.each(['corrupt', 'garbage', 'break'] as const)(
  'rooms whose data is always wrong (%s) end no deploy',
  async (what) => {
    behaviours[0] = () => what
    behaviours[1] = () => what
    const { shares } = await deploy()
    expect(shares[2]).toBeGreaterThan(0)
  },
)

test('a room that is wrong about one piece alone, again and again, ends no deploy', async () => {
  const { at = 0 } = index.pieces[9] ?? {}
  const isIt = (from: number) => from <= at && at < from + 8 * PIECE_BYTES
  behaviours[0] = ({ from }) => (isIt(from) ? 'garbage' : 'serve')
  behaviours[1] = () => 'refuse'
  const { shares } = await deploy()
  expect(shares[2]).toBeGreaterThan(0)
})

test('what the conductor does not give either ends the deploy as without rooms', async () => {
  behaviours = [() => 'refuse', () => 'refuse', () => 'refuse']
  await expect(deploy()).rejects.toMatchObject({ code: 'deploy.download' })
  behaviours = [() => 'refuse', () => 503, () => 'garbage']
  await expect(deploy()).rejects.toMatchObject({ code: 'image.damaged' })
})

test.each(['refuse', 'stall'] as const)(
  'runs that the image server has begun (%s) are left to neighbours when these have begun to give pieces',
  async (what) => {
    const path = join(dir, 'left')
    await writeFile(path, Buffer.alloc(raw.length, 0xee))
    const disk = await DiskFile.open(path)
    const isOn = new AbortController()
    behaviours[2] = ({ number }) => {
      if (number === 4) isOn.abort()
      return number > 1 ? what : 'serve'
    }
    const queue = dataRuns(index, (number) => number > 0)
    const written: number[] = []
    const parts = { disk, index, source: new PieceServers(servers[2]?.url ?? ''), clock, moved: new Tally(index) }
    const held = new HeldPieces({ disk, index, isOn: false })
    await writeRuns({ ...parts, held, stop: isOn.signal }, queue, (number) => written.push(number))
    const left = queue.flatMap(({ first, count }) => Array.from({ length: count }, (_, i) => first + i))
    expect([...written, ...left].toSorted((a, b) => a - b)).toEqual(index.pieces.map((_, i) => i).slice(1))
    expect(left.length).toBeGreaterThan(3)
    await disk.close()
  },
)
