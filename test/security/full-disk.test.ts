/** A conductor whose files cannot grow any more says that it is not ready and why, refuses changes without harm, and is ready again by itself. */
import { execFileSync } from 'node:child_process'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { Victim } from './victim.ts'

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start()
})
afterAll(() => victim?.remove())
/** The greatest size of a file that the process may write (RLIMIT_FSIZE), as a full disk would have it. */
const limitFiles = (bytes: string) =>
  execFileSync('prlimit', ['--pid', String(victim.pid), `--fsize=${bytes}:unlimited`])

test('a store that cannot be written is not ready, and is ready again when it can', async () => {
  expect((await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })).status).toBe(201)
  limitFiles('4096')
  const refused = await victim.call('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/description', value: 'lost' }])
  expect(refused.status).toBe(503)
  const ready = await victim.call('GET', '/readyz')
  expect([ready.status, ready.body.troubles.join()]).toEqual([
    503,
    expect.stringMatching(/cannot be written: the last write failed/),
  ])
  expect((await victim.call('GET', '/v1/nodes/n1')).body.description).toBeNull()
  limitFiles('unlimited')
  await until(async () => (await victim.call('GET', '/readyz')).status === 200, {
    what: 'readiness by itself',
    timeoutMs: 20_000,
  })
  expect(
    (await victim.call('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/description', value: 'kept' }])).status,
  ).toBe(200)
})
