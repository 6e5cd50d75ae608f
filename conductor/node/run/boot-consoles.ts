/** Reads the serial consoles of servers while they boot into the ramdisk, for what firmware, kernel and agent say
 *  there. A session at the BMC is held for that alone: it gives way to every user of this conductor, and one that
 *  cannot be had is done without. */
import type { Clock } from '../../../kit/clock.ts'
import { isFault } from '../../../kit/fault.ts'
import type { Piped } from '../../../kit/run.ts'
import type { BmcQueue } from '../../bmc/queue.ts'
import type { BmcRegistry } from '../../bmc/registry.ts'
import { consoleSign, ConsoleLines } from '../policy/console-words.ts'
import type { Sightings } from '../query/sightings.ts'
import type { NodeRecord } from '../record.ts'

export interface BootConsoleParts {
  readonly bmcs: Pick<BmcRegistry, 'target'>
  readonly bmcQueue: Pick<BmcQueue, 'run'>
  readonly sightings: Sightings
  readonly clock: Clock
  /** Consoles that are read at once. */
  readonly limit: number
  /** For as long as a boot may take. */
  readonly longestMs: number
}

const OPEN_TIMEOUT_MS = 20_000
/** A session that does not end by itself meanwhile is ended by the next command, which has as long again. */
const END_TIMEOUT_MS = 5_000
const LOOK_MS = 2_000
/** Between two sessions: a BMC that gives none while its server is off gives one soon after, and firmware that finds
 *  nothing to boot has said all within seconds. */
const AGAIN_MS = [250, 500, 1_000, 2_000, 3_000, 3_000, 3_000] as const
/** Who is about to start the server waits no longer for the session. */
const READY_MS = 3_000
/** A session in which nothing was said for so long may show nothing of what is said: another one is opened, which has
 *  twice as long. Most servers that say nothing have no serial console at all, and sessions burden their BMC. */
