/** An arbiter that orders a fence every other second, and sees that it is carried out: the host is off, and was told so
 *  in time. */
import type { Client } from './client.ts'
import { pause } from './pause.ts'

export interface FenceResult {
  readonly ordered: number
  readonly failed: number
  readonly longestMs: number
}

const EVERY_MS = 2000

export class Fences {
  private readonly arbiter: Client
  private readonly uuid: string
  private times: number[] = []
  private failed = 0
  /** While the conductor is down on purpose, nothing is ordered. */
  paused = false

  constructor(arbiter: Client, uuid: string) {
    this.arbiter = arbiter
    this.uuid = uuid
  }

  take(): FenceResult {
    const result = {
      ordered: this.times.length,
      failed: this.failed,
      longestMs: Math.round(Math.max(0, ...this.times)),
    }
    this.times = []
    this.failed = 0
    return result
  }

  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      if (!this.paused) await this.once()
      await pause(EVERY_MS)
    }
  }

  private async once(): Promise<void> {
    const startMs = performance.now()
    const path = `/rackward/v1/nodes/${this.uuid}/fence`
    const off = await this.arbiter.call('POST', path, { act: 'off', timeout_ms: 5000 })
    const read = await this.arbiter.call('POST', path, { act: 'identify', timeout_ms: 5000 })
    if (this.paused) return
    this.times.push(performance.now() - startMs)
    if (off.status !== 200 || read.body?.power !== 'off') this.failed += 1
    await this.arbiter.call('PUT', `/v1/nodes/${this.uuid}/states/power`, { target: 'power on' })
  }
}
