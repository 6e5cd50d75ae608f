/** Conductors of one database that may be older than what their boot rooms know: what each of them does, hears of the
 *  others, and still knows after a restart. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { HeldClient } from '../../../conductor/boot/rooms/wire.ts'
import { gatedOwner } from '../../../conductor/doubt/gated-owner.ts'
import { DoubtKeeper, WAIT_MS } from '../../../conductor/doubt/keeper.ts'
import { MAX_NAMED, type Claim } from '../../../conductor/doubt/standing.ts'
import { Witness } from '../../../conductor/doubt/witness.ts'
import { mayAct, mayStillAct } from '../../../conductor/holding.ts'
import { newNode } from '../../../conductor/node/record.ts'
import { ownerAlone, type OwnerListener } from '../../../conductor/store/owner.ts'
import { PORT_DEFAULTS } from '../../../conductor/store/port.ts'
import { SqliteStore } from '../../../conductor/store/sqlite.ts'
import { systemClock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { silentLog } from '../../../kit/log.ts'
import { systemRandom } from '../../../kit/random.ts'
import { HandClock } from '../../kit/hand-clock.ts'
import { LIMITS, SEAL } from '../store-conformance/bench.ts'
import { macOf, uuidOf } from './room-rack.ts'

/** Whose sleeps last until the clock has passed them. */
class LoopClock extends HandClock {
  override sleep = (ms = 0, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = this.after(ms, resolve)
      signal?.addEventListener('abort', () => (cancel(), reject(signal.reason as Error)))
    })

  async advance(ms: number): Promise<void> {
    await settled()
    this.pass(ms)
    await settled()
  }
}

