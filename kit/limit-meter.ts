/** What a limit refused is counted, and logged once per burst: the first refusal at once, then at most one line a
 *  minute with the count since. */
import type { Clock } from './clock.ts'
import type { Log } from './log.ts'

/** `limit` is the key below `limits` in the configuration, such as `api.connections`. */
export type OnLimit = (limit: string, detail?: Readonly<Record<string, unknown>>) => void

const QUIET_MS = 60_000

/** `count` hears of every refusal. */
export function limitMeter(parts: { clock: Clock; log: Pick<Log, 'warn'>; count?: (limit: string) => void }): OnLimit {
  const { clock, log, count } = parts
  const bursts = new Map<string, { saidMs: number; since: number }>()
  return (limit, detail = {}) => {
    count?.(limit)
    const nowMs = clock.now()
    const burst = bursts.get(limit) ?? { saidMs: Number.NEGATIVE_INFINITY, since: 0 }
    bursts.set(limit, burst)
    burst.since += 1
    if (nowMs >= burst.saidMs && nowMs - burst.saidMs < QUIET_MS) return
    log.warn(
      { ...detail, limit: `limits.${limit}`, refused: burst.since },
      'a limit is reached: what exceeds it is refused',
    )
    burst.saidMs = nowMs
    burst.since = 0
  }
}
