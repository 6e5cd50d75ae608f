/** What a boot room says of its knowledge, held against the records of a real store. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { HeldClient } from '../../../conductor/boot/rooms/wire.ts'
import { MAX_EPOCH } from '../../../conductor/doubt/judge.ts'
import { FIRST, MAX_NAMED, withAcceptance, withClaim, type Claim } from '../../../conductor/doubt/standing.ts'
import { Witness } from '../../../conductor/doubt/witness.ts'
import { newNode } from '../../../conductor/node/record.ts'
import { PORT_DEFAULTS } from '../../../conductor/store/port.ts'
import { SqliteStore } from '../../../conductor/store/sqlite.ts'
import { systemClock } from '../../../kit/clock.ts'
import { LIMITS, SEAL } from '../store-conformance/bench.ts'
import { macOf, uuidOf } from './room-rack.ts'

let dir: string
let store: SqliteStore

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-witness-'))
  store = new SqliteStore(join(dir, 'rackward.db'), SEAL, { clock: systemClock, limits: LIMITS })
})
afterEach(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

const held = (
  n: number,
  node: number,
  more: { port?: number; madeAtMs?: number; epoch?: number } = {},
): HeldClient => ({
  mac: macOf(n),
  nodeUuid: uuidOf(n),
  version: [more.epoch ?? 1, more.madeAtMs ?? 1, more.port ?? 0, node],
})
const witness = (firstSeq?: number, epoch = 1) =>
  new Witness({ store, clock: systemClock, conductor: 'c1', epoch: () => epoch, known: () => undefined, firstSeq })

async function nodes(count: number): Promise<void> {
  for (let n = 1; n <= count; n += 1) {
    await store.addNode(newNode({ uuid: uuidOf(n), driver: 'fake-hardware' }, 1))
    await store.addPort({ ...PORT_DEFAULTS, uuid: uuidOf(n), nodeUuid: uuidOf(n), address: macOf(n), createdAtMs: 1 })
  }
}

test('what a room says is held against the records: what is newer there is claimed, with what the database has', async () => {
  await nodes(3)
  const seq = await store.journal.lastSeq()
  const mark = { epoch: 1, seq: seq + 5 }
  const said = await witness().hear({ room: 'r1', mark, held: [held(1, 0), held(2, 4), held(9, 0)] })
  expect(said).toMatchObject({ room: 'r1', epoch: 1, seq: seq + 5, lastSeq: seq, count: 2 })
  expect(said?.nodes).toEqual([
    { uuid: uuidOf(2), mac: macOf(2), held: 4, recorded: 0 },
    { uuid: uuidOf(9), mac: macOf(9), held: 0, recorded: null },
  ])
  // Of one that is not ahead, what the database does not have was removed since.
  const behind = { epoch: 1, seq: 0 }
  expect(await witness().hear({ room: 'r1', mark: behind, held: [held(1, 0), held(9, 0)] })).toBeUndefined()
  expect(await witness().hear({ room: 'r1', mark: behind, held: [held(1, 1)] })).toMatchObject({ count: 1 })
})
test('its mark counts from the start of the conductor, for one that has the database alone: its own events say nothing', async () => {
  await nodes(1)
  const firstSeq = await store.journal.lastSeq()
  const one = witness(firstSeq)
  const event = { atMs: 1, nodeUuid: null, kind: 'trouble', detail: {} }
  await store.journal.addAll(Array.from({ length: 50 }, () => event))
  const mark = { epoch: 1, seq: firstSeq + 3 }
  expect(await one.hear({ room: 'r1', mark, held: [] })).toMatchObject({ lastSeq: firstSeq, count: 0 })
  // It was told by this conductor meanwhile.
  expect(await one.hear({ room: 'r1', mark, held: [] })).toBeUndefined()
  expect(await witness().hear({ room: 'r2', mark, held: [] })).toBeUndefined()
})
test('what it says is bounded: names some of very many, counts all, and no incarnation beyond all measure', async () => {
  const many = Array.from({ length: MAX_NAMED + 500 }, (_, n) => ({
    mac: `02:00:00:00:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
    nodeUuid: uuidOf(n),
    version: [1, 1, 0, 1] as const,
  }))
  const said = await witness().hear({ room: 'r1', mark: { epoch: 1, seq: 1e9 }, held: many })
  expect([said?.count, said?.nodes.length]).toEqual([many.length, MAX_NAMED])
  await expect(
    witness().hear({ room: 'r1', mark: { epoch: Number.MAX_SAFE_INTEGER, seq: 1 }, held: [] }),
  ).rejects.toThrow(/no conductor can have told/)
  // A later incarnation of one client alone counts as one of the room.
  const one = await witness().hear({ room: 'r1', mark: { epoch: 1, seq: 0 }, held: [held(1, 0, { epoch: 7 })] })
  expect(one).toMatchObject({ epoch: 7, count: 1 })
})
test('the highest incarnation that a room may say can be accepted, and rooms of that one are heard', async () => {
  const said = await witness().hear({ room: 'r1', mark: { epoch: MAX_EPOCH, seq: 1 }, held: [] })
  const { epoch } = withAcceptance(withClaim(FIRST, said as Claim), { by: 'root', atMs: 1 })
  const mark = { epoch, seq: 0 }
  expect(await witness(undefined, epoch).hear({ room: 'r1', mark, held: [held(1, 0, { epoch })] })).toBeUndefined()
  const beyond = witness(undefined, epoch).hear({ room: 'r1', mark: { epoch: epoch + 1, seq: 0 }, held: [] })
  await expect(beyond).rejects.toThrow(/no conductor can have told/)
})
test('a room that holds very many clients that were removed since is no proof, as long as none of them is newer', async () => {
  const many = Array.from({ length: 10_050 }, (_, n) => ({
    mac: `02:00:00:01:${(n >> 8).toString(16).padStart(2, '0')}:${(n & 255).toString(16).padStart(2, '0')}`,
    nodeUuid: uuidOf(n),
    version: [1, 1, 0, 1] as const,
  }))
  expect(await witness().hear({ room: 'r1', mark: { epoch: 1, seq: 0 }, held: many })).toBeUndefined()
  const last = [...many, held(200, 0, { epoch: 2 })]
  expect(await witness().hear({ room: 'r1', mark: { epoch: 1, seq: 0 }, held: last })).toMatchObject({ count: 1 })
})
