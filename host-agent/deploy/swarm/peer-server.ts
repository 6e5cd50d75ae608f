/** Serves pieces to neighbours while an image is written: to those alone that prove a ticket of the tracker for this
 *  node, this image and their own address. Whoever proves none in time is cut off without an answer. One piece at a
 *  time goes to each neighbour, and a few in all, at no more than the given rate. */
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../../../kit/clock.ts'
import { limitConnections } from '../../../kit/connection-limits.ts'
import { listen, type ListenOptions } from '../../../kit/listen.ts'
import { Semaphore } from '../../../kit/semaphore.ts'
import type { Door, DoorParts } from './door.ts'
import { encodeFrame, FRAME, FrameReader, numbersBody, pieceHead, readNumber, type Frame } from './frames.ts'
import { NONCE_BYTES, PROOF_BYTES } from './proof.ts'
import { TicketCheck } from './ticket-check.ts'

const CONNECTIONS = 64
const CONNECTIONS_PER_ADDRESS = 4
const PROVE_MS = 5_000
/** A neighbour that takes nothing for so long is gone. */
const STUCK_MS = 30_000
export const UPLOADS = 6
const WAITING = 4
const HAVE_EVERY_MS = 250
const HAVE_AT_ONCE = 4_096
const MAX_HELLO = 512
const TAKEN = {
  [FRAME.hello]: MAX_HELLO,
  [FRAME.prove]: PROOF_BYTES,
  [FRAME.renew]: MAX_HELLO,
  [FRAME.get]: 4,
  [FRAME.cancel]: 4,
}

export class PeerServer implements Door {
  private readonly parts: DoorParts
  private readonly server: Server
  /** By the id of the reader. */
  private readonly neighbours = new Map<string, Neighbour>()
  private readonly sockets = new Set<Socket>()
  private readonly uploads = new Semaphore(UPLOADS)
  private freeAtMs = 0
  sentBytes = 0

  constructor(parts: DoorParts) {
    this.parts = parts
    this.server = createServer({ noDelay: true }, (socket) => this.greet(socket))
    limitConnections(this.server, { all: CONNECTIONS, perAddress: CONNECTIONS_PER_ADDRESS }, () => undefined)
    // Without descriptors a connection cannot be accepted: the peer tries again.
    this.server.on('error', () => undefined)
  }

  listen(host: string): Promise<number> {
    return this.listenAt({ host, port: 0 })
  }

  async listenAt(at: ListenOptions): Promise<number> {
    await listen(this.server, at)
    return (this.server.address() as { port: number }).port
  }

  get isOpen(): boolean {
    return this.server.listening
  }

  get connections(): number {
    return this.neighbours.size
  }

  /** Nothing listens any more, and nobody is connected. */
  async close(): Promise<void> {
    const end = new Promise<void>((resolve) => this.server.close(() => resolve()))
    for (const socket of this.sockets) socket.destroy()
    await end
  }

  /** There are new pieces. */
  tell(): void {
    for (const neighbour of this.neighbours.values()) neighbour.tell()
  }

  renew(): void {
    // It asks whenever it wants to know.
  }

