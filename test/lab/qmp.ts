/** QEMU's machine protocol (QMP) over a guest's unix socket: commands in turn, events as they come. */
import { createConnection, type Socket } from 'node:net'
import { createInterface } from 'node:readline'

interface Waiting {
  readonly resolve: (value: unknown) => void
  readonly reject: (error: Error) => void
}

const ANSWER_MS = 30_000

export class Qmp {
  private readonly socket: Socket
  private readonly waiting: Waiting[] = []
  private onEvent: (event: string) => void = () => undefined
  private onEnd: () => void = () => undefined
  private ended = false

  private constructor(socket: Socket) {
    this.socket = socket
    const lines = createInterface({ input: socket })
    lines.on('line', (line) => this.hear(JSON.parse(line) as Record<string, unknown>))
    // A guest that quits resets the connection; readline passes the socket's error on as one of its own.
    for (const part of [lines, socket]) part.on('error', () => undefined)
    socket.on('close', () => this.close())
  }

  /** Throws when nobody listens at the socket. */
  static async open(path: string): Promise<Qmp> {
    const socket = createConnection(path)
    await new Promise<void>((resolve, reject) => {
      socket.once('connect', resolve)
      socket.once('error', reject)
    })
    const qmp = new Qmp(socket)
    await qmp.do('qmp_capabilities')
    return qmp
  }

  watch(parts: { event: (event: string) => void; end: () => void }): void {
    this.onEvent = parts.event
    this.onEnd = parts.end
    if (this.ended) parts.end()
  }

  /** Throws what QEMU says against it, and when the guest ends meanwhile. */
  do(execute: string, args: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(new Error(`${execute}: the guest has ended`))
      const timer = setTimeout(() => reject(new Error(`${execute}: QEMU does not answer`)), ANSWER_MS)
      this.waiting.push({
        resolve: (value) => {
          clearTimeout(timer)
          resolve(value)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      this.socket.write(`${JSON.stringify({ execute, arguments: args })}\n`)
    })
  }

  close(): void {
    if (this.ended) return
    this.ended = true
    this.socket.destroy()
    for (const { reject } of this.waiting.splice(0)) reject(new Error('the guest has ended'))
    this.onEnd()
  }

  private hear(said: Record<string, unknown>): void {
    if (typeof said.event === 'string') return this.onEvent(said.event)
    // The greeting answers nothing.
    if (said.QMP !== undefined) return
    const next = this.waiting.shift()
    const error = said.error as { desc?: string } | undefined
    if (error) next?.reject(new Error(error.desc ?? 'QEMU refused'))
    else next?.resolve(said.return)
  }
}
