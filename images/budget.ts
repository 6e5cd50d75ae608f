/** What all imports of a process share: so many at a time, a deadline for each, and the free space of the disk, of
 *  which each byte is promised once. */
import { statfs } from 'node:fs/promises'
import type { Clock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { bytesText } from '../kit/text.ts'

export interface ImportLimits {
  readonly virtualSizeBytes?: number
  readonly reserveBytes?: number
  readonly imports?: number
  readonly importSeconds?: number
  readonly leastBytesPerSecond?: number
}

/** Space that an import has claimed and not written yet. */
export interface Claim {
  /** Claims more. Throws `image.space` when the disk has not so much to spare. */
  grow(bytes: number): Promise<void>
  /** Throws the same when so much will be needed in the end, before anything is fetched. Claims nothing. */
  needs(bytes: number): Promise<void>
  /** So many of the claimed bytes are on the disk now. */
  wrote(bytes: number): void
  release(): void
}

export class ImportBudget {
  readonly limits: ImportLimits
  private readonly clock: Clock
  private readonly claimed = new Set<{ bytes: number }>()
  private readonly queue: (() => void)[] = []
  private running = 0

  constructor(limits: ImportLimits, clock: Clock) {
    this.limits = limits
    this.clock = clock
  }

  now = (): number => this.clock.now()

  /** Runs an import when it is its turn. Its signal ends with the caller's, or with the deadline. */
  async run<T>(signal: AbortSignal | undefined, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    await this.turn(signal)
    const deadline = new AbortController()
    const { importSeconds } = this.limits
    const late = () =>
      deadline.abort(
        new Fault('image.source', `the import was not done within ${importSeconds} s (limits.images.importSeconds)`),
      )
    const cancel = importSeconds === undefined ? () => undefined : this.clock.after(importSeconds * 1000, late)
    const either = signal ? AbortSignal.any([signal, deadline.signal]) : deadline.signal
    try {
      either.throwIfAborted()
      return await work(either)
    } catch (error) {
      // What broke off because of the signal says what the signal says.
      either.throwIfAborted()
      throw error
    } finally {
      cancel()
      this.running -= 1
      this.queue.shift()?.()
    }
  }

  claim(directory: string): Claim {
    const mine = { bytes: 0 }
    this.claimed.add(mine)
    const spare = async () => {
      const { bavail, bsize } = await statfs(directory)
      // From here to the claim nobody else has a turn.
      const promised = [...this.claimed].reduce((sum, claim) => sum + claim.bytes, 0)
      return bavail * bsize - (this.limits.reserveBytes ?? 0) - promised
    }
    return {
      needs: async (bytes) => {
        const spareBytes = await spare()
        if (bytes > spareBytes)
          throw new Fault(
            'image.space',
            `the import needs at least ${bytesText(bytes)} in ${directory}, which has ${bytesText(Math.max(0, spareBytes))} to spare`,
          )
      },
      grow: async (bytes) => {
        const spareBytes = await spare()
        if (bytes > spareBytes)
          throw new Fault(
            'image.space',
            `the image needs ${bytesText(bytes)} more in ${directory}, which has ${bytesText(Math.max(0, spareBytes))} to spare`,
          )
        mine.bytes += bytes
      },
      wrote: (bytes) => void (mine.bytes = Math.max(0, mine.bytes - bytes)),
      release: () => void this.claimed.delete(mine),
    }
  }

  /** Throws `image.format` for an image that is too big once it is unpacked. */
  checkSize(bytes: number): void {
    const { virtualSizeBytes: most } = this.limits
    if (most !== undefined && bytes > most)
      throw new Fault(
        'image.format',
        `the image has ${bytesText(bytes)} once it is unpacked; limits.images.virtualSizeBytes is ${bytesText(most)}`,
      )
  }

  private async turn(signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted()
    while (this.running >= (this.limits.imports ?? Number.POSITIVE_INFINITY))
      await new Promise<void>((resolve, reject) => {
        const stop = () => {
          this.queue.splice(this.queue.indexOf(next), 1)
          reject(signal?.reason as Error)
        }
        const next = () => {
          signal?.removeEventListener('abort', stop)
          resolve()
        }
        this.queue.push(next)
        signal?.addEventListener('abort', stop, { once: true })
      })
    this.running += 1
  }
}
