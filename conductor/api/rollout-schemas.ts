/** What /rackward/v1/rollouts takes and answers. */
import * as z from 'zod'
import { END_KINDS, Plan } from '../rollouts/plan.ts'

const Time = z.string().nullable()

export const RolloutBody = z.strictObject({
  plan: Plan,
  agreed: z
    .partialRecord(z.enum(END_KINDS), z.array(z.string().max(255)).max(10_000))
    .describe('what the plan ends, by kind: the nodes for which that is agreed to'),
  secrets: z
    .record(z.string().max(511), z.string().max(65_536))
    .describe('by the names of the plan; kept sealed until the roll-out has ended'),
})

export const RolloutChange = z.strictObject({ event: z.enum(['pause', 'resume', 'cancel']) })

export const RolloutView = z.object({
  id: z.string(),
  site: z.string(),
  state: z.string(),
  why: z.string().nullable(),
  by: z.string(),
  plan: z.string().describe('hash of the plan'),
  created_at: Time,
  updated_at: Time,
  counts: z.record(z.string(), z.number()),
  at_once: z.number().describe('nodes that may run at once'),
  at_once_per_rack: z.number().nullable(),
  stop_after: z.number().describe('so many failed nodes stop it'),
  canaries: z.number().describe('nodes that go first, alone'),
  canaries_done_at: Time,
  held_until: Time.describe('the others wait for this after the canaries'),
  nodes: z
    .array(
      z.object({
        node: z.string(),
        uuid: z.string(),
        canary: z.boolean(),
        state: z.string(),
        stage: z.number(),
        stages: z.number(),
        doing: z.string().nullable(),
        why: z.string().nullable(),
      }),
    )
    .optional(),
})
export type RolloutView = z.infer<typeof RolloutView>
export const RolloutList = z.object({ rollouts: z.array(RolloutView) })
