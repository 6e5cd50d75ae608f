/** What must not make a doubt: an acceptance at another conductor, a room that is removed while it is heard, and a MAC
 *  address that another port has now. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { merge } from '../../../conductor/boot/rooms/merge.ts'
import { addressedAtMs, type OrderVersion } from '../../../conductor/boot/rooms/version.ts'
import type { RoomClient } from '../../../conductor/boot/rooms/wire.ts'
import { hearRoom } from '../../../conductor/doubt/hear.ts'
import { DoubtKeeper } from '../../../conductor/doubt/keeper.ts'
import { MAX_EPOCH } from '../../../conductor/doubt/judge.ts'
import { Witness } from '../../../conductor/doubt/witness.ts'
import { PortService } from '../../../conductor/node/ports.ts'
import { newNode } from '../../../conductor/node/record.ts'
import { SqliteStore } from '../../../conductor/store/sqlite.ts'
import type { PortRecord } from '../../../conductor/store/port.ts'
import { systemClock } from '../../../kit/clock.ts'
import { silentLog } from '../../../kit/log.ts'
import { systemRandom } from '../../../kit/random.ts'
import { Turns } from '../../../kit/turns.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { LIMITS, SEAL } from '../store-conformance/bench.ts'
import { macOf, uuidOf } from './room-rack.ts'

let dir: string
let store: SqliteStore

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-hear-'))
  store = new SqliteStore(join(dir, 'rackward.db'), SEAL, { clock: systemClock, limits: LIMITS })
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

/** One of several conductors of the store; none of them is told anything by the others. */
async function conductor(waitsFor: readonly string[] = []) {
  const seen: string[] = []
  const doubt = new DoubtKeeper({
    conductor: 'c1',
    objects: store.objects,
    owner: undefined,
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    hearsRooms: true,
    tell: (kind) => void seen.push(kind),
  })
  await doubt.load()
  doubt.listen({ opened: () => void seen.push('opened') })
  doubt.wait(waitsFor)
  const parts = { store, clock: systemClock, conductor: 'c1', known: () => undefined, firstSeq: undefined }
  const witness = new Witness({ ...parts, epoch: () => doubt.epoch })
  const hear = (room: string, epoch: number, more: { seq?: number; isThere?: () => Promise<boolean> } = {}) => {
    const { seq = 0, isThere = () => Promise.resolve(true) } = more
    return hearRoom({ room, mark: { epoch, seq }, held: [] }, { doubt, witness, isThere })
  }
  const accept = () => doubt.accept({ by: 'root', version: doubt.now.version ?? -1 })
  return { doubt, witness, seen, hear, accept }
}

test('a room that was told of an acceptance, of which this conductor has not heard yet, says nothing new', async () => {
  const [one, two] = [await conductor(), await conductor()]
  await two.hear('r1', 1, { seq: 1_000 })
  await two.accept()
  expect(one.doubt.epoch).toBe(1)
  await one.hear('r1', 2)
  expect([one.doubt.epoch, one.doubt.isOpen]).toEqual([2, true])
})

test('what was judged before an acceptance is no claim after it, and is not waited for', async () => {
  const [one, two] = [await conductor(['r2']), await conductor()]
  const claim = await one.witness.hear({ room: 'r2', mark: { epoch: 1, seq: 1_000 }, held: [] })
  await two.hear('r1', 1, { seq: 1_000 })
  await two.accept()
  await one.doubt.claim(claim ?? expect.fail('it knows more than the database'))
  expect([one.doubt.inDoubt, one.doubt.isOpen, one.seen]).toEqual([false, true, ['opened']])
})

test('a room that is removed while it is heard leaves no doubt that nobody could end', async () => {
  const one = await conductor()
  await one.hear('r1', 1, { seq: 1_000, isThere: () => Promise.resolve(false) })
  expect(one.doubt.isOpen).toBe(true)
})

test('rooms are heard also after the largest incarnation that a broken one may claim was accepted', async () => {
  const one = await conductor()
  await one.hear('broken', MAX_EPOCH)
  const { epoch } = await one.accept()
  await one.hear('r1', epoch)
  expect(one.doubt.isOpen).toBe(true)
  await expect(one.hear('broken', epoch + 1)).rejects.toThrow(/no conductor can have told/)
})

test('an older port that takes over the MAC address of a later one is the newer word, for the doubt and for rooms', async () => {
  const clock = new HandClock()
  const ports = new PortService({
    store,
    clock,
    random: systemRandom,
    turns: new Turns(),
    plan: { fixed: () => undefined } as never,
    recordBytes: 1_000_000,
    onPorts: async () => undefined,
  })
  const nodes = [1, 2].map((n) => newNode({ uuid: uuidOf(n), driver: 'fake-hardware' }, 1))
  const made: PortRecord[] = []
  for (const [n, node] of nodes.entries()) {
    await store.addNode(node)
    clock.pass(1_000)
    made.push(await ports.add({ nodeUuid: node.uuid, address: macOf(n) }))
  }
  const [first, second] = made as [PortRecord, PortRecord]
  const versionOf = (port: PortRecord): OrderVersion => [1, addressedAtMs(port), port.version, 0]
  const before = { mac: second.address, nodeUuid: second.nodeUuid, version: versionOf(second) }
  clock.pass(1_000)
  const [one, two] = nodes as [(typeof nodes)[0], (typeof nodes)[0]]
  await ports.remove(second, two)
  const moved = await ports.update(first, { ...first, address: second.address }, { node: one, confined: false })
  expect(moved.createdAtMs).toBeLessThan(second.createdAtMs)

  const { witness } = await conductor()
  expect(await witness.hear({ room: 'r1', mark: { epoch: 1, seq: 0 }, held: [before] })).toBeUndefined()
  const now = { mac: moved.address, nodeUuid: moved.nodeUuid, version: versionOf(moved) } as RoomClient
  const known = { versions: new Map([[before.mac, before.version]]), tombstones: new Map(), mark: { epoch: 1, seq: 0 } }
  const told = { whole: false, mark: { epoch: 1, seq: 9 }, set: [now], gone: [] }
  expect(merge(known, told, 0)).toMatchObject({ set: [now], older: [] })
})
