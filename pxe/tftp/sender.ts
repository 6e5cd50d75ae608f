/** What a transfer sends, on its connected socket: a whole window in one call where the kernel cuts it into datagrams
 *  (UDP_SEGMENT, Linux 4.18), datagram by datagram where it does not. */
import type { Socket } from 'node:dgram'
import { setsockopt } from 'sockopt'
import { framesOf, packetBytes, type FrameCache, type Frames } from './frames.ts'
import { encodeTftp } from './packet.ts'
import { packetsOf, type Sending, type Transfer } from './transfer.ts'

const SOL_UDP = 17
const UDP_SEGMENT = 103
/** Of one call: UDP_MAX_SEGMENTS of kernels before 6.9, and the longest UDP datagram over IPv4. */
const MAX_SEGMENTS = 64
const MAX_BYTES = 65_507

export class Sender {
  private readonly socket: Socket
  private readonly cache: FrameCache
  private frames: Frames | undefined
  /** Packets that go out in one call. */
  private perCall = 1

  constructor(socket: Socket, cache: FrameCache) {
    this.socket = socket
    this.cache = cache
  }

  send(transfer: Transfer, sending: Sending): void {
    if (sending === 'oack') return this.oneByOne(transfer, sending)
    this.frames ??= this.prepare(transfer)
    if (!this.frames) return this.oneByOne(transfer, sending)
    const last = sending.first + sending.count
    for (let first = sending.first; first < last; first += this.perCall) {
      const part = { first, count: Math.min(this.perCall, last - first) }
      const bytes = framesOf(this.frames, part)
      if (part.count === 1) this.socket.send(bytes)
      else this.socket.send(bytes, (error) => error && this.uncut(transfer, part))
    }
  }

  end(): void {
    if (this.frames) this.cache.release(this.frames)
    this.frames = undefined
  }

  private prepare({ file, blockBytes, window }: Transfer): Frames | undefined {
    const frames = this.cache.take(file, blockBytes)
    if (!frames || window === 1) return frames
    const each = packetBytes(frames)
    try {
      setsockopt(this.socket, SOL_UDP, UDP_SEGMENT, each)
      this.perCall = Math.max(1, Math.min(MAX_SEGMENTS, Math.floor(MAX_BYTES / each)))
    } catch {
      // An older kernel.
      this.perCall = 1
    }
    return frames
  }

  /** A device without checksums of its own refuses (EIO), and blocks that are bigger than its frames do (EINVAL). */
  private uncut(transfer: Transfer, part: { first: number; count: number }): void {
    if (!this.frames) return
    this.perCall = 1
    setsockopt(this.socket, SOL_UDP, UDP_SEGMENT, 0)
    this.oneByOne(transfer, part)
  }

  private oneByOne(transfer: Transfer, sending: Sending): void {
    for (const packet of packetsOf(transfer, sending)) this.socket.send(encodeTftp(packet))
  }
}
