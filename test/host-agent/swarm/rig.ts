/** Nodes on addresses of 127.0.0.0/8 that write one image: the agent's own code, real sockets, files as disks, an image
 *  server that counts, and the conductor's tracker called directly. */
import { createHash, createHmac, randomBytes } from 'node:crypto'
import { createServer, type Server } from 'node:http'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Tracker, type Introduction } from '../../../conductor/agents/swarm/tracker.ts'
import { ticketText, type SwarmAnswer, type SwarmCall } from '../../../conductor/api/swarm-wire.ts'
import { DiskFile } from '../../../host-agent/deploy/disk.ts'
import type { MakeDoor } from '../../../host-agent/deploy/swarm/door.ts'
import { PieceServers } from '../../../host-agent/deploy/piece-servers.ts'
import { SwarmFetch } from '../../../host-agent/deploy/swarm/fetch.ts'
import type { Shelf } from '../../../host-agent/deploy/swarm/shelf.ts'
import { writeImage } from '../../../host-agent/deploy/write-image.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { systemClock } from '../../../kit/clock.ts'
import { listen, urlOf } from '../../../kit/listen.ts'
import { systemRandom } from '../../../kit/random.ts'
import { piped } from '../../../kit/run.ts'

export const uuid = (number: number): string => `00000000-0000-4000-8000-${number.toString(16).padStart(12, '0')}`

export class SwarmRig {
  readonly dir: string
  readonly index: ImageIndex
  readonly raw: Buffer
  private readonly data: Buffer
  readonly server: Server
  tracker = new Tracker({ fromNodes: 3, members: 100 }, Math.random)
  seedBytes = 0
  /** Numbers of the pieces that any node wrote. */
  readonly written = new Set<number>()
  /** Milliseconds that the image server takes for each request. */
  seedMs = 0
  isSeedDead = false
  isTrackerDead = false
  ticketMs = 60_000
  calls: (SwarmCall & { readonly number: number })[] = []

  private constructor(dir: string, made: { index: ImageIndex; raw: Buffer; data: Buffer }) {
    this.dir = dir
    this.index = made.index
    this.raw = made.raw
    this.data = made.data
    this.server = createServer((request, response) => {
      const [, from = 0, to = 0] = (/bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? []).map(Number)
      if (this.isSeedDead) return void request.socket.destroy()
      this.seedBytes += to - from + 1
      systemClock.after(this.seedMs, () => {
        response.writeHead(206, { 'content-length': to - from + 1 })
        response.end(this.data.subarray(from, to + 1))
      })
    })
  }

  static async make(pieces: number): Promise<SwarmRig> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-swarm-'))
    const rig = new SwarmRig(dir, await imageOf(pieces))
    await listen(rig.server, { port: 0, host: '127.0.0.1' })
    return rig
  }

  get dataUrl(): string {
    return `${urlOf(this.server)}/data.zst`
  }

  /** As the conductor answers. */
  async call(number: number, call: SwarmCall): Promise<SwarmAnswer> {
    this.calls.push({ ...call, number })
    if (this.isTrackerDead) throw new Error('no conductor')
    const nowMs = systemClock.now()
    const member = { nodeUuid: uuid(number), imageId: this.index.id, generation: 1, ip: ipOf(number), rack: 'r' }
    const said = this.tracker.call(
      { ...member, port: call.port, bad: call.bad, unreachable: call.unreachable },
      () => systemRandom.bytes(32),
      nowMs,
    )
    if (!said) throw new Error('too many')
    return this.answer(said, nowMs)
  }

  answer({ isOn, self, neighbours, seed }: Introduction, nowMs: number): SwarmAnswer {
    const key = (bytes: Buffer) => bytes.toString('base64url')
    return {
      on: isOn,
      nowMs,
      againMs: 200,
      id: self.nodeUuid,
      key: key(self.key),
      neighbours: neighbours.map(({ member, isNear }) => {
        const ticket = ticketText({
          imageId: self.imageId,
          reader: self.nodeUuid,
          generation: self.generation,
          readerIp: self.ip,
          server: member.nodeUuid,
          notAfterMs: nowMs + this.ticketMs,
        })
        const ticketKey = key(createHmac('sha256', member.key).update(ticket).digest())
        return { id: member.nodeUuid, ip: member.ip, port: member.port, near: isNear, ticket, ticketKey }
      }),
      seed,
      uploadBytesPerSecond: null,
    }
  }

  /** Writes the image as node `number` and answers what it fetched from whom, with its disk. */
  async write(
    number: number,
    more: {
      memoryBytes?: number
      isPoisoned?: boolean
      ip?: string
      still?: Promise<void>
      door?: MakeDoor
      near?: readonly string[]
    } = {},
  ) {
    const path = join(this.dir, `disk-${number}`)
    await writeFile(path, Buffer.alloc(this.raw.length, 0xee))
    const disk = await DiskFile.open(path)
    // The caches of the machine are none of this test's business.
    disk.flush = async () => undefined
    const write = disk.write.bind(disk)
    disk.write = async (bytes, at) => {
      await write(bytes, at)
      const piece = at / SIZE
      if (this.index.pieces[piece]?.zero === false) this.written.add(piece)
    }
    const source = new PieceServers(this.dataUrl, more.near)
    const swarm = new SwarmFetch({
      orderId: 'o',
      index: this.index,
      source,
      disk,
      ip: more.ip ?? ipOf(number),
      cardBytesPerSecond: undefined,
      memoryBytes: more.memoryBytes ?? 1e9,
      call: (call) => this.call(number, call),
      ...(more.door ? { door: more.door } : {}),
      clock: systemClock,
      random: systemRandom,
    })
    if (more.isPoisoned) poison(swarm)
    if (more.still) stop(disk, swarm, more.still)
    try {
      await writeImage({
        disk,
        swarm,
        index: this.index,
        source,
        clock: systemClock,
        onProgress: () => undefined,
      })
    } finally {
      await disk.close()
      this.tracker.leave(uuid(number))
    }
    return { came: swarm.came, said: swarm.said, isRight: (await readFile(path)).equals(this.raw) }
  }

  async close(): Promise<void> {
    this.server.close()
    this.server.closeAllConnections()
    await rm(this.dir, { recursive: true })
  }
}

