/** Which BMCs count as silent, and that no more of them are kept than the limit says. */
import { expect, test } from 'vitest'
import { PollLanes } from '../../conductor/bmc/poll-lanes.ts'
import { SilentBmcs } from '../../conductor/bmc/silent.ts'
import { Fault } from '../../kit/fault.ts'

const unreachable = new Fault('bmc.unreachable', 'it did not answer')

test('a BMC that did not answer, or not in time, is silent until it answers; one that refuses is not', () => {
  const silent = new SilentBmcs()
  silent.failed('unreachable', unreachable)
  silent.failed('late', new Fault('bmc.timeout', 'it did not finish'))
  silent.failed('refuses', new Fault('bmc.refused', 'no'))
  expect(['unreachable', 'late', 'refuses'].map(silent.has)).toEqual([true, true, false])
  silent.answered('late')
  expect(silent.has('late')).toBe(false)
  silent.failed('unreachable', new Fault('store.locked', 'another conductor has the node'))
  expect(silent.has('unreachable')).toBe(true)
  silent.failed('unreachable', new Fault('bmc.password', 'it refused the password'))
  expect(silent.has('unreachable')).toBe(false)
})

test('of more silent BMCs than the limit, the one whose silence was seen longest ago is forgotten', () => {
  const silent = new SilentBmcs(3)
  for (const bmc of ['a', 'b', 'c', 'a', 'd']) silent.failed(bmc, unreachable)
  expect(['a', 'b', 'c', 'd'].map(silent.has)).toEqual([true, false, true, true])
})

test('a BMC whose last poll did not end in time is polled beside the others, and not before them', async () => {
  const lanes = new PollLanes(1)
  const late = lanes.run('tarpit', () => Promise.reject(new Fault('bmc.timeout', 'it did not finish')))
  await expect(late).rejects.toMatchObject({ code: 'bmc.timeout' })
  let end = () => undefined as void
  const held = lanes.run('tarpit', () => new Promise<void>((resolve) => (end = resolve)))
  expect(await lanes.run('other', async () => 'on')).toBe('on')
  end()
  await held
})
