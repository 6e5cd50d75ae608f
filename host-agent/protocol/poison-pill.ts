/** A poison pill (SBD's term): the message that the leader writes into a host's slot on the shared storage to make it
 *  reset itself. It is for one boot of the host alone, and names its writer, so that one that was overwritten, or
 *  lifted late, is not taken for it. Pure. */
import * as z from 'zod/mini'

const PoisonPill = z.object({
  boot: z.string(),
  incident: z.string(),
  /** Of the leader that wrote it. */
  epoch: z.number(),
  /** Counts the tries of this leader: no two pills are alike. */
  attempt: z.number(),
})
export type PoisonPill = z.infer<typeof PoisonPill>

export const pillText = (pill: PoisonPill): string => `${JSON.stringify(pill)}\n`

/** Undefined: the slot holds none. */
export function parsePill(text: string): PoisonPill | undefined {
  if (text.trim() === '') return undefined
  try {
    return PoisonPill.safeParse(JSON.parse(text)).data
  } catch {
    return undefined
  }
}

export const samePill = (a: PoisonPill, b: PoisonPill | undefined): boolean =>
  b !== undefined && a.boot === b.boot && a.incident === b.incident && a.epoch === b.epoch && a.attempt === b.attempt
