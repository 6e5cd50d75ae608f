/** What a transfer sends, on its connected socket: a whole window in one call where the kernel cuts it into datagrams
 *  (UDP_SEGMENT, Linux 4.18), datagram by datagram where it does not. */
import type { Socket } from 'node:dgram'
import { setsockopt } from 'sockopt'
import { framesOf, packetBytes } from './frames.ts'
import { encodeTftp } from './packet.ts'
import type { Sending, Transfer } from './transfer.ts'

type Blocks = Exclude<Sending, 'oack'>

const SOL_UDP = 17
const UDP_SEGMENT = 103
/** Of one call: kernels before 6.9 take 64 segments (UDP_MAX_SEGMENTS), of which the headers of the first are a part;
 *  and the longest UDP datagram over IPv4. */
const MAX_SEGMENTS = 63
const MAX_BYTES = 65_507
/** What a send with UDP_SEGMENT fails with, and one without does not: the device has no checksums of its own (EIO), or
 *  a block is bigger than its frames (EMSGSIZE; EINVAL before Linux 6.14). */
const REFUSALS: ReadonlySet<string | undefined> = new Set(['EIO', 'EINVAL', 'EMSGSIZE'])

export class Sender {
  private readonly socket: Socket
  /** Packets that go out in one call; undefined until the first block is sent. */
  private perCall: number | undefined
  private ended = false

  constructor(socket: Socket) {
    this.socket = socket
  }

  send(transfer: Transfer, sending: Sending): void {
    if (sending === 'oack') return this.socket.send(encodeTftp({ op: 'oack', options: transfer.options }))
    const perCall = (this.perCall ??= this.prepare(transfer))
    if (perCall === 1) return this.oneByOne(transfer, sending)
    const last = sending.first + sending.count
    for (let first = sending.first; first < last; first += perCall) {
      const part = { first, count: Math.min(perCall, last - first) }
      // The kernel refuses a single packet as well.
      this.socket.send(framesOf(transfer, part), (error) => error && this.failed(error, transfer, part))
    }
  }

  /** Before its socket is closed. */
  end(): void {
    this.ended = true
  }

  private prepare(transfer: Transfer): number {
    const each = packetBytes(transfer)
    const perCall = Math.min(MAX_SEGMENTS, Math.floor(MAX_BYTES / each), transfer.window)
    if (perCall <= 1) return 1
    try {
      setsockopt(this.socket, SOL_UDP, UDP_SEGMENT, each)
      return perCall
    } catch {
      // An older kernel.
      return 1
    }
  }

  private failed(error: NodeJS.ErrnoException, transfer: Transfer, part: Blocks): void {
    // Others lose what was sent, which is sent again as any packet that got lost.
    if (this.ended || !REFUSALS.has(error.code)) return
    if (this.perCall !== 1) setsockopt(this.socket, SOL_UDP, UDP_SEGMENT, 0)
    this.perCall = 1
    this.oneByOne(transfer, part)
  }

  private oneByOne(transfer: Transfer, { first, count }: Blocks): void {
    for (let block = first; block < first + count; block += 1)
      this.socket.send(framesOf(transfer, { first: block, count: 1 }))
  }
}