  private greet(socket: Socket): void {
    const { clock, random, self } = this.parts
    this.sockets.add(socket)
    socket.once('close', () => this.sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    socket.setTimeout(STUCK_MS, () => socket.writableLength > 0 && socket.destroy())
    const tooLate = clock.after(PROVE_MS, () => socket.destroy())
    socket.once('close', tooLate)
    const frames = new FrameReader(TAKEN)
    const nonce = random.bytes(NONCE_BYTES)
    const check = new TicketCheck({ nonce, fromIp: socket.remoteAddress ?? '', self })
    let neighbour: Neighbour | undefined
    let over = () => {}
    socket.once('close', () => over())
    const endAfter = (ms: number) => {
      over()
      over = clock.after(ms, () => socket.destroy())
    }
    const take = ({ type, body }: Frame): void => {
      if (neighbour && type !== FRAME.renew) return neighbour.take(type, body)
      if (neighbour) {
        const renewed = check.renew(body)
        return renewed ? endAfter(renewed.leftMs) : void socket.destroy()
      }
      const challenge = type === FRAME.hello ? check.hello(body) : undefined
      if (challenge) return void socket.write(encodeFrame(FRAME.challenge, challenge))
      const proven = type === FRAME.prove ? check.prove(body) : undefined
      if (!proven) return void socket.destroy()
      tooLate()
      endAfter(proven.leftMs)
      neighbour = this.meet(proven.reader, socket)
      neighbour.tell()
    }
    socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of frames.push(chunk)) if (!socket.destroyed) take(frame)
      } catch {
        socket.destroy()
      }
    })
  }

  /** A reader has one connection: the newest. */
  private meet(reader: string, socket: Socket): Neighbour {
    this.neighbours.get(reader)?.leave()
    const neighbour = new Neighbour(socket, this)
    this.neighbours.set(reader, neighbour)
    socket.once('close', () => this.neighbours.get(reader) === neighbour && this.neighbours.delete(reader))
    return neighbour
  }

  get shelf(): DoorParts['shelf'] {
    return this.parts.shelf
  }

  get clock(): Clock {
    return this.parts.clock
  }

  /** Sends a piece when its turn comes, unless it is wanted no more by then. */
  send(socket: Socket, number: number, isWanted: () => boolean): Promise<void> {
    return this.uploads.run(async () => {
      if (!isWanted() || socket.destroyed) return
      const piece = await this.parts.shelf.read(number)
      if (!piece) return written(socket, encodeFrame(FRAME.none, numbersBody([number])))
      await this.pace(piece.bytes.length)
      if (!isWanted() || socket.destroyed) return
      socket.cork()
      socket.write(pieceHead(number, piece.isRaw, piece.bytes.length))
      const sent = written(socket, piece.bytes)
      socket.uncork()
      await sent
      this.sentBytes += piece.bytes.length
    })
  }

  private async pace(bytes: number): Promise<void> {
    const rate = this.parts.bytesPerSecond()
    if (rate === undefined) return
    const nowMs = this.parts.clock.now()
    const startMs = Math.min(Math.max(nowMs, this.freeAtMs), nowMs + STUCK_MS)
    this.freeAtMs = startMs + (bytes / rate) * 1000
    if (startMs > nowMs) await this.parts.clock.sleep(startMs - nowMs)
  }
}

/** Resolves when the kernel has the bytes, or nobody is there any more: a peer that does not read makes us hold one
 *  answer. */
const written = (socket: Socket, bytes: Buffer): Promise<void> =>
  new Promise((resolve) => {
    socket.once('close', resolve)
    socket.write(bytes, () => {
      socket.off('close', resolve)
      resolve()
    })
  })

/** One that proved its ticket. */
class Neighbour {
  private readonly socket: Socket
  private readonly server: PeerServer
  private readonly wanted: number[] = []
  private isSending = false
  private told = 0
  private isTelling = false

  constructor(socket: Socket, server: PeerServer) {
    this.socket = socket
    this.server = server
  }

  take(type: number, body: Buffer): void {
    const number = type === FRAME.get || type === FRAME.cancel ? readNumber(body) : undefined
    if (number === undefined) return void this.socket.destroy()
    const at = this.wanted.indexOf(number)
    if (type === FRAME.cancel) {
      if (at >= 0) this.wanted.splice(at, 1)
      return
    }
    if (at >= 0) return
    if (this.wanted.length >= WAITING) return void this.socket.destroy()
    this.wanted.push(number)
    if (!this.isSending) void this.sendAll()
  }

  leave(): void {
    this.socket.destroy()
  }

  /** At most four times a second. */
  tell(): void {
    if (this.isTelling) return
    const { shelf, clock } = this.server
    const news = shelf.after(this.told, HAVE_AT_ONCE)
    if (news.length === 0 || this.socket.destroyed) return
    this.told += news.length
    this.socket.write(encodeFrame(FRAME.have, numbersBody(news)))
    this.isTelling = true
    const cancel = clock.after(HAVE_EVERY_MS, () => {
      this.isTelling = false
      this.socket.off('close', cancel)
      this.tell()
    })
    this.socket.once('close', cancel)
  }

  private async sendAll(): Promise<void> {
    this.isSending = true
    try {
      for (let number = this.wanted[0]; number !== undefined; number = this.wanted[0]) {
        const one = number
        await this.server.send(this.socket, one, () => this.wanted[0] === one)
        if (this.wanted[0] === one) this.wanted.shift()
      }
    } catch {
      // The disk could not be read: whoever writes it finds that out by itself.
      this.socket.destroy()
    }
    this.isSending = false
  }
}
