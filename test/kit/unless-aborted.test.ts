/** Waiting that a signal ends: who comes first, and that nothing stays behind at a signal that lasts. */
import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { SharedWork } from '../../conductor/node/run/shared-work.ts'
import { unlessAborted } from '../../kit/unless-aborted.ts'

const listenersOf = (signal: AbortSignal) => getEventListeners(signal, 'abort').length

test('what comes first counts, and no listener stays', async () => {
  const { signal } = new AbortController()
  expect(await unlessAborted(Promise.resolve('done'), signal)).toBe('done')
  await expect(unlessAborted(Promise.reject(new Error('broken')), signal)).rejects.toThrow('broken')
  expect(listenersOf(signal)).toBe(0)

  const given = new AbortController()
  const waiting = unlessAborted(new Promise(() => undefined), given.signal)
  expect(listenersOf(given.signal)).toBe(1)
  given.abort(new Error('enough'))
  await expect(waiting).rejects.toThrow('enough')
  await expect(unlessAborted(Promise.resolve('late'), given.signal)).rejects.toThrow('enough')
  expect(listenersOf(given.signal)).toBe(0)
})

test('whoever joined shared work leaves no listener at its own signal', async () => {
  const work = new SharedWork<string>(() => new Error('unwanted'))
  const { signal } = new AbortController()
  for (let n = 0; n < 20; n += 1) expect(await work.join('key', async () => `${n}`, signal)).toBe(`${n}`)
  expect(listenersOf(signal)).toBe(0)
})
