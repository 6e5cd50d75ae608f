/** A host's sign of life on the shared storage: a slot of its own with a counter that rises every second; and, written by the leader, the order to die.
 *  Reads that fail say nothing about the host. One operation at a time: a storage that hangs must not eat the threads of the pool. */
import { mkdir, open, readFile, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import type { TickView } from '../verdict/evidence.ts'

const EVERY_MS = 1_000
/** Longer than this without a write that ended: the storage is lost to this host. */
export const STORAGE_LOST_MS = 3_000

export class TickWriter {
  private readonly path: string
  private readonly poisonPath: string
  private readonly bootId: string
  private readonly clock: Clock
  private readonly onRead: (poisoned: boolean) => void
  private writtenMs: number
  private count = 0
  private stopped = false
  private busy = false

  constructor(options: { directory: string; host: string; bootId: string; clock: Clock; onRead: (poisoned: boolean) => void }) {
    this.path = join(options.directory, 'ticks', options.host)
    this.poisonPath = join(options.directory, 'ticks', `${options.host}.poison`)
    this.bootId = options.bootId
    this.clock = options.clock
    this.onRead = options.onRead
    this.writtenMs = options.clock.now()
  }

  start(): void {
    if (this.stopped) return
    if (!this.busy) void this.once()
    this.clock.after(EVERY_MS, () => this.start())
  }

  stop(): void {
    this.stopped = true
  }

  get lost(): boolean {
    return this.clock.now() - this.writtenMs > STORAGE_LOST_MS
  }

  private async once(): Promise<void> {
    this.busy = true
    try {
      await mkdir(join(this.path, '..'), { recursive: true })
      // Opened each time: NFS promises fresh data from open to close (RFC 7530 section 10.3).
      const file = await open(this.path, 'w')
      try {
        await file.writeFile(String((this.count += 1)))
        await file.sync()
      } finally {
        await file.close()
      }
      this.writtenMs = this.clock.now()
      const poisoned = await readFile(this.poisonPath, 'utf8').then(
        // For a boot that is over it is none.
        (text) => text.trim() === this.bootId,
        (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' ? false : undefined),
      )
      if (poisoned !== undefined) this.onRead(poisoned)
    } catch {
      // `lost` says so.
    } finally {
      this.busy = false
    }
  }
}

export class TickReader {
  private readonly directory: string
  private readonly clock: Clock
  private readonly seen = new Map<string, { text: string; atMs: number }>()
  private readingSinceMs: number | undefined
  private busy = false

  constructor(options: { directory: string; clock: Clock }) {
    this.directory = join(options.directory, 'ticks')
    this.clock = options.clock
  }

  /** One pass over the slots; `views` then says what was seen. */
  async read(hosts: readonly string[]): Promise<void> {
    if (this.busy) return
    this.busy = true
    try {
      for (const host of hosts) {
        const text = await readFile(join(this.directory, host), 'utf8').catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return ''
          throw error
        })
        if (this.seen.get(host)?.text !== text) this.seen.set(host, { text, atMs: this.clock.now() })
      }
      this.readingSinceMs ??= this.clock.now()
    } catch {
      this.readingSinceMs = undefined
    } finally {
      this.busy = false
    }
  }

  views(): Record<string, TickView> {
    const nowMs = this.clock.now()
    if (this.readingSinceMs === undefined) return {}
    const since = this.readingSinceMs
    return Object.fromEntries([...this.seen].map(([host, { atMs }]) => [host, { advanceAgeMs: nowMs - atMs, readingMs: nowMs - since }]))
  }

  async poison(host: string, bootId: string | null): Promise<void> {
    const path = join(this.directory, `${host}.poison`)
    if (bootId === null) return rm(path, { force: true })
    const file = await open(`${path}.new`, 'w')
    try {
      await file.writeFile(`${bootId}\n`)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(`${path}.new`, path)
  }
}
