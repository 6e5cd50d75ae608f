/** The connection to one neighbour that serves this node: proves its ticket, checks that the other end is who the
 *  tracker named, hears what it holds, asks for pieces. What comes is proven by the index, elsewhere. */
import { connect, type Socket } from 'node:net'
import { pieceLength, type ImageIndex } from '../../../conductor/api/agent-wire.ts'
import type { Neighbour } from '../../../conductor/api/swarm-wire.ts'
import type { Clock } from '../../../kit/clock.ts'
import type { Random } from '../../../kit/random.ts'
import { encodeFrame, FRAME, FrameReader, numbersBody, readNumber, readNumbers, type Frame } from './frames.ts'
import { isProof, NONCE_BYTES, PROOF_BYTES, proofOf } from './proof.ts'

export interface PeerEvents {
  ready(): void
  has(pieces: readonly number[]): void
  piece(number: number, bytes: Buffer, isRaw: boolean): void
  none(number: number): void
  /** It is over. `wasReady`: it had proven itself. */
  gone(wasReady: boolean): void
}

export interface PeerLinkParts {
  readonly neighbour: Neighbour
  readonly index: ImageIndex
  /** The address that the ticket names; undefined: whatever the kernel chooses. */
  readonly localIp?: string | undefined
  readonly clock: Clock
  readonly random: Random
  readonly events: PeerEvents
}

const READY_MS = 5_000
/** Tickets last three times as long (conductor/agents/swarm/introductions.ts). */
const RENEW_AFTER_MS = 20_000
const HAVE_BYTES = 4 * 4_096

export class PeerLink {
  private readonly parts: PeerLinkParts
  private readonly socket: Socket
  private readonly nonce: Buffer
  private readonly asked = new Set<number>()
  private isReady = false
  private serverNonce = Buffer.alloc(0)
  private ticketAtMs: number
  /** Numbers that it may still claim: a neighbour says each once. */
  private claims: number

  constructor(parts: PeerLinkParts) {
    this.parts = parts
    const { neighbour, index, clock, random, events, localIp } = parts
    this.nonce = random.bytes(NONCE_BYTES)
    this.ticketAtMs = clock.now()
    this.claims = index.pieces.length
    this.socket = connect({
      host: neighbour.ip,
      port: neighbour.port,
      noDelay: true,
      ...(localIp ? { localAddress: localIp } : {}),
    })
    const tooLate = clock.after(READY_MS, () => this.isReady || this.socket.destroy())
    this.socket.on('connect', () =>
      this.socket.write(encodeFrame(FRAME.hello, Buffer.concat([this.nonce, Buffer.from(neighbour.ticket, 'latin1')]))),
    )
    this.socket.on('error', () => this.socket.destroy())
    this.socket.once('close', () => {
      tooLate()
      events.gone(this.isReady)
    })
    const longest = index.pieces.reduce((most, { lengthBytes }) => Math.max(most, lengthBytes), index.pieceBytes)
    const frames = new FrameReader({
      [FRAME.challenge]: NONCE_BYTES + PROOF_BYTES,
      [FRAME.have]: HAVE_BYTES,
      [FRAME.piece]: longest + 5,
      [FRAME.none]: 4,
    })
    this.socket.on('data', (chunk: Buffer) => {
      try {
        for (const frame of frames.push(chunk)) if (!this.socket.destroyed) this.take(frame)
      } catch {
        this.socket.destroy()
      }
    })
  }

  ask(number: number): void {
    this.asked.add(number)
    this.socket.write(encodeFrame(FRAME.get, numbersBody([number])))
  }

  cancel(number: number): void {
    this.socket.write(encodeFrame(FRAME.cancel, numbersBody([number])))
  }

  close(): void {
    this.socket.destroy()
  }

  /** There is a newer ticket: the connection is to outlive the one that it was made with. */
  renew({ ticket, ticketKey }: Pick<Neighbour, 'ticket' | 'ticketKey'>): void {
    const nowMs = this.parts.clock.now()
    if (!this.isReady || nowMs - this.ticketAtMs < RENEW_AFTER_MS) return
    this.ticketAtMs = nowMs
    const proof = this.proof(ticketKey)
    this.socket.write(encodeFrame(FRAME.renew, Buffer.concat([proof, Buffer.from(ticket, 'latin1')])))
  }

  private proof(ticketKey: string): Buffer {
    const nonces = { reader: this.nonce, server: this.serverNonce }
    return proofOf(Buffer.from(ticketKey, 'base64url'), 'reader', nonces)
  }

  private take({ type, body }: Frame): void {
    const { events } = this.parts
    if (!this.isReady) return type === FRAME.challenge ? this.prove(body) : void this.socket.destroy()
    switch (type) {
      case FRAME.have: {
        const pieces = readNumbers(body)
        this.claims -= pieces.length
        // Each frame makes this node think: without a claim it would cost the sender nothing.
        const isNews = pieces.length > 0 && this.claims >= 0
        return isNews ? events.has(pieces) : void this.socket.destroy()
      }
      case FRAME.piece:
        return this.takePiece(body)
      case FRAME.none: {
        const number = readNumber(body)
        return this.asked.delete(number) ? events.none(number) : void this.socket.destroy()
      }
      default:
        this.socket.destroy()
    }
  }

  private takePiece(body: Buffer): void {
    const { index, events } = this.parts
    if (body.length < 5) return void this.socket.destroy()
    const [number, isRaw] = [body.readUInt32BE(0), body.readUInt8(4) === 1]
    const bytes = body.subarray(5)
    const wanted = isRaw ? pieceLength(index, number) : index.pieces[number]?.lengthBytes
    // Nobody sends what was not asked for; one that was cancelled may have been on its way.
    if (!this.asked.delete(number)) return void this.socket.destroy()
    // A wrong length is handed over as it is: it is as wrong as wrong bytes are.
    events.piece(number, bytes.length === wanted ? bytes : Buffer.alloc(0), isRaw)
  }

  private prove(body: Buffer): void {
    const { neighbour, events } = this.parts
    const key = Buffer.from(neighbour.ticketKey, 'base64url')
    this.serverNonce = Buffer.from(body.subarray(0, NONCE_BYTES))
    const nonces = { reader: this.nonce, server: this.serverNonce }
    if (!isProof(body.subarray(NONCE_BYTES), proofOf(key, 'server', nonces))) return void this.socket.destroy()
    this.socket.write(encodeFrame(FRAME.prove, this.proof(neighbour.ticketKey)))
    this.isReady = true
    events.ready()
  }
}
