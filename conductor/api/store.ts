/** /rackward/v1/store: whether the database is older than what boot rooms know, and the word of an operator that it
 *  counts nevertheless. */
import type { DoubtKeeper } from '../doubt/keeper.ts'
import { newerNodes } from '../doubt/standing.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { checkInput, z } from './node-input.ts'
import type { DescribedRoute } from './route.ts'
import { time } from './views.ts'

export interface StoreRouteParts {
  readonly doubt: Pick<DoubtKeeper, 'now' | 'inDoubt' | 'waitsFor' | 'accept'>
  readonly store: Store
}

const PATH = '/rackward/v1/store/doubt'

const DoubtView = z.object({
  in_doubt: z.boolean().describe('the database is older than what boot rooms know, and nothing is acted on'),
  waits_for: z.array(z.string()).describe('boot rooms that have not said yet what they know, after a start'),
  epoch: z.number().int().describe('the incarnation of the database; it grows with each acceptance'),
  revision: z.number().int().describe('what an acceptance must name'),
  rooms: z.array(
    z.object({
      room: z.string(),
      epoch: z.number().int(),
      seq: z.number().int().describe('the last event of the database that the room was told of'),
      last_seq: z.number().int().describe('how far the database had come when the room said so'),
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

const AcceptBody = z.strictObject({
  revision: z.int().describe('as it was read: what boot rooms said since must be looked at first'),
})

export const storeRoutes = ({ doubt, store }: StoreRouteParts): DescribedRoute[] => {
  const view = async (): Promise<DoubtView> => {
    const { epoch, claims, accepted, version } = doubt.now
    const nodes = await Promise.all(
      newerNodes({ claims }).map(async ({ uuid, mac, held, recorded, rooms }) => {
        const node = recorded === null ? undefined : await store.node(uuid).catch(() => undefined)
        return { uuid, name: node?.name ?? null, mac, held, recorded, rooms }
      }),
    )
    return {
      in_doubt: doubt.inDoubt,
      waits_for: [...doubt.waitsFor],
      epoch,
      revision: version ?? 0,
      rooms: claims.map((claim) => ({
        room: claim.room,
        epoch: claim.epoch,
        seq: claim.seq,
        last_seq: claim.lastSeq,
        heard_at: time(claim.atMs),
        heard_by: claim.by,
        nodes: claim.count,
      })),
      nodes,
      accepted: accepted && { by: accepted.by, at: time(accepted.atMs) ?? '', rooms: accepted.rooms },
    }
  }
  return [
    {
      method: 'get',
      path: PATH,
      role: 'operator',
      answer: DoubtView,
      summary: 'whether the database is older than what boot rooms know, and which nodes are',
      async handle(request) {
        mustBeWhole(request.actor, 'the database')
        return { body: await view() }
      },
    },
    {
      method: 'post',
      path: `${PATH}/accept`,
      role: 'admin',
      body: AcceptBody,
      answer: DoubtView,
      summary: 'goes on with a database that is older than what boot rooms know; they take it for the newer one',
      async handle(request) {
        mustBeWhole(request.actor, 'the database')
        const { revision } = checkInput(AcceptBody, request.body)
        await doubt.accept({ by: request.actor.user, version: revision })
        return { body: await view() }
      },
    },
  ]
}
