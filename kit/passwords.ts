/** bcrypt in threads of its own: a password takes a tenth of a second of a core, which the event loop has not. A few at
 *  a time; the others wait in a bounded queue that is fair to their sources. */
import { Worker } from 'node:worker_threads'
import { FairQueue } from './fair-queue.ts'
import { Fault } from './fault.ts'

interface Check {
  readonly password: string
  readonly hash: string
  readonly end: { resolve(match: boolean): void; reject(error: Error): void }
}

export class PasswordChecks {
  private readonly queue: FairQueue<Check>
  private readonly threads: number
  private readonly idle: Worker[] = []
  private readonly busy = new Map<Worker, Check>()
  private readonly onFull: () => void
  private closed = false

  /** `onFull` hears of every check that the full queue refuses; `faultsOf` says how often a source was wrong lately. */
  constructor(opts: { threads: number; queue: number; onFull: () => void; faultsOf?: (source: string) => number }) {
    this.threads = opts.threads
    this.queue = new FairQueue(opts.queue, opts.faultsOf)
    this.onFull = opts.onFull
  }

  /** Throws `access.busy` when too many wait. */
  check(password: string, hash: string, source: string): Promise<boolean> {
    return new Promise((resolve, reject) => {
      if (this.closed) return reject(new Fault('access.busy', 'passwords are no longer checked: the process is ending'))
      const refused = this.queue.push(source, { password, hash, end: { resolve, reject } })
      if (refused) {
        this.onFull()
        refused.end.reject(new Fault('access.busy', 'too many passwords wait to be checked'))
      }
      this.next()
    })
  }

  /** Ends the threads; what waits is refused. */
  async close(): Promise<void> {
    this.closed = true
    for (let check = this.queue.shift(); check; check = this.queue.shift())
      check.end.reject(new Fault('access.busy', 'the process ends'))
    await Promise.all([...this.idle, ...this.busy.keys()].map((thread) => thread.terminate()))
  }

  private next(): void {
    while (this.queue.size > 0 && (this.idle.length > 0 || this.busy.size < this.threads)) {
      const thread = this.idle.pop() ?? this.start()
      const check = this.queue.shift() as Check
      this.busy.set(thread, check)
      thread.postMessage({ password: check.password, hash: check.hash })
    }
  }

  private start(): Worker {
    const thread = new Worker(new URL('./password-thread.js', import.meta.url), { name: 'passwords' })
    // A process that has nothing else to do may end.
    thread.unref()
    thread.on('message', (match: boolean) => {
      const check = this.busy.get(thread)
      this.busy.delete(thread)
      this.idle.push(thread)
      check?.end.resolve(match)
      this.next()
    })
    const broken = (error: Error) => {
      this.busy.get(thread)?.end.reject(error)
      this.busy.delete(thread)
      const at = this.idle.indexOf(thread)
      if (at >= 0) this.idle.splice(at, 1)
      if (!this.closed) this.next()
    }
    thread.on('error', broken)
    thread.on('exit', () => broken(new Error('the thread that checks passwords ended')))
    return thread
  }
}
