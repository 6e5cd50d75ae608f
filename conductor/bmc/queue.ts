/** One queue per BMC for every command: fence before operator before deploy before poll. Many BMCs lock up under two
 *  sessions at once. */
import { AsyncResource } from 'node:async_hooks'
import { isFault, Fault } from '../../kit/fault.ts'
import type { Clock } from '../../kit/clock.ts'
import type { Bmc, BmcTarget, Power, PowerCommand } from './controller.ts'

export type Priority = 'fence' | 'operator' | 'deploy' | 'poll'

const RANK: Record<Priority, number> = { fence: 0, operator: 1, deploy: 2, poll: 3 }
/** BMCs lock an account after a few wrong passwords; a poll that knows the password to be wrong must not be what does
 *  it. */
const PASSWORD_HOLD_MS = 5 * 60_000
const READ_BACK_MS = 500
const READ_BACK_MAX_MS = 4_000

export interface CommandOptions {
  readonly priority: Priority
  /** From the asking, time in the queue included. */
  readonly timeoutMs: number
  /** Nobody wants it any more: it is broken off, or never begun. */
  readonly signal?: AbortSignal
}

interface Job {
  readonly rank: number
  readonly run: () => Promise<void>
  /** Something more urgent waits. */
  readonly giveWay: AbortController
}

interface Queue {
  running: Job | undefined
  readonly jobs: Job[]
  /** Credentials that were refused, and when. */
  readonly refused: Map<string, number>
}

/** A command that ended: how long it took from the asking, and "ok" or the code of its fault. */
export type OnCommand = (command: {
  readonly priority: Priority
  readonly seconds: number
  readonly end: string
}) => void

export class BmcQueue {
  private readonly clock: Clock
  private readonly onCommand: OnCommand
  private readonly mayAct: () => void
  private readonly queues = new Map<string, Queue>()

  /** `mayAct` throws while nothing at all is to be sent. */
  constructor(clock: Clock, onCommand: OnCommand = () => undefined, mayAct: () => void = () => undefined) {
    this.clock = clock
    this.mayAct = mayAct
    this.onCommand = onCommand
  }

  /** Runs one command when its turn comes. Throws `bmc.timeout` when the deadline passes first; the command is then
   *  aborted and never begins late. */
  run<T>(
    target: BmcTarget,
    options: CommandOptions,
    work: (bmc: Bmc, signal: AbortSignal, giveWay: AbortSignal) => Promise<T>,
  ): Promise<T> {
    const queue = this.queueOf(target.key)
    const credentials = target.credentials ?? ''
    const held =
      options.priority === 'poll' &&
      this.clock.now() - (queue.refused.get(credentials) ?? Number.NEGATIVE_INFINITY) < PASSWORD_HOLD_MS
    const askedMs = this.clock.now()
    const told = (end: string) =>
      this.onCommand({ priority: options.priority, seconds: (this.clock.now() - askedMs) / 1000, end })
    if (held)
      return Promise.reject(
        new Fault('bmc.password', `BMC ${target.key} refused the password a moment ago; it is not polled meanwhile`),
      )
    return new Promise<T>((resolve, reject) => {
      const abort = new AbortController()
      let begun = false
      // What was never asked is no failure of the BMC.
      const late = () =>
        begun && options.priority !== 'poll'
          ? new Fault('bmc.timeout', `BMC ${target.key} was not done within ${options.timeoutMs / 1000} s`)
          : new Fault(
              'bmc.busy',
              `BMC ${target.key} was not asked within ${options.timeoutMs / 1000} s: other commands came first`,
            )
      const end = (why: Error) => {
        if (!abort.signal.aborted) told(isFault(why) ? why.code : 'unwanted')
        abort.abort(why)
        reject(why)
      }
      const unwanted = () => end(options.signal?.reason as Error)
      if (options.signal?.aborted) return unwanted()
      options.signal?.addEventListener('abort', unwanted, { once: true })
      const timer = this.clock.after(options.timeoutMs, () => end(late()))
      const cancel = () => {
        timer()
        options.signal?.removeEventListener('abort', unwanted)
      }
      const giveWay = new AbortController()
      // On behalf of who asked, whoever lets it begin.
      const run = AsyncResource.bind(async () => {
        if (abort.signal.aborted) return cancel()
        begun = true
        try {
          this.mayAct()
          resolve(await work(target.bmc, abort.signal, giveWay.signal))
          if (!abort.signal.aborted) told('ok')
          queue.refused.delete(credentials)
        } catch (error) {
          if (!abort.signal.aborted) told(isFault(error) ? error.code : 'unknown')
          if (isFault(error, 'bmc.password')) this.refuse(queue, credentials)
          reject(error as Error)
        } finally {
          cancel()
        }
      })
      const rank = RANK[options.priority]
      queue.jobs.push({ rank, run, giveWay })
      if (queue.running && rank < queue.running.rank)
        queue.running.giveWay.abort(new Fault('bmc.busy', `BMC ${target.key}: something more urgent came`))
      void this.drain(target.key, queue)
    })
  }

  /** Asks for a power state and reads back until the BMC shows it: requested and proven are two things, and this
   *  answers the second. */
  async prove(target: BmcTarget, requested: PowerCommand, options: CommandOptions): Promise<Power> {
    const to = requested === 'soft-off' ? 'off' : requested
    const endMs = this.clock.now() + options.timeoutMs
    const left = () => ({ ...options, timeoutMs: Math.max(1, endMs - this.clock.now()) })
    await this.run(target, left(), (bmc, signal) => bmc.setPower(requested, signal))
    for (let pauseMs = READ_BACK_MS; ; pauseMs = Math.min(pauseMs * 1.5, READ_BACK_MAX_MS)) {
      const seen = await this.run(target, left(), (bmc, signal) => bmc.power(signal))
      if (seen === to) return seen
      if (this.clock.now() + pauseMs >= endMs)
        throw new Fault(
          'bmc.unproven',
          `BMC ${target.key} was told "power ${requested}" and still reports "power ${seen}" after ${options.timeoutMs / 1000} s`,
        )
      await this.clock.sleep(pauseMs, options.signal)
    }
  }

  private queueOf(key: string): Queue {
    let queue = this.queues.get(key)
    if (!queue) {
      queue = { running: undefined, jobs: [], refused: new Map() }
      this.queues.set(key, queue)
    }
    return queue
  }

  /** Refusals that are no longer held against anybody are forgotten, so that this does not grow with every password
   *  that was ever tried. */
  private refuse(queue: Queue, credentials: string): void {
    const nowMs = this.clock.now()
    for (const [known, atMs] of queue.refused) if (nowMs - atMs >= PASSWORD_HOLD_MS) queue.refused.delete(known)
    queue.refused.set(credentials, nowMs)
  }

  private async drain(key: string, queue: Queue): Promise<void> {
    if (queue.running) return
    for (;;) {
      const next = queue.jobs.reduce<number>(
        (best, job, i) => (best < 0 || job.rank < (queue.jobs[best] as Job).rank ? i : best),
        -1,
      )
      if (next < 0) break
      queue.running = queue.jobs.splice(next, 1)[0] as Job
      await queue.running.run()
    }
    queue.running = undefined
    if (queue.refused.size === 0) this.queues.delete(key)
  }
}
