/** The HTTP port of the boot services. A process of its own sends the files, so that DHCP does not wait for them: it is
 *  handed the listening socket, watched, and started again with more and more time in between when it ends. Until it
 *  serves, and whenever it does not, the boot services answer by themselves. */
import type { Server } from 'node:http'
import { until, type Clock } from '../../../kit/clock.ts'
import type { Companion } from '../../../kit/companion.ts'
import { closed, listen } from '../../../kit/listen.ts'
import type { Log } from '../../../kit/log.ts'
import { bootHttp, type BootFiles, type BootHttpLimits } from '../http.ts'
import type { ServedFiles } from '../render.ts'
import { ServingSession } from './session.ts'
import type { FromFiles, ToFiles } from './wire.ts'

export type LaunchFiles = (onMessage: (message: unknown) => void) => Companion

export interface DoorParts {
  readonly at: { readonly port: number; readonly host: string }
  readonly files: BootFiles
  readonly limits: BootHttpLimits
  readonly served: ServedFiles
  /** Undefined: the boot services send files by themselves. */
  readonly launch: LaunchFiles | undefined
  readonly onDropped: () => void
  readonly clock: Clock
  readonly log: Pick<Log, 'info' | 'warn'>
}

/** An overloaded machine takes its time to start a program. */
const START_MS = 60_000
const CHECK_MS = 10_000
/** A process that does not answer for so long is ended. */
const SILENT_MS = 60_000
const AGAIN_MS = 1_000
const AGAIN_MAX_MS = 60_000
/** A process that served for so long was no failure from the start. */
const STEADY_MS = 60_000
const LISTEN_AGAIN_MS = 200
/** Servers of ours that still send, after so many processes that ended. */
const MAX_LEAVING = 4

export class HttpDoor {
  private readonly parts: DoorParts
  private readonly abort = new AbortController()
  private own: Server | undefined
  /** They do not listen any more. */
  private readonly leaving = new Set<Server>()
  private child: Companion | undefined
  private running: Promise<void> = Promise.resolve()

  constructor(parts: DoorParts) {
    this.parts = parts
  }

  /** The process that serves now, if it is one of its own. */
  get pid(): number | undefined {
    return this.own ? undefined : this.child?.pid
  }

  async start(): Promise<void> {
    await this.serve()
    if (this.parts.launch) this.running = this.keep(this.parts.launch)
  }

  async stop(): Promise<void> {
    this.abort.abort()
    this.child?.end()
    await this.running
    for (const server of this.leaving) server.closeAllConnections()
    if (this.own) await closed(this.own)
  }

  private async serve(): Promise<void> {
    const { files, limits, at } = this.parts
    this.own = await listen(bootHttp(files, limits), at)
  }

  private async keep(launch: LaunchFiles): Promise<void> {
    const { clock, log } = this.parts
    const { signal } = this.abort
    let againMs = AGAIN_MS
    while (!signal.aborted) {
      const sinceMs = clock.now()
      const why = await this.one(launch).catch((error: Error) => error.message)
      if (signal.aborted) return
      if (!this.own) await this.takeBack()
      if (clock.now() - sinceMs >= STEADY_MS) againMs = AGAIN_MS
      const text = 'the process that sends boot files ended; the boot services send them until it is started again'
      log.warn({ why, againSeconds: againMs / 1000 }, text)
      await clock.sleep(againMs, signal).catch(() => undefined)
      againMs = Math.min(againMs * 2, AGAIN_MAX_MS)
    }
  }

  /** The sockets of the one that ended are closed with it. */
  private async takeBack(): Promise<void> {
    const { clock, log } = this.parts
    const { signal } = this.abort
    for (let failed = 0; !signal.aborted && !this.own; failed += 1) {
      await this.serve().catch((error: Error) => {
        if (failed === 0) log.warn({ why: error.message }, 'the boot services cannot listen for HTTP; they try again')
      })
      if (!this.own) await clock.sleep(LISTEN_AGAIN_MS, signal).catch(() => undefined)
    }
  }

  /** One process from its start to its end, in words. */
  private async one(launch: LaunchFiles): Promise<string> {
    const { files, limits, onDropped, clock, log } = this.parts
    const heard = new Set<FromFiles['t']>()
    let heardAtMs = clock.now()
    const send = (message: ToFiles, socket?: Server) => child.send(message, socket)
    const session = new ServingSession({
      files,
      onRefused: limits.onRefused,
      answer: (id, answer) => void send({ t: 'answer', id, answer }).catch(() => undefined),
      onDropped,
    })
    const child = launch((message) => {
      const told = message as FromFiles
      heard.add(told.t)
      heardAtMs = clock.now()
      if (told.t === 'reports') for (const report of told.reports) session.take(report)
    })
    this.child = child
    try {
      await this.says(child, () => heard.has('ready'))
      const { all, perAddress, idleMs, sendBytes } = limits
      const setup = { files: this.parts.served, all, perAddress, idleMs, sendBytes }
      await send({ t: 'serve', setup }, this.own)
      await this.says(child, () => heard.has('serving'))
      this.letGo()
      log.info({ pid: child.pid }, 'boot files are sent by a process of their own')
      const watch = this.watch(child, () => heardAtMs)
      return await child.over.finally(() => watch.abort())
    } finally {
      child.end()
      await child.over
      session.end()
    }
  }

  /** Answers of ours that are under way are sent to their end, unless this happens again and again. */
  private letGo(): void {
    const { own, leaving } = this
    if (!own) return
    this.own = undefined
    leaving.add(own)
    own.close(() => leaving.delete(own))
    const [oldest] = leaving
    if (leaving.size > MAX_LEAVING) oldest?.closeAllConnections()
  }

  /** Throws with why the process ended, when it does before. */
  private async says(child: Companion, has: () => boolean): Promise<void> {
    const { clock } = this.parts
    let ended: string | undefined
    void child.over.then((why) => (ended = why))
    const look = () => has() || ended !== undefined || undefined
    await until(look, { what: 'the process that sends boot files', timeoutMs: START_MS, everyMs: 20, clock })
    if (ended !== undefined) throw new Error(ended)
  }

  private watch(child: Companion, heardAtMs: () => number): AbortController {
    const { clock } = this.parts
    const over = new AbortController()
    const round = async () => {
      let checkedMs = clock.now()
      while (!over.signal.aborted) {
        await clock.sleep(CHECK_MS, over.signal).catch(() => undefined)
        // Who was stopped itself heard nothing meanwhile.
        const wasStopped = clock.now() - checkedMs > 2 * CHECK_MS
        checkedMs = clock.now()
        if (!wasStopped && clock.now() - heardAtMs() > SILENT_MS) child.end()
        // Not waited for: one that reads no more would keep us from ending it.
        else void child.send({ t: 'alive?' } satisfies ToFiles).catch(() => undefined)
      }
    }
    void round()
    return over
  }
}
