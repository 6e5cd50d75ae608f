/** /rackward/v1/store: whether the database is older than what boot rooms know, and the word of an operator that it
 *  counts nevertheless. */
import type { DoubtKeeper } from '../doubt/keeper.ts'
import { newerNodes } from '../doubt/standing.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { checkInput, z } from './node-input.ts'
import type { DescribedRoute } from './route.ts'
import { DoubtView } from './store-schemas.ts'
import { time } from './views.ts'

export interface StoreRouteParts {
  readonly doubt: Pick<DoubtKeeper, 'now' | 'inDoubt' | 'waitsFor' | 'accept'>
  readonly store: Store
}

const PATH = '/rackward/v1/store/doubt'

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
        who: claim.who,
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
      summary: 'whether the database is older than what boot rooms and conductors know, and which nodes are',
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
      summary:
        'goes on with a database that is older than what boot rooms or conductors know; they take it for the newer one',
      async handle(request) {
        mustBeWhole(request.actor, 'the database')
        const { revision } = checkInput(AcceptBody, request.body)
        await doubt.accept({ by: request.actor.user, version: revision })
        return { body: await view() }
      },
    },
  ]
}
