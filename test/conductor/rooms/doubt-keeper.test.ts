/** Conductors of one database that may be older than what their boot rooms know: what each of them does, hears of the
 *  others, and still knows after a restart. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { gatedOwner } from '../../../conductor/doubt/gated-owner.ts'
import { DoubtKeeper, WAIT_MS } from '../../../conductor/doubt/keeper.ts'
import type { Claim } from '../../../conductor/doubt/standing.ts'
import { mayAct, mayStillAct } from '../../../conductor/holding.ts'
import { ownerAlone, type OwnerListener } from '../../../conductor/store/owner.ts'
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
    conductor: 'c1',
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
  who: 'room',
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
      expect(doubt.why).toContain('(boot room r1)')
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
    const add = store.objects.add.bind(store.objects)
    store.objects.add = () => Promise.reject(new Fault('store.broken', 'the disk is full'))
    await expect(one.doubt.claim(claim('r1'))).rejects.toMatchObject({ code: 'store.broken' })
    // Also when rooms are waited for no longer.
    await clock.advance(WAIT_MS)
    expect([one.doubt.isOpen, one.doubt.why?.includes('cannot be written')]).toEqual([false, true])
    store.objects.add = add
    await one.doubt.claim(claim('r1'))
    expect(one.doubt.inDoubt).toBe(true)
    await one.doubt.accept({ by: 'root', version: version(one) })
    expect(one.doubt.isOpen).toBe(true)
  })
  test('that cannot be written while the conductor works stops it, until its room says otherwise or is removed', async () => {
    for (const end of ['heard', 'forget'] as const) {
      const one = await conductor()
      const add = store.objects.add.bind(store.objects)
      store.objects.add = () => Promise.reject(new Fault('store.broken', 'the disk is full'))
      await expect(one.doubt.claim(claim('r1'))).rejects.toMatchObject({ code: 'store.broken' })
      expect(one.doubt.isOpen).toBe(false)
      store.objects.add = add
      await one.doubt[end]('r1')
      expect([one.doubt.isOpen, one.seen]).toEqual([true, ['closed', 'opened']])
    }
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
