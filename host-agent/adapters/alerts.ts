/** Alerts to people: to the log and to the webhooks. A webhook that does not take one is tried again for two
 *  minutes. */
import { systemClock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { deliver, readHookSecret } from '../../kit/webhook.ts'
import type { AgentConfig } from '../config.ts'
import type { Alert } from '../cluster/decision.ts'

export type SentAlert = Alert & { readonly at: string }

interface Hook {
  readonly name: string
  readonly url: string
  readonly secret: string
}

/** Alerts that the API still shows. */
const KEPT = 200
const FIRST_RETRY_MS = 1_000
const LAST_RETRY_MS = 120_000

export class Alerts {
  private readonly source: string
  private readonly hooks: readonly Hook[]
  private readonly log: Log
  private readonly abort = new AbortController()
  private readonly kept: SentAlert[] = []

  private constructor(source: string, hooks: readonly Hook[], log: Log) {
    this.source = source
    this.hooks = hooks
    this.log = log
  }

  /** Throws `config.invalid` for a secret that cannot be used. */
  static async open({ name, webhooks }: Pick<AgentConfig, 'name' | 'webhooks'>, log: Log): Promise<Alerts> {
    const hooks = webhooks.map(async ({ name: hook, url, secretFile }, i) => ({
      name: hook,
      url,
      secret: await readHookSecret(secretFile, `webhooks.${i}.secretFile`),
    }))
    return new Alerts(name, await Promise.all(hooks), log)
  }

  readonly send = (alert: Alert): void => {
    const sent = { ...alert, at: new Date(systemClock.now()).toISOString() }
    this.kept.push(sent)
    if (this.kept.length > KEPT) this.kept.shift()

    const { key, host, says, at } = sent
    this.log.warn({ alert: key, host }, says)
    const body = JSON.stringify({ source: this.source, at, host, key, says })
    for (const hook of this.hooks) void this.deliver(hook, body)
  }

  readonly recent = (): readonly SentAlert[] => this.kept

  stop(): void {
    this.abort.abort(new Error('the arbiter stops'))
  }

  private async deliver(hook: Hook, body: string): Promise<void> {
    const { signal } = this.abort
    let why: unknown
    for (let waitMs = FIRST_RETRY_MS; waitMs < LAST_RETRY_MS && !signal.aborted; waitMs *= 2) {
      try {
        return await deliver(hook, { body, atMs: systemClock.now(), signal })
      } catch (error) {
        why = error
      }
      await systemClock.sleep(waitMs, signal).catch(() => undefined)
    }
    this.log.warn({ webhook: hook.name, err: why }, 'an alert was not delivered')
  }
}
