/** What was named as the cause of a failure, as the store keeps it: in the record of an incident, and for failures
 *  without an incident in a record of their own for each host and one for the mesh as a whole. */
import * as z from 'zod/mini'

/** One cause that was found the likeliest. */
export const NamedCause = z.object({
  /** Of the table in `causes/table.ts`; a later release may know more. */
  code: z.string().check(z.maxLength(64)),
  cause: z.string().check(z.maxLength(500)),
  evidence: z.array(z.string().check(z.maxLength(500))).check(z.maxLength(8)),
  remedy: z.string().check(z.maxLength(500)),
  /** Wall clock, for people alone: when it was named. */
  at: z.string(),
})
export type NamedCause = Readonly<z.infer<typeof NamedCause>>

const Episode = z.object({
  /** Wall clock, for people alone. */
  from: z.string(),
  /** Null: it lasts. */
  to: z.nullable(z.string()),
  /** As they were named, the newest last: each was found with more evidence than the one before. */
  causes: z.array(NamedCause),
})
export type Episode = Readonly<z.infer<typeof Episode>>

/** The newest episodes, the newest last. */
export const TroubleRecord = z.object({ episodes: z.array(Episode) })
export type TroubleRecord = Readonly<z.infer<typeof TroubleRecord>>

/** Name of the record of the mesh as a whole: no host can be called so. */
export const WHOLE_MESH = '_mesh'
