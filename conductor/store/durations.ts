/** How long nodes of a model were in a state: the newest of each, so that what is kept grows with what there is and not
 *  with what happens. */
import type { Sql } from './statements.ts'

export interface DurationLimits {
  /** Of one model and state. */
  readonly durations: number
  readonly durationsInAll: number
}

/** To forget costs several times what it costs to note: what is beyond the limit goes with each sixteenth of a model
 *  and state. */
const FORGET_EVERY = 16
/** Models and states that are counted for that. */
const MAX_COUNTED = 1_000

interface DurationEvent {
  readonly kind: string
  readonly detail: Readonly<Record<string, unknown>>
}

/** What an event tells of, if it tells of a state that ended. */
export function durationOf({
  kind,
  detail,
}: DurationEvent): { model: string; state: string; tookMs: number } | undefined {
  const { model, from, tookMs } = detail
  if (kind !== 'state' || typeof model !== 'string' || typeof from !== 'string' || typeof tookMs !== 'number') return
  return { model, state: from, tookMs }
}

export class Durations {
  private readonly sql: Sql
  private readonly limits: DurationLimits
  /** How many were added since some were forgotten. */
  private readonly added = new Map<string, number>()

  constructor(sql: Sql, limits: DurationLimits) {
    this.sql = sql
    this.limits = limits
  }

  /** Inside a transaction: what an event tells of, if it tells of a state that ended. */
  note(event: DurationEvent): void {
    const took = durationOf(event)
    if (!took) return
    const { model, state, tookMs } = took
    this.sql('INSERT INTO durations (model, state, took_ms) VALUES (?, ?, ?)').run(model, state, tookMs)
    const key = `${state}\n${model}`
    const added = (this.added.get(key) ?? 0) + 1
    if (this.added.size > MAX_COUNTED) this.added.clear()
    this.added.set(key, added % FORGET_EVERY)
    if (added === FORGET_EVERY) this.forget(model, state)
  }

  private forget(model: string, state: string): void {
    const beyond = this.sql<{ id: number }>(
      'SELECT id FROM durations WHERE model = ? AND state = ? ORDER BY id DESC LIMIT 1 OFFSET ?',
    ).get(model, state, this.limits.durations)
    if (beyond) this.sql('DELETE FROM durations WHERE model = ? AND state = ? AND id <= ?').run(model, state, beyond.id)
  }

  /** The newest first. */
  of(model: string, state: string): number[] {
    return this.sql<{ took_ms: number }>(
      'SELECT took_ms FROM durations WHERE model = ? AND state = ? ORDER BY id DESC LIMIT ?',
    )
      .all(model, state, this.limits.durations)
      .map((row) => row.took_ms)
  }

  /** Inside a transaction: the oldest of all, because models are named by whoever enrolls. At most `limit`; answers how
   *  many. */
  prune(limit: number): number {
    const { durationsInAll } = this.limits
    const { count } = this.sql<{ count: number }>('SELECT count(*) AS count FROM durations').get() as { count: number }
    const tooMany = Math.min(limit, count - durationsInAll)
    if (tooMany <= 0) return 0
    return this.sql('DELETE FROM durations WHERE id IN (SELECT id FROM durations ORDER BY id LIMIT ?)').run(tooMany)
      .changes
  }
}