const SIZE = 64 * 1024
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')

/** An image of small pieces, with one of zeros and a short last one. */
async function imageOf(count: number): Promise<{ index: ImageIndex; raw: Buffer; data: Buffer }> {
  const raws = Array.from({ length: count }, (_, i) =>
    i === count - 2 ? Buffer.alloc(SIZE) : i === count - 1 ? randomBytes(5_000) : randomBytes(SIZE),
  )
  raws[0]?.writeUInt16LE(0xaa55, 510)
  const frames = await Promise.all(raws.map((raw, i) => zstd(i === count - 2 ? undefined : raw)))
  let at = 0
  const pieces = raws.map((raw, i) => {
    const lengthBytes = frames[i]?.length ?? 0
    at += lengthBytes
    return { sha256: sha256(raw), zero: lengthBytes === 0, at: lengthBytes === 0 ? 0 : at - lengthBytes, lengthBytes }
  })
  const raw = Buffer.concat(raws)
  const about = { names: ['i'], createdAt: '', sizeBytes: raw.length, pieceBytes: SIZE, dataBytes: at }
  return { raw, data: Buffer.concat(frames), index: { id: sha256(raw), pieces, ...about } }
}

async function zstd(bytes: Buffer | undefined): Promise<Buffer> {
  if (!bytes) return Buffer.alloc(0)
  const child = piped(['zstd', '-1', '-q', '-c', '--no-check'])
  child.stdin.end(bytes)
  const chunks: Buffer[] = []
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  return Buffer.concat(chunks)
}

/** What it serves is wrong, and not what it has. */
function poison(swarm: SwarmFetch): void {
  const { shelf } = swarm as unknown as { readonly shelf: Shelf }
  const read = shelf.read.bind(shelf)
  shelf.read = async (number) => {
    const piece = await read(number)
    return piece && { isRaw: piece.isRaw, bytes: Buffer.alloc(piece.bytes.length, 0x66) }
  }
}

/** With two pieces on it the disk stands still, until `still` is over: neither read nor written. */
function stop(disk: DiskFile, swarm: SwarmFetch, still: Promise<void>): void {
  const { shelf } = swarm as unknown as { readonly shelf: Shelf }
  const [read, write] = [disk.read.bind(disk), disk.write.bind(disk)]
  const untilGo = () => (shelf.count >= 2 ? still : undefined)
  disk.read = async (into, at) => (await untilGo(), read(into, at))
  disk.write = async (bytes, at) => (await untilGo(), write(bytes, at))
}

export const ipOf = (number: number): string => `127.0.9.${number}`
