/** Progress is reported for as long as a work goes on, and the end of the work does not wait for the next report. */
import { expect, test } from 'vitest'
import { whileReporting } from '../../host-agent/deploy/reporting.ts'

/** Sleeps until the test says so, or until the signal. */
function handClock() {
  let wake = () => undefined as void
  const sleep = (_: number, signal?: AbortSignal) =>
    new Promise<void>((resolve, reject) => {
      if (signal?.aborted) return reject(new Error('over'))
      wake = resolve
      signal?.addEventListener('abort', () => reject(new Error('over')))
    })
  return { sleep, wake: () => wake() }
}

test('the end of a work is told at once, not with the next report, and after the one that was on its way', async () => {
  const clock = handClock()
  const said: string[] = []
  let arrive = () => undefined as void
  let end = () => undefined as void
  const work = new Promise<string>((resolve) => (end = () => resolve('done')))
  const all = whileReporting(work, {
    clock,
    everyMs: 900,
    say: () =>
      new Promise<void>((resolve) => {
        said.push('begun')
        arrive = () => (said.push('arrived'), resolve())
      }),
  })
  arrive()
  await new Promise(setImmediate)
  clock.wake()
  await new Promise(setImmediate)
  expect(said).toEqual(['begun', 'arrived', 'begun'])
  end()
  await new Promise(setImmediate)
  let answer = ''
  void all.then((value) => (answer = value))
  await new Promise(setImmediate)
  expect(answer).toBe('')
  arrive()
  // Nothing moves the clock any more.
  expect(await all).toBe('done')
})

test('a report that fails ends nothing; a work that fails is told as it failed', async () => {
  const clock = handClock()
  let reports = 0
  const parts = { clock, everyMs: 900, say: async () => Promise.reject(new Error(`no line ${(reports += 1)}`)) }
  expect(await whileReporting(Promise.resolve(1), parts)).toBe(1)
  await expect(whileReporting(Promise.reject(new Error('a disk')), parts)).rejects.toThrow('a disk')
  expect(reports).toBeGreaterThan(0)
})
