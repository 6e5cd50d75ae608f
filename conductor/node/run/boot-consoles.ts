/** Reads the serial consoles of servers while they boot into the ramdisk, for what firmware, kernel and agent say
 *  there. A session of the BMC is held for that alone: it gives way to every user, and one that cannot be had is done
 *  without. */
import { StringDecoder } from 'node:string_decoder'
import type { Clock } from '../../../kit/clock.ts'
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
const LOOK_MS = 2_000
const AGAIN_MS = 3_000
const TRIES = 5

interface Reading {
  readonly abort: AbortController
  line: Piped | undefined
}

export class BootConsoles {
  private readonly parts: BootConsoleParts
  private readonly readings = new Map<string, Reading>()

  constructor(parts: BootConsoleParts) {
    this.parts = parts
  }

  /** The server was started. Nobody waits for it. */
  begin(node: NodeRecord): void {
    this.giveWay(node.uuid)
    if (this.readings.size >= this.parts.limit) return
    const reading: Reading = { abort: new AbortController(), line: undefined }
    this.readings.set(node.uuid, reading)
    void this.read(node, reading)
      // Many BMCs have no console, or one that somebody uses.
      .catch(() => undefined)
      .finally(() => {
        reading.line?.stop()
        if (this.readings.get(node.uuid) === reading) this.readings.delete(node.uuid)
      })
  }

  /** A user wants the console, or the boot is over. */
  giveWay(uuid: string): void {
    const reading = this.readings.get(uuid)
    this.readings.delete(uuid)
    reading?.line?.end()
    reading?.abort.abort(new Error('the console is wanted'))
  }

  stop(): void {
    for (const uuid of this.readings.keys()) this.giveWay(uuid)
  }

  private async read(node: NodeRecord, reading: Reading): Promise<void> {
    const { sightings, clock, longestMs } = this.parts
    const { signal } = reading.abort
    const { bootedAtMs } = sightings.look(node.uuid)
    const endMs = clock.now() + longestMs
    const isOver = () => {
      const live = sightings.look(node.uuid)
      return live.bootedAtMs !== bootedAtMs || live.seen.has('hello') || clock.now() > endMs
    }
    // A BMC that is busy with the start of its server refuses the session, or ends it at once.
    for (let tries = 0; tries < TRIES && !isOver(); tries += 1) {
      if (tries > 0) await clock.sleep(AGAIN_MS, signal)
      await this.follow(node, reading, isOver).catch((error: unknown) => {
        if (signal.aborted) throw error
      })
    }
  }

  /** One session, until it ends. */
  private async follow(node: NodeRecord, reading: Reading, isOver: () => boolean): Promise<void> {
    const { bmcs, bmcQueue, clock } = this.parts
    const { signal } = reading.abort
    const options = { priority: 'poll', timeoutMs: OPEN_TIMEOUT_MS, signal } as const
    const line = await bmcQueue.run(bmcs.target(node), options, (bmc, unwanted) => bmc.console(false, unwanted))
    reading.line = line
    if (signal.aborted) return line.stop()
    const [lines, decoder] = [new ConsoleLines(), new StringDecoder('latin1')]
    line.stdout.on('data', (bytes: Buffer) => this.take(node.uuid, lines.take(decoder.write(bytes))))
    let ended = false
    void line.done.catch(() => undefined).finally(() => (ended = true))
    while (!ended && !isOver()) {
      await clock.sleep(LOOK_MS, signal)
      this.take(node.uuid, lines.pending())
    }
    line.stop()
  }

  private take(uuid: string, lines: readonly string[]): void {
    const { sightings, clock } = this.parts
    for (const line of lines) {
      const found = consoleSign(line)
      if (found) sightings.sign(uuid, found.sign, { atMs: clock.now(), detail: found.detail })
    }
  }
}
