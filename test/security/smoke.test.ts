/** The harness of the attacks itself: a real process that answers, refuses strangers, and starts again on its data. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Victim } from './victim.ts'

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start({ users: { root: { role: 'admin' } } })
})
afterAll(() => victim.remove())

test('a conductor process answers its user, refuses others, and keeps what it stored over a kill', async () => {
  expect((await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' })).status).toBe(401)
  expect(
    (await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' }, { user: 'root' })).status,
  ).toBe(201)
  await victim.end('SIGKILL')
  await victim.restart()
  expect((await victim.call('GET', '/v1/nodes/n1', undefined, { user: 'root' })).status).toBe(200)
})
