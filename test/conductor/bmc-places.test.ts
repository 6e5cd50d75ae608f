/** How many ipmitool processes run at once, however many servers are worked on, and whom a silent BMC holds up. */
import { expect, test } from 'vitest'
import { Places } from '../../conductor/bmc/places.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Run } from '../../kit/run.ts'

const { signal } = new AbortController()
const nodeAt = (n: number) => ({
  uuid: `node-${n}`,
  driver: 'ipmi',
  driverInfo: { ipmi_address: `10.0.${n >> 8}.${n & 255}`, ipmi_username: 'u', ipmi_password: 'p' },
})

test('commands for 500 BMCs at once start 64 processes at most, and all are carried out', async () => {
  let [running, most] = [0, 0]
  const run: Run = async () => {
    running += 1
    most = Math.max(most, running)
    await systemClock.sleep(2)
    running -= 1
    return { code: 0, stdout: 'Chassis Power is on\n', stderr: '' }
  }
  const bmcs = new BmcRegistry({ run, suites: new CipherSuites({ clock: systemClock, key: Buffer.alloc(32) }) })
  // Each with a signal of its own, as orders have: all that wait listen at theirs.
  const all = Array.from({ length: 500 }, (_, n) => bmcs.target(nodeAt(n)).bmc.power(new AbortController().signal))
  expect(new Set(await Promise.all(all))).toEqual(new Set(['on']))
  expect(most).toBe(64)
})

test('BMCs that did not answer wait for each other, and no other waits for them', async () => {
  const places = new Places({ lively: 1, silent: 1 })
  places.failed('dead', new Fault('bmc.unreachable', 'it did not answer'))
  const never = new AbortController()
  const held = places.run(
    'dead',
    () => new Promise<void>((resolve) => never.signal.addEventListener('abort', () => resolve())),
    signal,
  )
  expect(await places.run('lively', async () => 'done', signal)).toBe('done')

  // One that waits can give up.
  const leaving = new AbortController()
  const waiting = places.run('dead', async () => 'late', leaving.signal)
  leaving.abort(new Error('nobody wants it'))
  await expect(waiting).rejects.toThrow('nobody wants it')
  never.abort()
  await held

  // It answers again: its place is among the others.
  places.answered('dead')
  let isHeld = true
  const again = places.run(
    'dead',
    () => until(() => !isHeld, { what: 'the end', timeoutMs: 20_000, everyMs: 5 }),
    signal,
  )
  let began = false
  const behind = places.run('lively', async () => (began = true), signal)
  await systemClock.sleep(20)
  expect(began).toBe(false)
  isHeld = false
  await Promise.all([again, behind])
  expect(began).toBe(true)
})