const SILENT_MS = 30_000
/** What ipmitool says itself. */
const BANNER = /^\[SOL Session operational/
/** Of one boot: some hundred KiB are usual. */
const MAX_READ_BYTES = 4 * 1024 * 1024

interface Reading {
  /** Which boot it reads. */
  readonly bootedAtMs: number
  readonly abort: AbortController
  /** Its session has ended. Never rejects. */
  readonly ended: Promise<void>
}

interface BootRead {
  readonly node: NodeRecord
  readonly signal: AbortSignal
  readonly isOver: () => boolean
  /** The BMC gives the console, or does not give it now. */
  readonly ready: () => void
  readBytes: number
}

export class BootConsoles {
  private readonly parts: BootConsoleParts
  /** Until their sessions have ended. */
  private readonly readings = new Map<string, Reading>()
  private isStopped = false

  constructor(parts: BootConsoleParts) {
    this.parts = parts
  }

  /** The server is about to be started, or was. Resolves when its console is open, or is not to be had now; never
   *  rejects. A boot that is read already is read on. */
  async begin(node: NodeRecord): Promise<void> {
    const { sightings, clock, limit } = this.parts
    const before = this.readings.get(node.uuid)
    const { bootedAtMs } = sightings.look(node.uuid)
    if (this.isStopped || before?.bootedAtMs === bootedAtMs || (!before && this.readings.size >= limit)) return
    before?.abort.abort(new Error('the server was started again'))
    const abort = new AbortController()
    let ready = (): void => undefined
    const isReady = new Promise<void>((resolve) => (ready = resolve))
    const ended = this.read({ node, signal: abort.signal, ready }, before?.ended)
    const reading: Reading = { bootedAtMs, abort, ended }
    this.readings.set(node.uuid, reading)
    void ended.then(() => {
      ready()
      if (this.readings.get(node.uuid) === reading) this.readings.delete(node.uuid)
    })
    const cancel = clock.after(READY_MS, ready)
    await isReady
    cancel()
  }

  /** A user wants the console. Resolves when the BMC has it to give, or cannot be asked. */
  async giveWay(uuid: string): Promise<void> {
    const reading = this.readings.get(uuid)
    reading?.abort.abort(new Error('the console is wanted'))
    await reading?.ended
  }

  async stop(): Promise<void> {
    this.isStopped = true
    await Promise.all([...this.readings.keys()].map((uuid) => this.giveWay(uuid)))
  }

  private async read(
    { node, signal, ready }: Pick<BootRead, 'node' | 'signal' | 'ready'>,
    before: Promise<void> | undefined,
  ): Promise<void> {
    const { sightings, clock, longestMs } = this.parts
    const { bootedAtMs } = sightings.look(node.uuid)
    const endMs = clock.now() + longestMs
    const boot: BootRead = {
      node,
      signal,
      ready,
      isOver: () => {
        const live = sightings.look(node.uuid)
        const isRead = boot.readBytes >= MAX_READ_BYTES || live.seen.has('hello')
        return isRead || live.bootedAtMs !== bootedAtMs || clock.now() > endMs
      },
      readBytes: 0,
    }
    await before
    // A BMC that is busy with the start of its server refuses the session, or ends it at once.
    let silentMs = SILENT_MS
    for (let tries = 0; tries <= AGAIN_MS.length && !signal.aborted && !boot.isOver(); tries += 1) {
      const end = await this.follow(boot, silentMs).catch((error: unknown) =>
        isFault(error, 'node.unsupported') ? 'unsupported' : 'ended',
      )
      ready()
      if (end === 'unsupported') return
      // It may be a server that says nothing for minutes.
      if (end === 'silent') {
        tries -= 1
        silentMs *= 2
      }
      // After a silence at once: what is said between two sessions is lost.
      const pauseMs = end === 'silent' ? AGAIN_MS[0] : AGAIN_MS[tries]
      if (pauseMs !== undefined) await clock.sleep(pauseMs, signal).catch(() => undefined)
    }
  }

  /** One session, until it has ended. */
  private async follow(boot: BootRead, silentMs: number): Promise<'ended' | 'silent'> {
    const { node, signal, isOver } = boot
    const line = await this.open(boot)
    let ended = false
    void line.done.catch(() => undefined).finally(() => (ended = true))
    const lines = new ConsoleLines()
    const { clock } = this.parts
    let isHeard = false
    const hear = (said: readonly string[]) => {
      isHeard ||= said.some((part) => !BANNER.test(part))
      this.take(boot, said)
    }
    const silentAtMs = clock.now() + silentMs
    line.stdout.on('data', (bytes: Buffer) => {
      boot.ready()
      boot.readBytes += bytes.length
      hear(lines.take(bytes.toString('latin1')))
    })
    try {
      while (!ended && !isOver()) {
        await clock.sleep(LOOK_MS, signal)
        hear(lines.pending())
        if (!isHeard && clock.now() >= silentAtMs) return 'silent'
      }
      return 'ended'
    } finally {
      if (!ended) await this.close(node, line)
    }
  }

  private async open({ node, signal }: BootRead): Promise<Piped> {
    const { bmcs, bmcQueue } = this.parts
    const options = { priority: 'poll', timeoutMs: OPEN_TIMEOUT_MS, signal } as const
    let opening: Promise<Piped> | undefined
    try {
      return await bmcQueue.run(bmcs.target(node), options, (bmc, unwanted) => (opening = bmc.console(false, unwanted)))
    } catch (error) {
      // It may come when nobody waits for it any more.
      const late = await opening?.catch(() => undefined)
      if (late) await this.close(node, late)
      throw error
    }
  }

  /** Bounded, and never throws. A process that is killed leaves its session at the BMC. */
  private async close(node: NodeRecord, line: Piped): Promise<void> {
    const { bmcs, bmcQueue, clock } = this.parts
    line.stdout.resume()
    line.end()
    let cancel = (): void => undefined
    const isLate = await Promise.race([
      line.done.catch(() => undefined).then(() => false),
      new Promise<boolean>((resolve) => (cancel = clock.after(END_TIMEOUT_MS, () => resolve(true)))),
    ])
    cancel()
    if (!isLate) return
    line.stop()
    const options = { priority: 'deploy', timeoutMs: END_TIMEOUT_MS } as const
    await Promise.resolve()
      .then(() => bmcQueue.run(bmcs.target(node), options, async (bmc, unwanted) => bmc.endConsole?.(unwanted)))
      .catch(() => undefined)
  }

  /** What comes while the session is being ended belongs to no boot any more. */
  private take({ node, signal, isOver }: BootRead, lines: readonly string[]): void {
    const { sightings, clock } = this.parts
    if (signal.aborted || isOver()) return
    for (const line of lines) {
      const found = consoleSign(line)
      if (found) sightings.sign(node.uuid, found.sign, { atMs: clock.now(), detail: found.detail })
    }
  }
}
