/** What a project claims for its nodes: no parent of another project, and no MAC address, for it cannot prove that a
 *  card is its own. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Victim } from './victim.ts'

const USERS = {
  root: { role: 'admin' },
  boss: { role: 'admin', project: 'blue' },
  red: { role: 'admin', project: 'red' },
} as const

let victim: Victim
const ids: Record<string, string> = {}
const as = (user: keyof typeof USERS, method: string, path: string, body?: unknown) =>
  victim.call(method, path, body, { user })
beforeAll(async () => {
  victim = await Victim.start({ users: USERS })
  const make = async (path: string, body: unknown) => {
    const answer = await as('root', 'POST', path, body)
    if (answer.status !== 201) throw new Error(`${path}: ${answer.status} ${JSON.stringify(answer.body)}`)
    return String(answer.body.uuid)
  }
  ids.mine = await make('/v1/nodes', { driver: 'fake-hardware', name: 'mine', owner: 'blue' })
  ids.node = await make('/v1/nodes', { driver: 'fake-hardware', name: 'theirs', owner: 'red' })
  ids.port = await make('/v1/ports', { node_uuid: ids.node, address: '52:54:00:00:00:01' })
  ids.myPort = await make('/v1/ports', { node_uuid: ids.mine, address: '52:54:00:00:00:02' })
}, 60_000)
afterAll(() => victim?.remove())

test('a parent is of the same project: not of another, and not a leased one; an administrator of all may say otherwise', async () => {
  const leased = (await as('root', 'POST', '/v1/nodes', { driver: 'fake-hardware', owner: 'red', lessee: 'blue' })).body
    .uuid
  expect((await as('boss', 'POST', '/v1/nodes', { driver: 'fake-hardware', parent_node: leased })).status).toBe(403)
  expect(
    (await as('boss', 'PATCH', '/v1/nodes/mine', [{ op: 'add', path: '/parent_node', value: leased }])).status,
  ).toBe(403)
  const child = (await as('root', 'POST', '/v1/nodes', { driver: 'fake-hardware', owner: 'blue', parent_node: leased }))
    .body.uuid
  // Who does not see the child learns that there is one, and not which.
  expect((await as('red', 'GET', `/v1/nodes/${leased}/children`)).body.children).toEqual([])
  expect(JSON.stringify((await as('red', 'DELETE', `/v1/nodes/${leased}`)).body)).not.toContain(child)
  expect((await as('boss', 'GET', `/v1/nodes/${leased}/children`)).body.children).toEqual([child])
})

test('no project claims a MAC address: not with a new port, not with a changed one, not by letting a found card boot', async () => {
  const claim = { node_uuid: ids.mine, address: '52:54:00:00:00:77' }
  expect((await as('boss', 'POST', '/v1/ports', claim)).status).toBe(403)
  expect((await as('boss', 'POST', '/v1/portgroups', claim)).status).toBe(403)
  // Whether somebody has the address already makes no difference.
  expect((await as('boss', 'POST', '/v1/ports', { ...claim, address: '52:54:00:00:00:01' })).status).toBe(403)
  const change = (path: string, value: unknown) =>
    as('boss', 'PATCH', `/v1/ports/${ids.myPort}`, [{ op: 'replace', path, value }])
  expect((await change('/address', '52:54:00:00:00:77')).status).toBe(403)
  expect((await change('/pxe_enabled', false)).status).toBe(200)
  expect((await change('/pxe_enabled', true)).status).toBe(403)
  expect(
    (await as('boss', 'PATCH', `/v1/ports/${ids.myPort}`, [{ op: 'add', path: '/extra/note', value: 'x' }])).status,
  ).toBe(200)
  expect(
    (
      await as('boss', 'PATCH', `/v1/ports/${ids.myPort}`, [
        { op: 'add', path: '/extra/ipv4_address', value: '10.0.0.1' },
      ])
    ).status,
  ).toBe(400)
  expect((await as('root', 'POST', '/v1/ports', claim)).status).toBe(201)
})
