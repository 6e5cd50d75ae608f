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
  doubt = new DoubtKeeper({
    objects: {
      add: async () => undefined,
      put: async (object: ObjectRecord) => object,
      find: async () => (answers ? undefined : Promise.reject(new Error('no connection'))),
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
  expect([doubt.isOpen, doubt.isAskedAnew]).toEqual([false, true])
  doubt.heard('r2')
  expect([doubt.isOpen, doubt.isAskedAnew]).toEqual([true, false])
})

test('without rooms there is nobody to ask', () => {
  doubt.askAnew([])
  expect(doubt.isOpen).toBe(true)
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