let dir: string
let store: SqliteStore
let clock: LoopClock
let keepers: DoubtKeeper[]
/** What conductors tell each other. */
let ears: OwnerListener[]

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-doubt-'))
  store = new SqliteStore(join(dir, 'rackward.db'), SEAL, { clock: systemClock, limits: LIMITS })
  clock = new LoopClock()
  keepers = []
  ears = []
})
afterEach(async () => {
  for (const keeper of keepers) await keeper.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

interface Conductor {
  readonly doubt: DoubtKeeper
  readonly events: string[]
  readonly seen: string[]
}

async function conductor(rooms: readonly string[] = [], more: { hearsRooms?: boolean; deaf?: boolean } = {}) {
  const events: string[] = []
  const seen: string[] = []
  const mine: OwnerListener[] = []
  const owner = {
    listen: (listener: OwnerListener) => void (more.deaf || (mine.push(listener), ears.push(listener))),
    tell: async (texts: readonly string[]) => {
      for (const text of texts) for (const ear of ears) if (!mine.includes(ear)) ear.told?.(text)
    },
  }
  const doubt = new DoubtKeeper({
    objects: store.objects,
    owner,
    clock,
    random: systemRandom,
    log: silentLog,
    hearsRooms: more.hearsRooms ?? true,
    tell: (kind) => void events.push(kind),
  })
  keepers.push(doubt)
  await doubt.load()
  doubt.listen({
    opened: (anew) => void seen.push(anew ? 'opened anew' : 'opened'),
    closed: () => void seen.push('closed'),
    doubted: () => void seen.push('doubted'),
  })
  doubt.wait(rooms)
  return { doubt, events, seen } satisfies Conductor
}

const claim = (room: string, more: Partial<Claim> = {}): Claim => ({
  room,
  epoch: 1,
  seq: 90,
  lastSeq: 50,
  atMs: 1,
  by: 'c1',
  count: 1,
  nodes: [{ uuid: uuidOf(1), mac: macOf(1), held: 9, recorded: 4 }],
  ...more,
})
const version = ({ doubt }: Conductor) => doubt.now.version ?? -1
const settled = () => new Promise((resolve) => setImmediate(resolve))

describe('a start', () => {
  test('acts on nothing until each room has spoken', async () => {
    const one = await conductor(['r1', 'r2'])
    one.doubt.countDown()
    expect([one.doubt.isOpen, one.doubt.waitsFor]).toEqual([false, ['r1', 'r2']])
    expect(() => one.doubt.mayAct()).toThrow(expect.objectContaining({ code: 'store.doubt' }))
    one.doubt.heard('r2')
    expect(one.doubt.isOpen).toBe(false)
    one.doubt.heard('r1')
    expect([one.doubt.isOpen, one.seen]).toEqual([true, ['closed', 'opened']])
    one.doubt.mayAct()
  })
  test('waits no longer than a while for a room that does not dial', async () => {
    const one = await conductor(['r1'])
    one.doubt.countDown()
    await clock.advance(WAIT_MS - 1)
    expect(one.doubt.isOpen).toBe(false)
    await clock.advance(1)
    expect(one.doubt.isOpen).toBe(true)
  })
  test('without rooms waits for nobody', async () => {
    const one = await conductor([])
    one.doubt.countDown()
    expect([one.doubt.isOpen, one.seen]).toEqual([true, []])
  })
  test('beside a conductor that works already waits for nobody, unless that one hears no rooms itself', async () => {
    const other = await conductor([], { hearsRooms: false })
    other.doubt.start()
    const one = await conductor(['r1'])
    one.doubt.start()
    await settled()
    expect(one.doubt.isOpen).toBe(false)
    const works = await conductor([])
    works.doubt.start()
    await clock.advance(2_000)
    await settled()
    expect(one.doubt.isOpen).toBe(true)
  })
  test('beside another one that has just started too waits with it', async () => {
    const [one, two] = [await conductor(['r1']), await conductor(['r1'])]
    for (const { doubt } of [one, two]) doubt.start()
    await clock.advance(2_000)
    await settled()
    expect([one.doubt.isOpen, two.doubt.isOpen]).toEqual([false, false])
  })
})

describe('a doubt', () => {
  test('is known to the other conductor at once, and ends for both when it is accepted', async () => {
    const [one, two] = [await conductor(), await conductor()]
    for (const { doubt } of [one, two]) doubt.start()
    await one.doubt.claim(claim('r1'))
    await settled()
    for (const { doubt, seen } of [one, two]) {
      expect([doubt.inDoubt, seen]).toEqual([true, ['closed', 'doubted']])
      expect(doubt.why).toContain('boot room r1 knows')
    }
    await two.doubt.accept({ by: 'root', version: version(two) })
    await settled()
    for (const { doubt, seen } of [one, two])
      expect([doubt.isOpen, doubt.epoch, seen.at(-1)]).toEqual([true, 2, 'opened anew'])
    expect([one.events, two.events]).toEqual([['store-doubt'], ['store-accepted']])
    expect(one.doubt.now.accepted).toMatchObject({ by: 'root', rooms: ['r1'] })
  })
  test('is found by looking, where the word of it is lost', async () => {
    const [one, two] = [await conductor(), await conductor([], { deaf: true })]
    two.doubt.start()
    await settled()
    await one.doubt.claim(claim('r1'))
    expect(two.doubt.isOpen).toBe(true)
    await clock.advance(2_000)
    await settled()
    expect(two.doubt.inDoubt).toBe(true)
    await one.doubt.accept({ by: 'root', version: version(one) })
    await clock.advance(2_000)
    await settled()
    expect([two.doubt.isOpen, two.doubt.epoch]).toEqual([true, 2])
  })
  test('of two rooms that two conductors hear at the same time keeps both', async () => {
    const [one, two] = [await conductor(), await conductor([], { deaf: true })]
    await Promise.all([one.doubt.claim(claim('r1')), two.doubt.claim(claim('r2'))])
    const later = await conductor()
    expect(later.doubt.now.claims.map(({ room }) => room).sort()).toEqual(['r1', 'r2'])
  })
  test('outlives a restart, in which no room is there', async () => {
    const one = await conductor()
    await one.doubt.claim(claim('r1'))
    const again = await conductor(['r1'])
    again.doubt.countDown()
    await clock.advance(WAIT_MS)
    expect([again.doubt.isOpen, again.doubt.why?.includes('r1')]).toEqual([false, true])
  })
  test('of a room that was wrong ends with the room, and the incarnation stays', async () => {
    const one = await conductor()
    await one.doubt.claim(claim('r1'))
    await one.doubt.claim(claim('r2'))
    await one.doubt.forget('r1')
    expect(one.doubt.inDoubt).toBe(true)
    await one.doubt.forget('r2')
    expect([one.doubt.isOpen, one.doubt.epoch]).toEqual([true, 1])
    // Nobody to forget.
    await one.doubt.forget('r3')
    expect(one.doubt.isOpen).toBe(true)
  })
  test('is accepted as it was seen, and in no other way', async () => {
    const one = await conductor()
    await expect(one.doubt.accept({ by: 'root', version: 0 })).rejects.toMatchObject({ code: 'object.conflict' })
    await one.doubt.claim(claim('r1'))
    const seen = version(one)
    await one.doubt.claim(claim('r2'))
    await expect(one.doubt.accept({ by: 'root', version: seen })).rejects.toMatchObject({ code: 'object.conflict' })
    expect(one.doubt.inDoubt).toBe(true)
    await one.doubt.accept({ by: 'root', version: version(one) })
    expect(one.doubt.isOpen).toBe(true)
  })
  test('that cannot be written is none yet, and no conductor works because of it', async () => {
    const one = await conductor(['r1'])
    one.doubt.countDown()
    const { add } = store.objects
    store.objects.add = () => Promise.reject(new Fault('store.broken', 'the disk is full'))
    await expect(one.doubt.claim(claim('r1'))).rejects.toMatchObject({ code: 'store.broken' })
    expect(one.doubt.isOpen).toBe(false)
    store.objects.add = add
    await one.doubt.claim(claim('r1'))
    expect(one.doubt.inDoubt).toBe(true)
  })
  test('of a room that says it again and again is written once', async () => {
    const one = await conductor()
    await one.doubt.claim(claim('r1'))
    const before = version(one)
    for (let n = 0; n < 5; n += 1) await one.doubt.claim(claim('r1', { atMs: n }))
    expect(version(one)).toBe(before)
    await one.doubt.claim(claim('r1', { seq: 91 }))
    expect([version(one) > before, one.events]).toEqual([true, ['store-doubt']])
  })
})

describe('in doubt', () => {
  test('no node and no duty but that of telling is the conductor’s, and what is under way ends before its next datagram', async () => {
    const { doubt } = await conductor()
    const owner = gatedOwner(
      ownerAlone(() => true),
      doubt,
    )
    let taken = 0
    owner.listen({ taken: () => (taken += 1) })
    expect([owner.mine({ uuid: '1' }), owner.holds('allocations'), owner.holds('webhooks')]).toEqual([true, true, true])
    await owner.holding({ uuid: '1' }, async () => {
      mayStillAct()
      await mayAct()
      await doubt.claim(claim('r1'))
      expect(() => mayStillAct()).toThrow(expect.objectContaining({ code: 'store.doubt' }))
      await expect(mayAct()).rejects.toMatchObject({ code: 'store.doubt' })
    })
    expect([owner.mine({ uuid: '1' }), owner.holds('allocations'), owner.holds('webhooks')]).toEqual([
      false,
      false,
      true,
    ])
    await expect(owner.holding({ uuid: '1' }, async () => undefined)).rejects.toMatchObject({ code: 'store.doubt' })
    await doubt.accept({ by: 'root', version: doubt.now.version ?? -1 })
    expect([owner.mine({ uuid: '1' }), taken]).toEqual([true, 1])
  })
})

describe('what a room says', () => {
  const held = (
    n: number,
    node: number,
    more: { port?: number; madeAtMs?: number; epoch?: number } = {},
  ): HeldClient => ({
    mac: macOf(n),
    nodeUuid: uuidOf(n),
    version: [more.epoch ?? 1, more.madeAtMs ?? 1, more.port ?? 0, node],
  })
  const witness = (firstSeq?: number) =>
    new Witness({ store, clock: systemClock, conductor: 'c1', epoch: () => 1, known: () => undefined, firstSeq })

  async function nodes(count: number): Promise<void> {
    for (let n = 1; n <= count; n += 1) {
      await store.addNode(newNode({ uuid: uuidOf(n), driver: 'fake-hardware' }, 1))
      await store.addPort({ ...PORT_DEFAULTS, uuid: uuidOf(n), nodeUuid: uuidOf(n), address: macOf(n), createdAtMs: 1 })
    }
  }

  test('is held against the records: what is newer there is claimed, with what the database has', async () => {
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
  test('counts from the start of the conductor, for one that has the database alone: its own events say nothing', async () => {
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
  test('is bounded: names some of very many, counts all, and no incarnation beyond all measure', async () => {
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
})
