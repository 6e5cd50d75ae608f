/** How long nodes of a model, a firmware and an image were in a state: the newest of each, so that what is kept grows
 *  with what there is and not with what happens. */
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

/** What times are compared by. */
export interface Compared {
  readonly model: string
  readonly state: string
  /** What the node did in the state. */
  readonly work?: string | null | undefined
  readonly firmware?: string | null | undefined
  readonly image?: string | null | undefined
}

export type DurationLevel = 'image' | 'firmware' | 'model' | 'state'

/** What a time is kept under, and looked up by. The keys of the level `state` are those of older programs, which knew
 *  no other. */
export interface DurationKey {
  readonly of: DurationLevel
  readonly model: string
  readonly state: string
}

/** The most specific first; a level of which the present value is not known has no key. */
export function durationKeys({ model, state, work, firmware, image }: Compared): DurationKey[] {
  const keys: DurationKey[] = [{ of: 'state', model, state }]
  if (!work) return keys
  const worked = `${state}\n${work}`
  keys.unshift({ of: 'model', model, state: worked })
  if (firmware) keys.unshift({ of: 'firmware', model: `${model}\n${firmware}`, state: worked })
  if (image) keys.unshift({ of: 'image', model: `${model}\n${firmware ?? ''}\n${image}`, state: worked })
  return keys
}

/** Ways to leave a state that say nothing about the time that it needs. */
const BROKEN_OFF: ReadonlySet<unknown> = new Set(['fail', 'abort', 'delete'])

/** Under these, how long jumps into an image took (kexec), by model: as many as they were. */
export const [JUMPED, JUMP_FAILED] = ['jump\nworked', 'jump\nfailed']

/** Of the parts of the agent's work, by their names in its timings. */
const PARTS: readonly (readonly [part: string, timings: readonly string[]])[] = [
  ['write', ['write']],
  ['verify', ['readback']],
  ['finish', ['kexec', 'finish']],
]

/** As a part of the work is kept, and looked up. */
export const partOf = (compared: Compared, part: string): Compared => ({
  ...compared,
  work: `${compared.work ?? ''}\n${part}`,
})

/** How long the parts of writing an image took: where only the state is the same, they say nothing. */
function partsOf({
  compared: said,
  timings,
}: DurationEvent['detail']): { model: string; state: string; tookMs: number }[] {
  const compared = said as Compared | undefined
  const took = (timings ?? {}) as Readonly<Record<string, unknown>>
  if (!compared?.work) return []
  return PARTS.flatMap(([part, names]) => {
    const seconds = names.flatMap((name) => (typeof took[name] === 'number' ? [took[name]] : []))
    if (seconds.length === 0 || seconds.some((one) => one < 0)) return []
    const tookMs = Math.round(1000 * seconds.reduce((sum, one) => sum + one, 0))
    return durationKeys(partOf(compared, part))
      .filter(({ of }) => of === 'image' || of === 'model')
      .map(({ model, state }) => ({ model, state, tookMs }))
  })
}

/** What is kept of an event, if it tells of a state that ended as it should, of a jump, or of an image that was
 *  written. */
export function durationsOf({ kind, detail }: DurationEvent): { model: string; state: string; tookMs: number }[] {
  const { model, from, tookMs, on, lost } = detail
  if (kind === 'jump' && typeof model === 'string' && typeof tookMs === 'number')
    return [{ model, state: detail.ok === true ? JUMPED : JUMP_FAILED, tookMs }]
  if (kind === 'agent-done') return partsOf(detail)
  if (kind !== 'state' || typeof model !== 'string' || typeof from !== 'string' || typeof tookMs !== 'number') return []
  // A clock that was set back in the state would make it end before it began.
  if (BROKEN_OFF.has(on) || lost === true || tookMs < 0) return []
  const text = (value: unknown) => (typeof value === 'string' ? value : null)
  const { work, firmware, image, modelBefore } = detail
  const compared = { state: from, work: text(work), firmware: text(firmware), image: text(image) }
  const models = typeof modelBefore === 'string' && modelBefore !== model ? [model, modelBefore] : [model]
  return models
    .flatMap((one) => durationKeys({ model: one, ...compared }))
    .map((key) => ({ model: key.model, state: key.state, tookMs }))
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

  /** Inside a transaction. */
  note(event: DurationEvent): void {
    for (const took of durationsOf(event)) this.noteOne(took)
  }

  private noteOne({ model, state, tookMs }: { model: string; state: string; tookMs: number }): void {
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
