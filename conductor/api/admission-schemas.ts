/** What the question for the queue of admission answers: for the API, the command line and the console. */
import * as z from 'zod'

const Used = z.object({ used: z.number().int(), limit: z.number().int().describe('now; it is adapted') })
export const AdmissionView = z.object({
  enabled: z.boolean(),
  boots: Used.nullable().describe('servers on their way into the ramdisk'),
  writes: Used.nullable().describe('servers that are deployed, until their image is written'),
  per_rack: z.number().int().nullable(),
  per_group: z.number().int().nullable(),
  waiting: z.array(
    z.object({
      node: z.string(),
      name: z.string().nullable(),
      place: z.number().int(),
      priority: z.number().int(),
      since: z.string(),
      left_seconds: z.number().nullable().describe('until its turn, about'),
      why: z.string().describe('what there is no room in'),
    }),
  ),
})
export type AdmissionView = z.infer<typeof AdmissionView>
