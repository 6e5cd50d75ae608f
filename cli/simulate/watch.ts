/** Looks at the conductor from time to time while it works: its memory, and how long its event loop stood still. */
import { systemClock } from '../../kit/clock.ts'
import type { Api } from '../server.ts'
import type { Ground } from './ground.ts'
import type { Memory } from './summary.ts'

const EVERY_MS = 5_000

export class Watch {
  private readonly api: Api
  private readonly ground: Pick<Ground, 'rssBytes'> | undefined
  private conductorBytes: number | null = null
  private simulatorBytes = 0
  private longestPauseMs: number | null = null
  private over: AbortController | undefined
  private looking: Promise<void> | undefined

  constructor(api: Api, ground: Pick<Ground, 'rssBytes'> | undefined) {
    this.api = api
    this.ground = ground
  }

  start(): void {
    const over = new AbortController()
    this.over = over
    this.looking = (async () => {
      while (!over.signal.aborted) {
        await this.look()
        await systemClock.sleep(EVERY_MS, over.signal).catch(() => undefined)
      }
    })()
  }

  /** Safe to call twice. */
  async stop(): Promise<Memory> {
    this.over?.abort()
    await this.looking
    const { conductorBytes, simulatorBytes, longestPauseMs } = this
    return { conductorBytes, simulatorBytes, longestPauseMs }
  }

  private async look(): Promise<void> {
    this.simulatorBytes = Math.max(this.simulatorBytes, process.memoryUsage().rss)
    const text = String(await this.api.ask('GET', '/metrics').catch(() => ''))
    const value = (name: string) => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? NaN)
    const bytes = (await this.ground?.rssBytes()) ?? value('rackward_process_resident_memory_bytes')
    if (bytes > 0) this.conductorBytes = Math.max(this.conductorBytes ?? 0, bytes)
    const pauseMs = value('rackward_nodejs_eventloop_lag_max_seconds') * 1000
    if (pauseMs >= 0) this.longestPauseMs = Math.max(this.longestPauseMs ?? 0, pauseMs)
  }
}
