/** What of the causes is kept for later. A cause is written down once it has stood first for a while; a later one was
 *  found with more evidence, so that the last one counts. Pure. */
import type { Episode, NamedCause, TroubleRecord } from '../protocol/trouble.ts'
import type { Cause, CauseCode } from './table.ts'

/** The cause that is first, and since when without a gap. */
export interface Standing {
  readonly first: Cause | undefined
  readonly sinceMs: number
}

export const NOTHING_STANDS: Standing = { first: undefined, sinceMs: Number.NEGATIVE_INFINITY }

const MOST_CAUSES = 4
const MOST_EPISODES = 5

export function standingAfter(before: Standing, first: Cause | undefined, nowMs: number): Standing {
  const isSame = before !== NOTHING_STANDS && before.first?.code === first?.code
  return { first, sinceMs: isSame ? before.sinceMs : nowMs }
}

/** With the cause as the newest; undefined: it is the newest already. */
export function withCause(
  causes: readonly NamedCause[],
  named: Cause | undefined,
  at: string,
): NamedCause[] | undefined {
  if (named === undefined || causes.at(-1)?.code === named.code) return undefined
  return [...causes, storedCause(named, at)].slice(-MOST_CAUSES)
}

const storedCause = ({ evidence, ...named }: Cause, at: string): NamedCause => ({
  ...named,
  evidence: [...evidence],
  at,
})

/** As people are told: what was found with most evidence first, each once. */
export function told(causes: readonly NamedCause[]): NamedCause[] {
  const newest = new Map<string, NamedCause>()
  for (const one of causes.toReversed()) if (!newest.has(one.code)) newest.set(one.code, one)
  return [...newest.values()]
}

const OPEN_AFTER_MS = 4_000
const OTHER_AFTER_MS = 3_000
const CLOSE_AFTER_MS = 2_000

/** What the record becomes; undefined: it stays as it is. `isOver`: an incident has taken it over. */
export function troubleAfter(
  before: TroubleRecord | undefined,
  standing: Standing,
  { nowMs, at, isOver }: { nowMs: number; at: string; isOver: boolean },
): TroubleRecord | undefined {
  const episodes = before?.episodes ?? []
  const last = episodes.at(-1)
  const open = last && last.to === null ? last : undefined
  const { first } = standing
  const forMs = nowMs - standing.sinceMs
  const replaced = (episode: Episode) => ({ episodes: [...episodes.slice(0, -1), episode] })

  if (open && (isOver || (first === undefined && forMs >= CLOSE_AFTER_MS))) return replaced({ ...open, to: at })
  if (first === undefined || isOver) return undefined
  if (!open)
    return forMs < OPEN_AFTER_MS
      ? undefined
      : withEpisode(before, { from: at, to: null, causes: [storedCause(first, at)] })
  if (forMs < OTHER_AFTER_MS) return undefined
  const causes = withCause(open.causes, first, at)
  return causes && replaced({ ...open, causes })
}

/** One that lasts in the record ends where the next begins. */
export const withEpisode = (before: TroubleRecord | undefined, episode: Episode): TroubleRecord => ({
  episodes: [
    ...(before?.episodes ?? []).map((one) => (one.to === null ? { ...one, to: episode.from } : one)),
    episode,
  ].slice(-MOST_EPISODES),
})

/** Whether the record has the episode, by whichever arbiter saw it. */
export const hasEpisode = (record: TroubleRecord | undefined, { from, to, causes }: Episode): boolean =>
  record?.episodes.some(
    (one) =>
      one.causes.some(({ code }) => code === causes[0]?.code) && one.from <= (to ?? from) && (one.to ?? from) >= from,
  ) === true

/** What was seen while nothing could be written: kept until it can. */
export interface Unwritten {
  readonly fromAt: string
  readonly causes: readonly NamedCause[]
}

/** Causes during which the store takes nothing. */
const UNWRITABLE: ReadonlySet<CauseCode> = new Set(['mesh.no-quorum', 'mesh.store-away'])

/** What becomes of it with the cause that stands now; `ended`: it is over, and was no matter of a moment. */
export function unwrittenAfter(
  before: Unwritten | undefined,
  { first, sinceMs }: Standing,
  { nowMs, at }: { nowMs: number; at: string },
): { readonly unwritten: Unwritten | undefined; readonly ended: Episode | undefined } {
  if (first === undefined || !UNWRITABLE.has(first.code)) {
    const isTold = before !== undefined && before.causes.length > 0
    return {
      unwritten: undefined,
      // The wall clock may have been set back meanwhile.
      ended: isTold
        ? { from: before.fromAt, to: at < before.fromAt ? before.fromAt : at, causes: [...before.causes] }
        : undefined,
    }
  }
  const { fromAt, causes } = before ?? { fromAt: at, causes: [] }
  const named = nowMs - sinceMs >= OTHER_AFTER_MS ? withCause(causes, first, at) : undefined
  return { unwritten: { fromAt, causes: named ?? causes }, ended: undefined }
}
