/** The TFTP sockets: one for requests, one connected socket per transfer, so that packets of strangers never reach it.
 *  Read only. Whatever arrives, the process goes on: a fault in a handler is an event. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import type { Clock } from '../../kit/clock.ts'
import { bind, noLookup } from '../../kit/listen.ts'
import { printable } from '../../kit/text.ts'
import { WireError } from '../bytes.ts'
import { makeReceiveRoom } from '../receive-room.ts'
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpPacket } from './packet.ts'
import { Sender } from './sender.ts'
import { beginTransfer, onPacket, onSilence, type Outcome, type Transfer } from './transfer.ts'

export type TftpEvent =
  /** `sizeBytes`: what was sent; 0 to a client that asked for the size alone. */
  | { readonly kind: 'sent'; readonly ip: string; readonly file: string; readonly sizeBytes: number }
  | { readonly kind: 'failed'; readonly ip: string; readonly file: string; readonly why: string }
  | { readonly kind: 'refused'; readonly ip: string; readonly file: string; readonly why: string }
  /** A limit was enforced, by its key in the configuration: a request was refused, or a transfer whose client never
   *  answered made room. */
  | { readonly kind: 'limit'; readonly limit: 'tftpTransfers' | 'tftpTransfersPerAddress' }
  /** The socket is broken, or a datagram could not be sent. */
  | { readonly kind: 'socket'; readonly why: string }
  /** A handler failed, which is a bug here. */
  | { readonly kind: 'fault'; readonly ip: string; readonly why: string }

export interface TftpLimits {
  /** Transfers at once. */
  readonly transfers: number
  readonly transfersPerAddress: number
  /** The longest time-out that a client may ask for. */
  readonly maxTimeoutMs: number
}

export interface TftpOwner {
  /** The whole file of that exact name for the client at an address, or undefined. Names never reach a file system. */
  file(name: string, toIp: string): Buffer | undefined
  event(event: TftpEvent): void
}

const TIMEOUT_MS = 1000
const MAX_NAME_LENGTH = 200

interface Running {
  readonly address: string
  /** The client has acknowledged something. */
  answered: boolean
  end(): void
}

export class TftpServer {
  private readonly owner: TftpOwner
  private readonly clock: Clock
  private readonly limits: TftpLimits
  private readonly maxBlockBytes: number
  private socket: Socket | undefined
  private localIp = ''
  /** By address and port of the client, oldest first. */
  private readonly running = new Map<string, Running>()
  private readonly keysOf = new Map<string, Set<string>>()

  constructor(parts: { owner: TftpOwner; clock: Clock; limits: TftpLimits; maxBlockBytes?: number }) {
    this.owner = parts.owner
    this.clock = parts.clock
    this.limits = parts.limits
    this.maxBlockBytes = parts.maxBlockBytes ?? 1468
  }

  /** Answers the port that it listens on. */
  async listen(at: { ip: string; port?: number }): Promise<number> {
    const socket = await bind(createSocket('udp4'), { port: at.port ?? 69, address: at.ip })
    this.socket = socket
    makeReceiveRoom(socket)
    this.localIp = at.ip
    socket.on('error', (error) => this.owner.event({ kind: 'socket', why: error.message }))
    socket.on('message', (datagram, from) => this.guarded(from.address, () => this.request(datagram, from)))
    return socket.address().port
  }

  /** How many run now. */
  get transfers(): number {
    return this.running.size
  }

  stop(): void {
    this.socket?.close()
    this.socket = undefined
    for (const transfer of this.running.values()) transfer.end()
  }

  private guarded(ip: string, handle: () => void): void {
    try {
      handle()
    } catch (error) {
      this.owner.event({ kind: 'fault', ip, why: String(error) })
    }
  }

  private request(datagram: Buffer, from: RemoteInfo): void {
    // Nothing can be sent to port 0, but Linux delivers what comes from it.
    if (from.port === 0) return
    const packet = decode(datagram)
    if (!packet || (packet.op !== 'rrq' && packet.op !== 'wrq')) return
    const key = `${from.address}:${from.port}`
    // A request that comes again while its transfer runs is a retransmission.
    if (this.running.has(key)) return
    // Firmware writes paths: "/snponly.efi", "\\snponly.efi".
    const name = packet.file.replaceAll('\\', '/').replace(/^\/+/, '')
    const refuse = (code: number, why: string) => {
      this.socket?.send(encodeTftp({ op: 'error', code, message: why }), from.port, from.address)
      this.owner.event({ kind: 'refused', ip: from.address, file: printable(name, MAX_NAME_LENGTH), why })
    }
    if (packet.op === 'wrq') return refuse(TFTP_ERROR.access, 'this server only reads')
    if (packet.mode !== 'octet') return refuse(TFTP_ERROR.illegal, 'only octet mode is served')
    const file = this.owner.file(name, from.address)
    if (!file) return refuse(TFTP_ERROR.notFound, 'there is no such file')
    if (!this.makeRoom(from.address)) return refuse(TFTP_ERROR.undefined, 'too many transfers')
    this.transfer({ key, name, file, from, options: packet.options })
  }

