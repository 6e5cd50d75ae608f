/** The door of the agent: a process that is nobody's, sees no disk and no other file, and has no network but the one
 *  socket that it inherits. It asks this process for pieces by their numbers and gets proven ones. Whatever it becomes
 *  by what neighbours send to it, it can only give away pieces of the image. */
import { createServer } from 'node:net'
import { Fault } from '../../../kit/fault.ts'
import { descriptorOf, listen } from '../../../kit/listen.ts'
import type { Piped } from '../../../kit/run.ts'
import type { Door, DoorParts } from './door.ts'
import { encodeFrame, FRAME, FrameReader, numbersBody, pieceHead, readNumber, type Frame } from './frames.ts'
import { UPLOADS } from './peer-server.ts'
import type { Knows } from './peer-main.ts'

/** Starts it with this descriptor as its fourth. */
export type LaunchPeer = (listeningFd: number) => Piped

/** A slow server under load takes its time, and nothing waits for it. */
const START_MS = 120_000
const HAVE_AT_ONCE = 4_096
/** It says what it sent five times a second; more than this, and then ten a second, is a flood. */
const SAID_AT_ONCE = 300
const SAID_EVERY_MS = 100
/** A process that was killed is gone long before. */
const GONE_MS = 5_000
const TAKEN = { [FRAME.up]: 0, [FRAME.get]: 4, [FRAME.sent]: 4 }

export class PeerProcess implements Door {
  private readonly parts: DoorParts
  private readonly launch: LaunchPeer
  private child: Piped | undefined
  private isUp = false
  private isClosed = false
  private told = 0
  /** Pieces that it asked for and did not get yet. */
  private asked = 0
  private said = 0
  private upAtMs: number | undefined
  /** Of pieces that it was given. */
  private givenBytes = 0
  sentBytes = 0

  constructor(parts: DoorParts, launch: LaunchPeer) {
    this.parts = parts
    this.launch = launch
  }

  get isOpen(): boolean {
    return this.isUp
  }

  async listen(host: string): Promise<number> {
    // Nobody knows the port until it serves.
    const server = await listen(
      createServer((socket) => socket.destroy()),
      { host, port: 0 },
    )
    const { port } = server.address() as { port: number }
    if (this.isClosed) {
      server.close()
      throw new Fault('run.failed', 'it was closed before it started')
    }
    const child = this.launch(descriptorOf(server))
    server.close()
    this.child = child
    const gone = child.done.finally(() => {
      this.isUp = false
    })
    gone.catch(() => undefined)
    const frames = new FrameReader(TAKEN)
    const up = new Promise<void>((resolve) =>
      child.stdout.on('data', (chunk: Buffer) => {
        try {
          for (const frame of frames.push(chunk))
            if (frame.type !== FRAME.up) this.take(frame)
            else if (this.upAtMs === undefined) {
              this.upAtMs = this.parts.clock.now()
              resolve()
            } else throw new Fault('input.invalid', 'it started twice')
        } catch {
          // It is not what was started any more.
          child.stop()
        }
      }),
    )
    const over = new AbortController()
    try {
      await Promise.race([
        up,
        gone.then(() => Promise.reject(new Fault('run.failed', 'it ended at once'))),
        this.parts.clock
          .sleep(START_MS, over.signal)
          .then(() => Promise.reject(new Fault('run.timeout', `it did not start within ${START_MS / 1000} s`))),
      ])
    } catch (error) {
      child.stop()
      throw error
    } finally {
      over.abort()
    }
    this.isUp = true
    this.renew()
    this.tell()
    return port
  }

  tell(): void {
    while (this.isUp) {
      const news = this.parts.shelf.after(this.told, HAVE_AT_ONCE)
      if (news.length === 0) return
      this.told += news.length
      this.write(encodeFrame(FRAME.have, numbersBody(news)))
    }
  }

  renew(): void {
    const self = this.parts.self()
    if (!this.isUp || !self) return
    const { id, imageId, nowMs, key } = self
    const bytesPerSecond = this.parts.bytesPerSecond() ?? null
    const knows: Knows = { id, imageId, nowMs, key: key.toString('base64url'), bytesPerSecond }
    this.write(encodeFrame(FRAME.know, Buffer.from(JSON.stringify(knows))))
  }

  /** It has nothing to put in order: its sockets end with it. Nobody waits for ever for one that cannot be killed. */
  async close(): Promise<void> {
    this.isUp = false
    this.isClosed = true
    if (!this.child) return
    this.child.stop()
    const over = new AbortController()
    const late = this.parts.clock.sleep(GONE_MS, over.signal).catch(() => undefined)
    await Promise.race([this.child.done.catch(() => undefined), late])
    over.abort()
  }

  private take({ type, body }: Frame): void {
    const number = readNumber(body)
    if (type === FRAME.sent) {
      this.said += 1
      const nowMs = this.parts.clock.now()
      const most = SAID_AT_ONCE + (nowMs - (this.upAtMs ?? nowMs)) / SAID_EVERY_MS
      if (this.said > most) throw new Fault('input.invalid', 'it says too much')
      // One reading of a piece serves several neighbours, and each of them no more than it was given.
      this.sentBytes = Math.min(this.sentBytes + number, this.givenBytes * UPLOADS)
      return
    }
    this.asked += 1
    if (this.asked > UPLOADS) throw new Fault('input.invalid', 'it asks for too much')
    void this.answer(number).finally(() => {
      this.asked -= 1
    })
  }

  private async answer(number: number): Promise<void> {
    const piece = await this.parts.shelf.read(number).catch(() => undefined)
    if (!piece) return this.write(encodeFrame(FRAME.none, numbersBody([number])))
    this.givenBytes += piece.bytes.length
    this.write(pieceHead(number, piece.isRaw, piece.bytes.length))
    await new Promise<void>((resolve) => {
      if (this.child) this.child.stdin.write(piece.bytes, () => resolve())
      else resolve()
    })
  }

  private write(bytes: Buffer): void {
    this.child?.stdin.write(bytes)
  }
}
