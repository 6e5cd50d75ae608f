/** A boot room's connection to one conductor: dialled again and again, with the certificate of the room, and only to a
 *  conductor whose certificate the room was given. */
import type { Socket } from 'node:net'
import { request } from 'node:https'
import type { TLSSocket } from 'node:tls'
import { certificatePin } from '../../agents/certificate.ts'
import type { Clock } from '../../../kit/clock.ts'
import { parsedOr } from '../../../kit/json.ts'
import type { Log } from '../../../kit/log.ts'
import { readLines } from '../wire.ts'
import type { Bundle } from './records.ts'
import { ALIVE_MS, LINK_PATH, SILENT_MS, upgradeHeaders, type FromRoom, type ToRoom } from './wire.ts'

export interface RoomLinkParts {
  readonly url: URL
  readonly bundle: Bundle
  readonly clock: Clock
  readonly log: Pick<Log, 'warn' | 'info'>
  /** It is connected: what it is told first. */
  readonly hello: () => readonly FromRoom[]
  readonly onMessage: (message: ToRoom) => Promise<void>
  readonly onEnd: () => void
}

const AGAIN_MS = 1_000
const AGAIN_MAX_MS = 15_000
const DIAL_MS = 10_000
const MAX_BODY = 4_000

/** What a room dials with. */
export const tlsOf = ({ cert, key }: Bundle) =>
  ({ cert, key, minVersion: 'TLSv1.3', rejectUnauthorized: false }) as const

/** Throws for a server that is no conductor of the room's. */
export function checkConductor(socket: TLSSocket, { pins }: Bundle): void {
  const certificate = socket.getPeerX509Certificate()
  if (!certificate || !pins.includes(certificatePin(certificate.toString())))
    throw new Error('its certificate is none of the conductors of this room (see pins in the bundle)')
}

export class RoomLink {
  private readonly parts: RoomLinkParts
  private readonly abort = new AbortController()
  private socket: Socket | undefined
  private running: Promise<void> = Promise.resolve()
  /** Why the last try failed. */
  private why: string | undefined
  private isWelcome = false

  constructor(parts: RoomLinkParts) {
    this.parts = parts
  }

  get url(): string {
    return this.parts.url.href
  }

  /** It said welcome. */
  get connected(): boolean {
    return this.isWelcome
  }

  get trouble(): string | undefined {
    return this.connected ? undefined : this.why
  }

  start(): void {
    this.running = this.run()
  }

  async stop(): Promise<void> {
    this.abort.abort()
    this.socket?.destroy()
    await this.running
  }

  /** False where nobody is, or one that does not take what it was sent. */
  send(message: FromRoom): boolean {
    const { socket } = this
    if (!socket || socket.destroyed || socket.writableNeedDrain) return false
    socket.write(`${JSON.stringify(message)}\n`)
    return true
  }

  private async run(): Promise<void> {
    const { clock, log, url } = this.parts
    const { signal } = this.abort
    let againMs = AGAIN_MS
    while (!signal.aborted) {
      const before = this.why
      try {
        const socket = await this.dial()
        const wasWelcome = await this.serve(socket)
        if (wasWelcome) againMs = AGAIN_MS
        this.why = 'it ended the connection'
      } catch (error) {
        this.why = (error as Error).message
      }
      if (!signal.aborted && this.why !== before) log.warn({ conductor: url.href, why: this.why }, 'no conductor there')
      await clock.sleep(againMs, signal).catch(() => undefined)
      againMs = Math.min(againMs * 2, AGAIN_MAX_MS)
    }
  }

  private dial(): Promise<Socket> {
    const { url, bundle, clock } = this.parts
    return new Promise((resolve, reject) => {
      const asked = request(url, {
        path: LINK_PATH,
        headers: upgradeHeaders(bundle.room),
        agent: false,
        ...tlsOf(bundle),
      })
      const cancel = clock.after(DIAL_MS, () => asked.destroy(new Error('it does not answer')))
      const end = (error: Error) => {
        cancel()
        asked.destroy()
        reject(error)
      }
      asked.on('error', end)
      asked.on('socket', (socket: TLSSocket) =>
        socket.once('secureConnect', () => {
          try {
            checkConductor(socket, bundle)
          } catch (error) {
            end(error as Error)
          }
        }),
      )
      asked.on('response', (response) => {
        let body = ''
        response.setEncoding('utf8').on('data', (chunk: string) => (body = (body + chunk).slice(0, MAX_BODY)))
        response.on('end', () => {
          const { error } = (parsedOr(body, {}) ?? {}) as { error?: unknown }
          end(new Error(typeof error === 'string' ? error : `it answers ${response.statusCode ?? 'nothing'}`))
        })
      })
      asked.on('upgrade', (_, socket: Socket) => {
        cancel()
        socket.on('error', () => undefined)
        resolve(socket)
      })
      asked.end()
    })
  }

  /** Until it ends. Answers whether it was welcome. */
  private async serve(socket: Socket): Promise<boolean> {
    const { hello, onMessage, onEnd, clock, log, url } = this.parts
    if (this.abort.signal.aborted) socket.destroy()
    this.socket = socket
    let heardAtMs = clock.now()
    let last: Promise<void> = Promise.resolve()
    const ended = new Promise<void>((resolve) => socket.once('close', () => resolve()))
    readLines<ToRoom>(socket, (message) => {
      heardAtMs = clock.now()
      if (message.t === 'welcome') this.isWelcome = true
      last = last
        .then(() => onMessage(message))
        .catch((error: Error) => {
          log.warn({ conductor: url.href, error: error.message }, 'what a conductor says cannot be taken')
          socket.destroy()
        })
    })
    for (const message of hello()) socket.write(`${JSON.stringify(message)}\n`)
    let cancel: () => void = () => undefined
    const beat = (): void => {
      cancel = clock.after(ALIVE_MS, () => {
        if (clock.now() - heardAtMs > SILENT_MS) return void socket.destroy()
        this.send({ t: 'alive' })
        beat()
      })
    }
    beat()
    await ended
    cancel()
    await last
    const { isWelcome } = this
    this.isWelcome = false
    this.socket = undefined
    onEnd()
    return isWelcome
  }
}
