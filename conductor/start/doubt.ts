/** Whether the database can be trusted: known before anything else is started, and asked by everything that acts. */
import { RoomRecords } from '../boot/rooms/records.ts'
import { gatedOwner } from '../doubt/gated-owner.ts'
import { DoubtKeeper } from '../doubt/keeper.ts'
import { ownerAlone, type NodeOwner } from '../store/owner.ts'
import { hostnameOf, started, type Context } from './context.ts'
import type { Storage } from './storage.ts'

export interface Doubting {
  readonly doubt: DoubtKeeper
  /** Whose nodes are. Undefined: this conductor's, always. */
  readonly owner: NodeOwner | undefined
  /** How far the database had come when this conductor opened it, where no other one can tell rooms of it. */
  readonly firstSeq: number | undefined
}

export async function openDoubt(context: Context, { store, events }: Storage): Promise<Doubting> {
  const { config, clock, random, log } = context
  // Another one may have had a database server's lease before, and may tell rooms of what it reads there.
  const firstSeq = config.store === 'sqlite' ? await store.journal.lastSeq() : undefined
  const doubt = new DoubtKeeper({
    objects: store.objects,
    conductor: hostnameOf(config),
    owner: store.owner,
    clock,
    random,
    log,
    hearsRooms: config.rooms !== undefined,
    tell: (kind, detail) => events.queue.add({ atMs: clock.now(), nodeUuid: null, kind, detail }),
  })
  await doubt.load()
  // Without boot rooms nobody can know more than the database.
  if (!config.rooms && !doubt.inDoubt && !store.owner) return { doubt, owner: store.owner, firstSeq }
  if (config.rooms) doubt.wait((await new RoomRecords(store.objects).all()).map(({ name }) => name))
  store.journal.watch(
    () => undefined,
    (at) => doubt.olderThanSeen(at),
  )
  await started(context, 'doubt', doubt)
  return { doubt, owner: gatedOwner(store.owner ?? ownerAlone(() => true), doubt), firstSeq }
}