  /** Where a limit is reached, the oldest transfer whose client never answered makes way: who forges addresses cannot
   *  keep others out. */
  private makeRoom(address: string): boolean {
    const ofAddress = this.keysOf.get(address) ?? new Set<string>()
    const isFull = ofAddress.size >= this.limits.transfersPerAddress
    if (!isFull && this.running.size < this.limits.transfers) return true
    this.owner.event({ kind: 'limit', limit: isFull ? 'tftpTransfersPerAddress' : 'tftpTransfers' })
    for (const key of isFull ? ofAddress : this.running.keys()) {
      const transfer = this.running.get(key)
      if (!transfer || transfer.answered) continue
      transfer.end()
      return true
    }
    return false
  }

  private transfer(job: {
    key: string
    name: string
    file: Buffer
    from: RemoteInfo
    options: ReadonlyMap<string, string>
  }): void {
    const { key, from } = job
    const socket = createSocket({ type: 'udp4', lookup: noLookup })
    const sender = new Sender(socket)
    let transfer: Transfer | undefined
    let sentAtMs = 0
    /** When the timer goes off; undefined: there is none. */
    let timerAtMs: number | undefined
    let cancel: () => void = () => undefined
    const running: Running = {
      address: from.address,
      answered: false,
      end: () => {
        cancel()
        if (!this.unregister(key)) return
        sender.end()
        socket.close()
      },
    }
    this.register(key, running)
    const take = (outcome: Outcome) => {
      if (this.running.get(key) !== running) return
      if (outcome.state !== 'going') {
        const about = { ip: from.address, file: printable(job.name, MAX_NAME_LENGTH) }
        this.owner.event(
          outcome.state === 'done'
            ? { kind: 'sent', ...about, sizeBytes: outcome.sizeOnly ? 0 : job.file.length }
            : { kind: 'failed', ...about, why: outcome.why },
        )
        return running.end()
      }
      transfer = outcome.transfer
      running.answered = transfer.answered
      if (outcome.send === undefined) return
      sender.send(transfer, outcome.send)
      sentAtMs = this.clock.now()
      // Armed anew for each packet, timers would cost as much as the packets.
      if (timerAtMs === undefined || timerAtMs > sentAtMs + transfer.waitMs) arm(transfer.waitMs)
    }
    const arm = (waitMs: number) => {
      cancel()
      timerAtMs = this.clock.now() + waitMs
      cancel = this.clock.after(waitMs, onTimer)
    }
    const onTimer = () => {
      timerAtMs = undefined
      if (!transfer) return
      const leftMs = sentAtMs + transfer.waitMs - this.clock.now()
      // More than the whole wait is left where the clock was set back.
      if (leftMs > 0 && leftMs <= transfer.waitMs) arm(leftMs)
      else next(onSilence(transfer))
    }
    const next = (outcome: Outcome) => this.guarded(from.address, () => take(outcome))
    // ICMP "port unreachable" from a client that went away.
    socket.on('error', (error) => next({ state: 'failed', why: error.message }))
    socket.on('message', (datagram) => {
      this.guarded(from.address, () => {
        const packet = decode(datagram)
        if (packet && transfer) take(onPacket(transfer, packet, Math.max(0, this.clock.now() - sentAtMs)))
      })
    })
    socket.bind(0, this.localIp, () => {
      if (this.running.get(key) !== running) return
      this.guarded(from.address, () =>
        // The callback gets an error for an address that cannot be connected to, such as a broadcast address.
        socket.connect(from.port, from.address, ((error?: Error) => {
          if (error) return next({ state: 'failed', why: error.message })
          const limits = {
            maxBlockBytes: this.maxBlockBytes,
            timeoutMs: TIMEOUT_MS,
            maxTimeoutMs: this.limits.maxTimeoutMs,
          }
          next(beginTransfer(job.file, job.options, limits))
        }) as () => void),
      )
    })
  }

  private register(key: string, running: Running): void {
    this.running.set(key, running)
    const keys = this.keysOf.get(running.address) ?? new Set()
    this.keysOf.set(running.address, keys.add(key))
  }

  /** False when it was gone already. */
  private unregister(key: string): boolean {
    const running = this.running.get(key)
    if (!running) return false
    this.running.delete(key)
    const keys = this.keysOf.get(running.address)
    keys?.delete(key)
    if (keys?.size === 0) this.keysOf.delete(running.address)
    return true
  }
}

function decode(datagram: Buffer): TftpPacket | undefined {
  try {
    return decodeTftp(datagram)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}
