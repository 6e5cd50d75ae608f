/** Webhooks: every event, or those of some kinds, posted to a URL in order, in the format of its receiver, until it is
 *  taken. How far each has come is stored, so that a restart loses none; what was sent and not confirmed is sent again,
 *  so a receiver knows an event by its `seq`. */
import { turn, type Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { postOnce, shownHook, signature } from '../../kit/webhook.ts'
import type { EventFilter, EventRecord, Journal } from '../store/port.ts'
import { batchOf, postOf, urlOf, type Format } from './formats.ts'

export interface Webhook {
  readonly name: string
  readonly url: string
  readonly kinds?: readonly string[] | undefined
  readonly secret: string
  readonly format: Format
}

export interface WebhookState {
  readonly name: string
  readonly url: string
  readonly format: Format
  readonly kinds: readonly string[] | null
  readonly delivered_seq: number
  readonly waiting: number
  readonly failures: number
  readonly last_error: string | null
}

const BATCH = 100
const RETRY_MS = 1_000
const RETRY_MAX_MS = 5 * 60_000

export { signature }

export class Webhooks {
  private readonly senders: Sender[]

  constructor(hooks: readonly Webhook[], parts: { journal: Journal; clock: Clock; log: Log }) {
    this.senders = hooks.map((hook) => new Sender(hook, parts))
  }

  async start(): Promise<void> {
    for (const sender of this.senders) await sender.start()
  }

  async stop(): Promise<void> {
    await Promise.all(this.senders.map((sender) => sender.stop()))
  }

  states = (): Promise<WebhookState[]> => Promise.all(this.senders.map((sender) => sender.state()))
}

class Sender {
  private readonly hook: Webhook
  private readonly parts: { journal: Journal; clock: Clock; log: Log }
  private readonly abort = new AbortController()
  private seq = 0
  private failures = 0
  private lastError: string | null = null
  private running: Promise<void> | undefined

  constructor(hook: Webhook, parts: { journal: Journal; clock: Clock; log: Log }) {
    this.hook = hook
    this.parts = parts
  }

  /** A new webhook begins with what happens from now on. */
  async start(): Promise<void> {
    const { journal } = this.parts
    const known = await journal.cursor(this.cursor)
    this.seq = known ?? (await journal.lastSeq())
    if (known === undefined) await journal.setCursor(this.cursor, this.seq)
    this.running = this.run().catch((error: unknown) =>
      this.parts.log.error({ err: error, webhook: this.hook.name }, 'a webhook broke'),
    )
  }

  async stop(): Promise<void> {
    this.abort.abort(new Error('the conductor stops'))
    await this.running
  }

  async state(): Promise<WebhookState> {
    const { name, kinds } = this.hook
    // It may run at another conductor.
    const seq = this.running ? this.seq : ((await this.parts.journal.cursor(this.cursor)) ?? 0)
    const waiting = (await this.parts.journal.after(seq, this.filter, 1_000)).length
    return {
      name,
      url: shownHook(this.hook.url),
      format: this.hook.format,
      kinds: kinds ?? null,
      delivered_seq: seq,
      waiting,
      failures: this.failures,
      last_error: this.lastError,
    }
  }

  private get cursor() {
    return `webhook ${this.hook.name}`
  }

  private get filter(): EventFilter {
    return this.hook.kinds ? { kinds: this.hook.kinds } : {}
  }

  private async run(): Promise<void> {
    const { journal, clock } = this.parts
    let wake: () => void = () => undefined
    const stopWatching = journal.watch(
      (upToSeq) => upToSeq > this.seq && wake(),
      ({ seq }) => (this.seq = Math.min(this.seq, seq)),
    )
    this.abort.signal.addEventListener('abort', () => wake(), { once: true })
    try {
      while (!this.abort.signal.aborted) {
        const news = new Promise<void>((resolve) => {
          wake = resolve
        })
        const from = this.seq
        const { events, upToSeq, end } = await journal.scan(from, this.filter, batchOf(this.hook.format, BATCH))
        // The database was replaced by an older one meanwhile.
        if (this.seq !== from) continue
        if (events.length === 0) {
          // Events of other kinds are passed over once, and not with every commit.
          this.seq = upToSeq
          await (end ? news : turn())
          continue
        }
        if (await this.deliver(events)) {
          // The same, while it was delivered.
          if (this.seq !== from) continue
          this.seq = events.at(-1)?.seq ?? this.seq
          await journal.setCursor(this.cursor, this.seq)
        } else {
          await clock
            .sleep(Math.min(RETRY_MS * 2 ** Math.min(this.failures - 1, 16), RETRY_MAX_MS), this.abort.signal)
            .catch(() => undefined)
        }
      }
    } finally {
      stopWatching()
    }
  }

  private async deliver(events: readonly EventRecord[]): Promise<boolean> {
    try {
      const post = postOf(this.hook, events, this.parts.clock.now())
      await postOnce(urlOf(this.hook), { ...post, signal: this.abort.signal })
      this.failures = 0
      this.lastError = null
      return true
    } catch (error) {
      this.failures += 1
      this.lastError = (error as Error).message.slice(0, 500)
      this.parts.log.warn(
        { webhook: this.hook.name, failures: this.failures },
        `a webhook was not delivered: ${this.lastError}`,
      )
      return false
    }
  }
}
