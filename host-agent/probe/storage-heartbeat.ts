/** A host's sign of life on the shared storage: a counter of its own that rises every second; and its slot, where it
 *  looks for a poison pill. Reads that fail, or hang, say nothing about the host. One operation at a time: a storage
 *  that hangs must not eat the threads of the pool. */
import { constants } from 'node:fs'
import { mkdir, open, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import { parsePill } from '../protocol/poison-pill.ts'
import type { StorageHeartbeatView } from '../protocol/heartbeat.ts'
import { slotPath } from '../adapters/poison-pill.ts'

const EVERY_MS = 1_000
/** Longer than this without a write that ended: the storage is lost to this host. */
export const STORAGE_LOST_MS = 3_000

export class StorageHeartbeat {
  private readonly path: string
  private readonly poisonPath: string
  private readonly bootId: string
  private readonly clock: Clock
  private readonly onRead: (poisoned: boolean) => void
  private writtenMs: number
  private count = 0
  private stopped = false
  private busy = false

  constructor(options: {
    directory: string
    host: string
    bootId: string
    clock: Clock
    onRead: (poisoned: boolean) => void
  }) {
    this.path = join(options.directory, 'ticks', options.host)
    this.poisonPath = slotPath(options.directory, options.host)
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
      // For a boot that is over it is none.
      this.onRead(parsePill(await this.slot())?.boot === this.bootId)
    } catch {
      // `lost` says so.
    } finally {
      this.busy = false
    }
  }

  /** Made when it is missing, so that it is asked for at the server each time: an NFS client may believe for a minute
   *  that a name does not exist. */
  private async slot(): Promise<string> {
    const file = await open(this.poisonPath, constants.O_RDONLY | constants.O_CREAT, 0o644)
    try {
      return await file.readFile('utf8')
    } finally {
      await file.close()
    }
  }
}

/** A pass over the slots that takes this much longer than the one before is one that hangs. */
const PASS_LATE_MS = 2_000

export class StorageHeartbeatReader {
  private readonly directory: string
  private readonly clock: Clock
  private readonly seen = new Map<string, { text: string; atMs: number }>()
  private readonly readSlot: (path: string) => Promise<string>
  private readingSinceMs: number | undefined
  private passMs = 0
  private passTookMs = 0
  private busy = false

  constructor(options: { directory: string; clock: Clock; readSlot?: (path: string) => Promise<string> }) {
    this.directory = join(options.directory, 'ticks')
    this.clock = options.clock
    this.readSlot = options.readSlot ?? ((path) => readFile(path, 'utf8'))
  }

  /** One pass over the slots; `views` then says what was seen. */
  async read(hosts: readonly string[]): Promise<void> {
    if (this.busy) return
    this.busy = true
    const beganMs = this.clock.now()
    try {
      for (const host of hosts) {
        const text = await this.readSlot(join(this.directory, host)).catch((error: NodeJS.ErrnoException) => {
          if (error.code === 'ENOENT') return ''
          throw error
        })
        if (this.seen.get(host)?.text !== text) this.seen.set(host, { text, atMs: this.clock.now() })
      }
      const nowMs = this.clock.now()
      if (this.readingSinceMs === undefined || this.hangs(nowMs)) this.readingSinceMs = nowMs
      this.passMs = nowMs
      this.passTookMs = nowMs - beganMs
    } catch {
      this.readingSinceMs = undefined
    } finally {
      this.busy = false
    }
  }

  /** The storage answers too late: what stands still may be the reading. */
  private hangs(nowMs: number): boolean {
    return nowMs - this.passMs > this.passTookMs + PASS_LATE_MS
  }

  views(): Record<string, StorageHeartbeatView> {
    const nowMs = this.clock.now()
    if (this.readingSinceMs === undefined || this.hangs(nowMs)) return {}
    const since = this.readingSinceMs
    return Object.fromEntries(
      [...this.seen].map(([host, { atMs }]) => [host, { advanceAgeMs: nowMs - atMs, readingMs: nowMs - since }]),
    )
  }
}
