/** How long a board is handed out, and that none is kept for longer. */
import { expect, test } from 'vitest'
import { BoardCache } from '../../conductor/api/board-cache.ts'
import { HandClock } from '../kit/hand-clock.ts'

const settled = () => new Promise((resolve) => setImmediate(resolve))

test('a board is made once for all who ask, also while it is made, and anew when it is no longer fresh', async () => {
  const clock = new HandClock()
  const cache = new BoardCache<number>(clock)
  let made = 0
  const make = async () => (clock.pass(100), (made += 1))
  expect(await Promise.all([cache.get('a', make), cache.get('a', make)])).toEqual([1, 1])
  await settled()
  // It took 100 ms: it is handed out for ten times that.
  clock.pass(999)
  expect(await cache.get('a', make)).toBe(1)
  clock.pass(1)
  expect(await cache.get('a', make)).toBe(2)
})

test('no board is kept when it is no longer fresh, of however many projects, nor one that could not be made', async () => {
  const clock = new HandClock()
  const cache = new BoardCache<number>(clock)
  for (let i = 0; i < 1_000; i += 1) await cache.get(`project ${i}`, async () => i)
  await settled()
  expect(cache.size).toBe(1_000)
  clock.pass(500)
  expect(cache.size).toBe(0)
  await expect(cache.get('a', () => Promise.reject(new Error('broken')))).rejects.toThrow('broken')
  await settled()
  expect(cache.size).toBe(0)
})
