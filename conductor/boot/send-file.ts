/** The bytes of a file, or of a range of it, as the body of an answer: in large parts from memory that is used again,
 *  up to a limit for all transfers together; what has no room there goes in small parts. Node.js has no sendfile(2),
 *  and large parts cost half of what its file streams do. */
import { open, type FileHandle } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'

const LARGE_BYTES = 512 * 1024
const SMALL_BYTES = 64 * 1024
/** One is read while the one before is written. */
const AHEAD = 2

/** Memory for the large parts of all transfers. It is given back when no transfer is left. */
export class SendMemory {
  private readonly most: number
  private free: Buffer[] = []
  private made = 0
  private transfers = 0

  constructor(sizeBytes: number) {
    this.most = Math.floor(sizeBytes / LARGE_BYTES)
  }

  /** Bytes that are held. */
  get sizeBytes(): number {
    return this.made * LARGE_BYTES
  }

  begin(): void {
    this.transfers += 1
  }

  end(): void {
    this.transfers -= 1
    if (this.transfers > 0) return
    this.made -= this.free.length
    this.free = []
  }

  /** For so many bytes at most; owed to `give` or `lose`. */
  take(wantedBytes: number): Buffer {
    if (wantedBytes <= SMALL_BYTES || (this.free.length === 0 && this.made >= this.most))
      return Buffer.allocUnsafeSlow(Math.min(SMALL_BYTES, wantedBytes))
    const found = this.free.pop()
    if (found) return found
    this.made += 1
    return Buffer.allocUnsafeSlow(LARGE_BYTES)
  }

  give(part: Buffer): void {
    if (part.length === LARGE_BYTES) this.free.push(part)
  }

  /** A part that somebody may still read. */
  lose(part: Buffer): void {
    if (part.length === LARGE_BYTES) this.made -= 1
  }
}

export interface FileRange {
  readonly start: number
  /** The last byte. */
  readonly end: number
}

export interface SendTo {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly memory: SendMemory
  /** Sees each part before it is sent, and may change it. */
  readonly onPart?: (bytes: Buffer, at: number) => void
}

/** Sends `range` as the body of an answer whose headers are set, and ends it. Resolves when all of it is written, or
 *  the client is gone. Throws when the file cannot be read to the end of the range. */
export async function sendFile(path: string, range: FileRange, to: SendTo): Promise<void> {
  const { request, response, memory } = to
  const file = await open(path)
  const pump = new Pump(file, to)
  const onGone = () => pump.stop()
  // An answer that waits behind another one hears nothing of the end of its connection.
  for (const one of [response, request.socket]) one.once('close', onGone)
  if (response.destroyed || request.socket.destroyed) onGone()
  memory.begin()
  try {
    if (await pump.run(range)) response.end()
  } finally {
    for (const one of [response, request.socket]) one.off('close', onGone)
    memory.end()
    await file.close()
  }
}

class Pump {
  private readonly file: FileHandle
  private readonly to: SendTo
  private readonly writing = new Set<Buffer>()
  private isGone = false
  private wake = () => undefined as void

  constructor(file: FileHandle, to: SendTo) {
    this.file = file
    this.to = to
  }

  /** The client is gone. */
  stop(): void {
    this.isGone = true
    this.wake()
  }

  /** Answers whether all of it is written. */
  async run({ start, end }: FileRange): Promise<boolean> {
    try {
      for (let at = start; at <= end && !this.isGone;) {
        at += await this.part(at, end + 1 - at)
        await this.untilWriting(AHEAD - 1)
      }
      await this.untilWriting(0)
      return !this.isGone
    } finally {
      for (const part of this.writing) this.to.memory.lose(part)
      this.writing.clear()
    }
  }

  /** Waits until no more than `most` parts are written, or the client is gone. */
  private async untilWriting(most: number): Promise<void> {
    while (this.writing.size > most && !this.isGone) await new Promise<void>((resolve) => (this.wake = resolve))
  }

  /** Reads a part and begins to write it; answers its length. */
  private async part(at: number, mostBytes: number): Promise<number> {
    const { memory, response, onPart } = this.to
    const part = memory.take(mostBytes)
    let bytesRead = 0
    try {
      bytesRead = (await this.file.read(part, 0, Math.min(part.length, mostBytes), at)).bytesRead
      if (bytesRead === 0) throw new Error('the file is shorter than it was')
    } catch (error) {
      memory.give(part)
      throw error
    }
    const bytes = part.subarray(0, bytesRead)
    onPart?.(bytes, at)
    this.writing.add(part)
    response.write(bytes, () => {
      if (this.writing.delete(part)) memory.give(part)
      this.wake()
    })
    return bytesRead
  }
}
