/** The unix socket that a conductor connects to: it sends clients, and gets events. Without a conductor for long enough
 *  the boot services end. */
import { rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import type { Clock } from '../../kit/clock.ts'
import { listen } from '../../kit/listen.ts'
import type { Outbox } from './outbox.ts'
import { readLines, writeLine, type FromBoot, type ToBoot } from './wire.ts'

export interface ControlParts {
  readonly path: string
  readonly hello: FromBoot & { t: 'hello' }
  readonly outbox: Outbox
  readonly clock: Clock
  readonly orphanMs: number
  /** A conductor connected, which knows nothing of what was told before. */
  readonly onConductor: () => void
  readonly onClients: (message: ToBoot & { t: 'clients' }) => void
  /** A conductor said stop, or none was there for `orphanMs`. */
  readonly onEnd: () => void
}

/** What the boot services hear their conductors by. */
export interface BootControl {
  listen(): Promise<void>
  /** False where nobody takes it now. */
  tell(message: FromBoot): boolean
  close(): void
}

export class ControlSocket implements BootControl {
  private readonly parts: ControlParts
  private readonly server: Server
  private link: Socket | undefined
  private cancelOrphan: (() => void) | undefined

  constructor(parts: ControlParts) {
    this.parts = parts
    this.server = createServer((socket) => this.adopt(socket))
  }

  async listen(): Promise<void> {
    await rm(this.parts.path, { force: true })
    // The data directory is 0700, and a unix socket is bound with the umask of the process.
    const before = process.umask(0o177)
    const listening = listen(this.server, { path: this.parts.path })
    process.umask(before)
    await listening
    this.orphan()
  }

  /** False where no conductor is, or one that does not take what it was sent: these wait for it in no queue. */
  tell(message: FromBoot): boolean {
    if (!this.link || this.link.writableNeedDrain) return false
    writeLine(this.link, message)
    return true
  }

  close(): void {
    this.cancelOrphan?.()
    this.link?.destroy()
    this.server.close()
  }

  /** A conductor connected; the newest one is the one. */
  private adopt(socket: Socket): void {
    this.link?.destroy()
    this.link = socket
    this.cancelOrphan?.()
    socket.on('error', () => undefined)
    socket.on('close', () => {
      if (this.link !== socket) return
      this.link = undefined
      this.parts.outbox.attach(undefined)
      this.orphan()
    })
    writeLine(socket, this.parts.hello)
    this.parts.outbox.attach(socket)
    this.parts.onConductor()
    readLines<ToBoot>(socket, (message) => this.take(message, socket))
  }

  private take(message: ToBoot, socket: Socket): void {
    if (message.t === 'stop') return this.parts.onEnd()
    this.parts.onClients(message)
    if (!message.more) writeLine(socket, { t: 'have', revision: message.revision })
  }

  private orphan(): void {
    this.cancelOrphan = this.parts.clock.after(this.parts.orphanMs, this.parts.onEnd)
  }
}
