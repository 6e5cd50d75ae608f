/** Shapes of /rackward/v1/store, as answers and their readers have them. */
import * as z from 'zod'

export const DoubtView = z.object({
  in_doubt: z
    .boolean()
    .describe('the database is older than what boot rooms or conductors know of it, and nothing is acted on'),
  waits_for: z.array(z.string()).describe('boot rooms that have not said yet what they know, after a start'),
  epoch: z.number().int().describe('the incarnation of the database; it grows with each acceptance'),
  revision: z.number().int().describe('what an acceptance must name'),
  rooms: z.array(
    z.object({
      room: z.string().describe('its name'),
      who: z
        .enum(['room', 'conductor'])
        .default('room')
        .describe('a boot room that was told of it, or a conductor that saw it'),
      epoch: z.number().int(),
      seq: z.number().int().describe('the last event of the database that it knows of'),
      last_seq: z.number().int().describe('how far the database had come when that was said'),
      heard_at: z.string().nullable(),
      heard_by: z.string().describe('the conductor'),
      nodes: z.number().int().describe('nodes that are newer in the room'),
    }),
  ),
  nodes: z
    .array(
      z.object({
        uuid: z.string(),
        name: z.string().nullable().describe('null: it has none, or the database does not know it'),
        mac: z.string(),
        held: z.number().int().describe('the version of its record that the room was told of'),
        recorded: z.number().int().nullable().describe('the version in the database; null: it has no such node'),
        rooms: z.array(z.string()),
      }),
    )
    .describe('of each room the first 2,000'),
  accepted: z
    .object({ by: z.string(), at: z.string(), rooms: z.array(z.string()) })
    .nullable()
    .describe('the last acceptance'),
})
export type DoubtView = z.infer<typeof DoubtView>
