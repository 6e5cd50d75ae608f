/** What this conductor saw of nodes, for the other conductors of its store, and theirs for this one: an agent may talk
 *  to one conductor while another one works on its node. */
import * as z from 'zod/mini'
import type { Clock } from '../../../kit/clock.ts'
import { parsedOr } from '../../../kit/json.ts'
import { Loop } from '../../../kit/loop.ts'
import type { Log } from '../../../kit/log.ts'
import { Progress } from '../../api/agent-wire.ts'
import { isSign } from '../../boot/signs.ts'
import { isMilestone } from '../../boot/wire.ts'
import type { NodeOwner } from '../../store/owner.ts'
import type { SeenOfNode, Sighting, Sightings } from '../query/sightings.ts'

/** Each node at most this often; well below the time after which an agent counts as silent. */
const EVERY_MS = 1_000
const MAX_TEXT_BYTES = 7_000
/** Less is the way of the text, and the clock's discipline (NTP). */
const SKEW_MS = 2_000

const Sighting = z.object({ atMs: z.number(), detail: z.string() })
const SignSeen = z.object({
  count: z.number(),
  firstAtMs: z.number(),
  atMs: z.number(),
  details: z.array(z.string()),
})
const Told = z.object({
  uuid: z.string(),
  /** By the clock of who tells, as all times but `bootedAtMs`, which tells boots from each other. */
  sentAtMs: z.number(),
  seen: z.array(z.tuple([z.string(), Sighting])),
  /** Absent: an older conductor tells. */
  signs: z.optional(z.array(z.tuple([z.string(), SignSeen]))),
  waiting: z.nullable(Sighting),
  bootedAtMs: z.number(),
  agentAtMs: z.number(),
  progress: z.nullable(Progress),
  timings: z.record(z.string(), z.number()),
})

interface ToldParts {
  readonly sightings: Sightings
  readonly owner: Pick<NodeOwner, 'tell' | 'listen'>
  readonly clock: Clock
  readonly log: Log
}

export class ToldSightings {
  private readonly parts: ToldParts
  private loop: Loop | undefined

  constructor(parts: ToldParts) {
    this.parts = parts
  }

  start(): void {
    const { sightings, owner, clock, log } = this.parts
    owner.listen({ told: (text) => this.hear(text) })
    sightings.news()
    const onError = (error: unknown) => log.warn({ err: error }, 'what was seen could not be told to other conductors')
    this.loop = new Loop({ clock, everyMs: EVERY_MS, onError }, () =>
      owner.tell(sightings.news().map((seen) => textOf(seen, clock.now()))),
    )
  }

  stop = async (): Promise<void> => this.loop?.stop()

  private hear(text: string): void {
    const { success, data } = Told.safeParse(parsedOr(text, undefined))
    if (!success) return
    const { sentAtMs, ...seen } = data
    const nowMs = this.parts.clock.now()
    // The other clock may be ahead or behind.
    const skewMs = nowMs - sentAtMs
    const byMs = Math.abs(skewMs) < SKEW_MS ? 0 : skewMs
    const here = (sighting: Sighting): Sighting => ({ ...sighting, atMs: sighting.atMs + byMs })
    this.parts.sightings.merge({
      ...seen,
      agentAtMs: seen.agentAtMs > 0 ? Math.min(seen.agentAtMs + byMs, nowMs) : 0,
      waiting: seen.waiting && here(seen.waiting),
      // Milestones of a newer program are passed over.
      signs: (seen.signs ?? []).flatMap(([sign, one]) =>
        isSign(sign) ? [[sign, { ...one, firstAtMs: one.firstAtMs + byMs, atMs: one.atMs + byMs }] as const] : [],
      ),
      seen: seen.seen.flatMap(([step, sighting]) => (isMilestone(step) ? [[step, here(sighting)] as const] : [])),
    })
  }
}

/** What does not fit is told without details: those of the signs first, which servers and consoles fill. */
function textOf(seen: SeenOfNode, sentAtMs: number): string {
  const whole: z.infer<typeof Told> = {
    ...seen,
    seen: seen.seen.map(([step, one]) => [step, one]),
    signs: seen.signs.map(([sign, one]) => [sign, { ...one, details: [...one.details] }]),
    sentAtMs,
  }
  const brief = { ...whole, signs: seen.signs.map(([sign, one]) => [sign, { ...one, details: [] }]) }
  const bare = {
    ...brief,
    progress: null,
    timings: {},
    seen: seen.seen.map(([step, { atMs }]) => [step, { atMs, detail: '' }]),
  }
  const texts = [whole, brief].map((told) => JSON.stringify(told))
  return texts.find((text) => Buffer.byteLength(text) <= MAX_TEXT_BYTES) ?? JSON.stringify(bare)
}
