/** The TFTP sockets: one for requests, one connected socket per transfer, so that packets of strangers never reach it. Read only. */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram'
import type { Clock } from '../../kit/clock.ts'
import { WireError } from '../bytes.ts'
import { decodeTftp, encodeTftp, TFTP_ERROR, type TftpPacket } from './packet.ts'
import { beginTransfer, onPacket, onSilence, type Outcome, type Transfer } from './transfer.ts'

export type TftpEvent =
  | { readonly kind: 'sent'; readonly ip: string; readonly file: string; readonly sizeBytes: number }
  | { readonly kind: 'failed'; readonly ip: string; readonly file: string; readonly why: string }
  | { readonly kind: 'refused'; readonly ip: string; readonly file: string; readonly why: string }

export interface TftpOwner {
  /** The whole file of that exact name, or undefined. Names never reach a file system. */
  file(name: string): Buffer | undefined
  event(event: TftpEvent): void
}

const MAX_TRANSFERS = 2000
const TIMEOUT_MS = 1000

export class TftpServer {
  private readonly owner: TftpOwner
  private readonly clock: Clock
  private readonly maxBlockBytes: number
  private socket: Socket | undefined
  private localIp = ''
  private readonly running = new Map<string, { end(): void }>()

  constructor(parts: { owner: TftpOwner; clock: Clock; maxBlockBytes?: number }) {
    this.owner = parts.owner
    this.clock = parts.clock
    this.maxBlockBytes = parts.maxBlockBytes ?? 1468
  }

  /** Answers the port that it listens on. */
  async listen(at: { ip: string; port?: number }): Promise<number> {
    const socket = createSocket('udp4')
    this.socket = socket
    this.localIp = at.ip
    await new Promise<void>((resolve, reject) => {
      socket.once('error', reject)
      socket.bind(at.port ?? 69, at.ip, () => resolve())
    })
    socket.removeAllListeners('error')
    socket.on('error', () => undefined)
    socket.on('message', (datagram, from) => this.request(datagram, from))
    return socket.address().port
  }

  stop(): void {
    this.socket?.close()
    this.socket = undefined
    for (const transfer of this.running.values()) transfer.end()
  }

  private request(datagram: Buffer, from: RemoteInfo): void {
    const packet = decode(datagram)
    if (!packet || (packet.op !== 'rrq' && packet.op !== 'wrq')) return
    const key = `${from.address}:${from.port}`
    // A request that comes again while its transfer runs is a retransmission.
    if (this.running.has(key)) return
    // Firmware writes paths: "/snponly.efi", "\\snponly.efi".
    const name = packet.file.replaceAll('\\', '/').replace(/^\/+/, '')
    const refuse = (code: number, why: string) => {
      this.socket?.send(encodeTftp({ op: 'error', code, message: why }), from.port, from.address)
      this.owner.event({ kind: 'refused', ip: from.address, file: name.slice(0, 200), why })
    }
    if (packet.op === 'wrq') return refuse(TFTP_ERROR.access, 'this server only reads')
    if (packet.mode !== 'octet') return refuse(TFTP_ERROR.illegal, 'only octet mode is served')
    if (this.running.size >= MAX_TRANSFERS) return refuse(TFTP_ERROR.undefined, 'too many transfers')
    const file = this.owner.file(name)
    if (!file) return refuse(TFTP_ERROR.notFound, 'there is no such file')
    this.transfer({ key, name, file, from, options: packet.options })
  }

  private transfer(job: { key: string; name: string; file: Buffer; from: RemoteInfo; options: ReadonlyMap<string, string> }): void {
    const socket = createSocket('udp4')
    let transfer: Transfer | undefined
    let cancel: () => void = () => undefined
    const end = () => {
      cancel()
      if (this.running.delete(job.key)) socket.close()
    }
    this.running.set(job.key, { end })
    const take = (outcome: Outcome) => {
      if (!this.running.has(job.key)) return
      if (outcome.state !== 'going') {
        const about = { ip: job.from.address, file: job.name }
        this.owner.event(outcome.state === 'done' ? { kind: 'sent', ...about, sizeBytes: job.file.length } : { kind: 'failed', ...about, why: outcome.why })
        return end()
      }
      transfer = outcome.transfer
      if (outcome.send.length === 0) return
      for (const packet of outcome.send) socket.send(encodeTftp(packet))
      cancel()
      cancel = this.clock.after(transfer.timeoutMs, () => transfer && take(onSilence(transfer)))
    }
    // ICMP "port unreachable" from a client that went away.
    socket.on('error', (error) => take({ state: 'failed', why: error.message }))
    socket.on('message', (datagram) => {
      const packet = decode(datagram)
      if (packet && transfer) take(onPacket(transfer, packet))
    })
    socket.bind(0, this.localIp, () => {
      if (!this.running.has(job.key)) return
      socket.connect(job.from.port, job.from.address, () => {
        take(beginTransfer(job.file, job.options, { maxBlockBytes: this.maxBlockBytes, timeoutMs: TIMEOUT_MS }))
      })
    })
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
