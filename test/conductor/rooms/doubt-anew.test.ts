/** A database that answers again after its connection was lost may be older: nothing is acted on until the boot rooms
 *  have said what they know, whatever other conductors say. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { DoubtKeeper, WAIT_MS } from '../../../conductor/doubt/keeper.ts'
import type { ObjectRecord } from '../../../conductor/store/port.ts'
import type { OwnerListener } from '../../../conductor/store/owner.ts'
import { silentLog } from '../../../kit/log.ts'
import { systemRandom } from '../../../kit/random.ts'
import { HandClock } from '../../kit/hand-clock.ts'

class LoopClock extends HandClock {
  override sleep = (ms = 0, signal?: AbortSignal): Promise<void> =>
    new Promise((resolve, reject) => {
      const cancel = this.after(ms, resolve)
      signal?.addEventListener('abort', () => (cancel(), reject(signal.reason as Error)))
    })
}

let clock: LoopClock
let doubt: DoubtKeeper
let ear: OwnerListener
let told: string[]
let answers: boolean
/** The record of the database. */
let kept: ObjectRecord | undefined
const settled = () => new Promise((resolve) => setImmediate(resolve))
const advance = async (ms: number) => {
  await settled()
  clock.pass(ms)
  await settled()
}

beforeEach(async () => {
  clock = new LoopClock()
  told = []
  answers = true
  kept = undefined
  doubt = new DoubtKeeper({
    conductor: 'c1',
    objects: {
      add: async (object: ObjectRecord) => void (kept = object),
      put: async (object: ObjectRecord) => (kept = { ...object, version: object.version + 1 }),
      find: async () => (answers ? kept : Promise.reject(new Error('no connection'))),
    } as never,
    owner: { listen: (listener) => void (ear = listener), tell: async (texts) => void told.push(...texts) },
    clock,
    random: systemRandom,
    log: silentLog,
    hearsRooms: true,
    tell: () => undefined,
  })
  await doubt.load()
  doubt.start()
})
afterEach(() => doubt.stop())

test('rooms that were connected are waited for, and then it goes on', async () => {
  doubt.askAnew(['r1', 'r2'])
  expect([doubt.isOpen, doubt.why]).toEqual([false, expect.stringContaining('connection to the database was lost')])
  doubt.heard('r1')
  expect(doubt.isOpen).toBe(false)
  doubt.heard('r2')
  expect(doubt.isOpen).toBe(true)
})

test('what this conductor knows does not count until a room was heard after the connection was lost', () => {
  expect(doubt.knowsBeside('r1')).toBe(true)
  // Also where no room is connected: one that comes later is heard as if nothing were known.
  doubt.askAnew([])
  expect([doubt.isOpen, doubt.knowsBeside('r1'), doubt.knowsBeside('r2')]).toEqual([true, false, false])
  doubt.heard('r1')
  expect([doubt.knowsBeside('r1'), doubt.knowsBeside('r2')]).toEqual([true, false])
  doubt.askAnew(['r1'])
  expect(doubt.knowsBeside('r1')).toBe(false)
})

test('a database that has come less far than this conductor saw is in doubt at once, and for as long as it cannot be told', async () => {
  answers = false
  doubt.olderThanSeen({ seq: 40, seen: 50 })
  expect([doubt.isOpen, doubt.why]).toEqual([
    false,
    expect.stringContaining('(conductor c1), and this cannot be written'),
  ])
  await advance(2_000)
  expect([doubt.isOpen, doubt.inDoubt]).toEqual([false, false])
  answers = true
  await advance(2_000)
  await settled()
  expect(doubt.now.claims).toMatchObject([{ room: 'c1', who: 'conductor', seq: 50, lastSeq: 40, count: 0 }])
  expect(doubt.why).toMatch(/older than what is known of it \(conductor c1\): nothing is acted on until an operator/)
  // Rooms cannot take it back.
  await doubt.forget('c1')
  doubt.heard('c1')
  expect(doubt.inDoubt).toBe(true)
  const { epoch } = await doubt.accept({ by: 'admin', version: doubt.now.version ?? -1 })
  expect([epoch, doubt.isOpen, doubt.now.accepted?.rooms]).toEqual([2, true, ['conductor c1']])
})

test('what the replaced database says counts, although its record has an older version', async () => {
  kept = { body: { epoch: 3, claims: [], accepted: null }, version: 9 } as unknown as ObjectRecord
  await doubt.refresh()
  kept = { body: { epoch: 2, claims: [], accepted: null }, version: 4 } as unknown as ObjectRecord
  await doubt.refresh()
  expect(doubt.epoch).toBe(3)
  doubt.askAnew([])
  await doubt.refresh()
  expect(doubt.epoch).toBe(2)
})

test('another conductor, which may not have noticed yet, is neither asked nor believed', async () => {
  doubt.askAnew(['r1'])
  for (let i = 0; i < 3; i += 1) await advance(2_000)
  expect(told).toEqual([])
  ear.told?.(JSON.stringify({ doubt: 'open' }))
  ear.told?.(JSON.stringify({ doubt: 'ask' }))
  expect([doubt.isOpen, told]).toEqual([false, []])
})

test('a room that does not come is waited for no longer than a while, which counts once the database answers', async () => {
  doubt.askAnew(['r1'])
  answers = false
  await advance(WAIT_MS)
  expect(doubt.isOpen).toBe(false)
  answers = true
  await advance(WAIT_MS - 1)
  expect(doubt.isOpen).toBe(false)
  await advance(1)
  expect(doubt.isOpen).toBe(true)
})
