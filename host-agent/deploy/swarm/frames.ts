/** The bytes between peers: a type, a length, a body. The length is checked when it comes, against what this end takes
 *  of that type: nobody makes us hold more. */
import { Fault } from '../../../kit/fault.ts'

export const FRAME = {
  /** Nonce of the reader, and its ticket. */
  hello: 1,
  /** Nonce and proof of the server. */
  challenge: 2,
  /** Proof of the reader. */
  prove: 3,
  /** Numbers of pieces that the server holds. */
  have: 4,
  /** The number of a piece that is wanted. */
  get: 5,
  /** It is wanted no more. */
  cancel: 6,
  /** Number, whether it is raw, and the bytes. */
  piece: 7,
  /** The number of a piece that is not sent. */
  none: 8,
  /** Proof of the reader for a newer ticket, and that ticket: the connection lasts as long. */
  renew: 9,
  /** Between the agent and the process that serves for it, never between peers: who it is and what it may send. */
  know: 32,
  /** It serves. */
  up: 33,
  /** Bytes that it sent since the last time. */
  sent: 34,
} as const
export type FrameType = (typeof FRAME)[keyof typeof FRAME]

const HEAD_BYTES = 5

export interface Frame {
  readonly type: number
  readonly body: Buffer
}

export function encodeFrame(type: FrameType, body: Buffer): Buffer {
  const head = Buffer.alloc(HEAD_BYTES)
  head.writeUInt8(type, 0)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

/** The head of a piece; its bytes follow as they are. */
export function pieceHead(number: number, isRaw: boolean, lengthBytes: number): Buffer {
  const head = Buffer.alloc(HEAD_BYTES + 5)
  head.writeUInt8(FRAME.piece, 0)
  head.writeUInt32BE(lengthBytes + 5, 1)
  head.writeUInt32BE(number, HEAD_BYTES)
  head.writeUInt8(isRaw ? 1 : 0, HEAD_BYTES + 4)
  return head
}

export const numbersBody = (numbers: readonly number[]): Buffer => {
  const body = Buffer.alloc(numbers.length * 4)
  for (const [i, number] of numbers.entries()) body.writeUInt32BE(number, i * 4)
  return body
}

/** Throws `input.invalid` for a body that holds no whole numbers. */
export function readNumbers(body: Buffer): number[] {
  if (body.length % 4 !== 0) throw new Fault('input.invalid', 'a peer sent half a number')
  return Array.from({ length: body.length / 4 }, (_, i) => body.readUInt32BE(i * 4))
}

/** Throws `input.invalid` for a body that is not one number. */
export function readNumber(body: Buffer): number {
  if (body.length !== 4) throw new Fault('input.invalid', 'a peer sent no number')
  return body.readUInt32BE(0)
}

export class FrameReader {
  private readonly most: Readonly<Record<number, number>>
  private head = Buffer.alloc(0)
  private type = 0
  private body: Buffer | undefined
  private filled = 0

  /** `most`: the longest body of each type that is taken; other types are refused. */
  constructor(most: Readonly<Record<number, number>>) {
    this.most = most
  }

  /** The frames that are whole now. Throws `input.invalid` for a type or a length that is not taken. */
  *push(chunk: Buffer): Iterable<Frame> {
    for (let at = 0; at < chunk.length || this.body?.length === this.filled;) {
      if (!this.body) {
        const more = chunk.subarray(at, at + HEAD_BYTES - this.head.length)
        this.head = Buffer.concat([this.head, more])
        at += more.length
        if (this.head.length < HEAD_BYTES) return
        this.begin()
      }
      const body = this.body as unknown as Buffer
      const copied = chunk.copy(body, this.filled, at)
      this.filled += copied
      at += copied
      if (this.filled < body.length) return
      this.body = undefined
      this.head = Buffer.alloc(0)
      yield { type: this.type, body }
    }
  }

  private begin(): void {
    const [type, length] = [this.head.readUInt8(0), this.head.readUInt32BE(1)]
    const most = this.most[type]
    if (most === undefined) throw new Fault('input.invalid', `a peer sent a frame of type ${type}`)
    if (length > most)
      throw new Fault('input.invalid', `a peer sent a frame of ${length} bytes; at most ${most} are taken`)
    this.type = type
    this.body = Buffer.allocUnsafe(length)
    this.filled = 0
  }
}
