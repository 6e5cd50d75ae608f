/** The process that serves pieces for the agent: everything that neighbours send is parsed here. It holds no piece,
 *  only their numbers, and asks the agent for each one that is wanted. It ends with the agent's end of the line. */
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import type { DoorParts, Self } from './door.ts'
import { encodeFrame, FRAME, FrameReader, numbersBody, readNumber, readNumbers, type Frame } from './frames.ts'
import { PeerServer } from './peer-server.ts'

/** What the agent says of itself; `key` as base64url. */
export interface Knows {
  readonly id: string
  readonly imageId: string
  readonly nowMs: number
  readonly key: string
  readonly bytesPerSecond: number | null
}

export interface PeerMainParts {
  readonly input: NodeJS.ReadableStream
  readonly output: NodeJS.WritableStream
  /** The socket that listens. */
  readonly fd: number
  readonly clock: Clock
  readonly random: Random
  readonly end: () => void
}

type Piece = Awaited<ReturnType<DoorParts['shelf']['read']>>

const MAX_PIECE = 64 * 1024 * 1024
const MAX_HAVE = 4 * 4_096
const MAX_KNOWS = 4_096
const TAKEN = { [FRAME.know]: MAX_KNOWS, [FRAME.have]: MAX_HAVE, [FRAME.piece]: MAX_PIECE, [FRAME.none]: 4 }
const SENT_EVERY_MS = 200

export async function servePeers(parts: PeerMainParts): Promise<void> {
  const { input, output, clock, random, end } = parts
  const shelf = new FarShelf((number) => void output.write(encodeFrame(FRAME.get, numbersBody([number]))))
  let knows: Knows | undefined
  let aheadMs = 0
  const self = (): Self | undefined =>
    knows && {
      id: knows.id,
      imageId: knows.imageId,
      nowMs: clock.now() + aheadMs,
      key: Buffer.from(knows.key, 'base64url'),
    }
  const bytesPerSecond = () => knows?.bytesPerSecond ?? undefined
  const server = new PeerServer({ shelf, self, bytesPerSecond, clock, random })
  const take = ({ type, body }: Frame): void => {
    switch (type) {
      case FRAME.know:
        knows = JSON.parse(body.toString()) as Knows
        aheadMs = knows.nowMs - clock.now()
        return
      case FRAME.have:
        shelf.add(readNumbers(body))
        return server.tell()
      case FRAME.piece:
        return shelf.came(body.readUInt32BE(0), { isRaw: body.readUInt8(4) === 1, bytes: body.subarray(5) })
      default:
        return shelf.came(readNumber(body), undefined)
    }
  }
  const frames = new FrameReader(TAKEN)
  input.on('data', (chunk: Buffer) => {
    for (const frame of frames.push(chunk)) take(frame)
  })
  input.on('end', end)
  output.on('error', end)
  await server.listenAt({ fd: parts.fd })
  output.write(encodeFrame(FRAME.up, Buffer.alloc(0)))
  let saidBytes = 0
  for (;;) {
    await clock.sleep(SENT_EVERY_MS)
    const bytes = Math.min(server.sentBytes - saidBytes, 0xffff_ffff)
    if (bytes === 0) continue
    saidBytes += bytes
    output.write(encodeFrame(FRAME.sent, numbersBody([bytes])))
  }
}

/** The pieces that the agent holds, each asked of it when it is wanted; by several at the same time: once. */
class FarShelf {
  private readonly order: number[] = []
  private readonly waiting = new Map<number, ((piece: Piece) => void)[]>()
  private readonly ask: (number: number) => void

  constructor(ask: (number: number) => void) {
    this.ask = ask
  }

  after = (count: number, most: number): readonly number[] => this.order.slice(count, count + most)

  add(numbers: readonly number[]): void {
    this.order.push(...numbers)
  }

  read(number: number): Promise<Piece> {
    return new Promise((resolve) => {
      const waiting = this.waiting.get(number)
      if (waiting) return void waiting.push(resolve)
      this.waiting.set(number, [resolve])
      this.ask(number)
    })
  }

  came(number: number, piece: Piece): void {
    const waiting = this.waiting.get(number) ?? []
    this.waiting.delete(number)
    for (const resolve of waiting) resolve(piece)
  }
}
