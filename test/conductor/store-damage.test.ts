/** A record that cannot be read takes itself out of service, and nothing else: rows spoiled by SQL under a real
 *  conductor. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { devConfig } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { silentLog } from '../../kit/log.ts'
import { call as plainCall, faultOf } from './client.ts'

let dir = ''
let conductor: Conductor
const call = (method: string, path: string, body?: unknown) =>
  plainCall(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, conductor.addresses[0] as string)
const start = async () =>
  (conductor = await startConductor(
    { ...devConfig({ port: 0, data: dir }), fake: { delaySeconds: 0.01 } },
    { log: silentLog },
  ))
const SPOILED = [
  ['noJson', "UPDATE nodes SET body = 'no JSON' WHERE name = ?", 'it is not JSON'],
  ['noObject', "UPDATE nodes SET body = '[]' WHERE name = ?", 'it is no JSON object'],
  [
    'noWorkflow',
    "UPDATE nodes SET body = json_remove(body, '$.workflow') WHERE name = ?",
    'the field workflow is missing',
  ],
  [
    'oddEffects',
    "UPDATE nodes SET body = json_set(body, '$.workflow.pendingEffects', 7) WHERE name = ?",
    'the field pendingEffects',
  ],
  ['oddState', "UPDATE nodes SET body = json_set(body, '$.provisionState', 'flying') WHERE name = ?", 'holds no state'],
  [
    'otherUuid',
    "UPDATE nodes SET body = json_set(body, '$.uuid', 'another') WHERE name = ?",
    'the record of another node',
  ],
  [
    'sealed',
    `UPDATE nodes SET sealed = '{"[\\"driverInfo\\",\\"ipmi_password\\"]":"sealed:v2:AAAA"}' WHERE name = ?`,
    'does not open',
  ],
  [
    'firstForm',
    `UPDATE nodes SET sealed = NULL, body = json_set(body, '$.instanceInfo.x_password', 'sealed:v1:AAAA') WHERE name = ?`,
    'does not open',
  ],
] as const

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-damage-'))
  await start()
  for (const name of ['good', ...SPOILED.map(([bad]) => bad), 'alsoGood'])
    expect(
      (await call('POST', '/v1/nodes', { driver: 'fake-hardware', name, driver_info: { ipmi_password: 'p' } })).status,
    ).toBe(201)
  const { uuid } = (await call('GET', '/v1/nodes/good')).body
  for (const [i, name] of ['port', 'spoiled-port'].entries())
    await call('POST', '/v1/ports', { node_uuid: uuid, name, address: `02:00:00:00:00:0${i}` })
  for (const description of ['good', 'spoiled']) await call('POST', '/v1/chassis', { description })
  await conductor.stop()
  const db = new Database(join(dir, 'rackward.db'))
  for (const [name, sql] of SPOILED) expect([name, db.prepare(sql).run(name).changes]).toEqual([name, 1])
  db.exec("UPDATE ports SET body = '{}' WHERE name = 'spoiled-port'")
  db.exec(`UPDATE objects SET body = '{', fields = 'x' WHERE body LIKE '%spoiled%'`)
  db.exec("UPDATE events SET detail = 'x' WHERE seq = 1")
  db.close()
  await start()
})
afterAll(async () => {
  await conductor?.stop()
  await rm(dir, { recursive: true })
})

test('the others are listed, page by page and sorted by anything, counted, and changed', async () => {
  const names = async (query: string) =>
    (await call('GET', `/v1/nodes?${query}`)).body.nodes.map((node: { name: string }) => node.name)
  expect(await names('')).toEqual(['good', 'alsoGood'])
  expect(await names('limit=2')).toEqual(['good', 'alsoGood'])
  expect(await names('sort_key=description&sort_dir=desc')).toEqual(['alsoGood', 'good'])
  expect((await call('GET', '/v1/ports')).body.ports).toHaveLength(1)
  expect((await call('GET', '/v1/chassis?sort_key=description')).body.chassis).toHaveLength(1)
  expect((await call('GET', '/rackward/v1/events?limit=3')).body.events[0].detail).toEqual({ damaged: true })
  expect((await call('PUT', '/v1/nodes/good/states/provision', { target: 'manage' })).status).toBe(202)
})

test('each is named by /readyz, which is ready all the same', async () => {
  const { status, body } = await call('GET', '/readyz')
  expect([status, body.damaged.length, body.damaged.filter((one: string) => one.startsWith('node ')).length]).toEqual([
    200,
    SPOILED.length + 2,
    SPOILED.length,
  ])
})

test.each(SPOILED)(
  'the node %s says what is wrong with it, and an administrator removes it',
  async (name, _sql, why) => {
    for (const path of [`/v1/nodes/${name}`, `/rackward/v1/nodes/${name}/explain`]) {
      const answer = await call('GET', path)
      expect([answer.status, faultOf(answer).faultstring]).toEqual([
        500,
        expect.stringMatching(/stored record of node [0-9a-f-]{36} cannot be read/),
      ])
      expect(faultOf(answer).faultstring).toContain(why)
      expect(faultOf(answer).faultstring).toContain('restore the database from a backup')
    }
    expect((await call('DELETE', `/v1/nodes/${name}`)).status).toBe(204)
    expect((await call('GET', `/v1/nodes/${name}`)).status).toBe(404)
  },
)

test('ports and other objects are removed in the same way', async () => {
  expect((await call('GET', '/v1/ports/spoiled-port')).status).toBe(500)
  expect((await call('DELETE', '/v1/ports/spoiled-port')).status).toBe(204)
  const { damaged } = (await call('GET', '/readyz')).body
  const [, chassis] = String(damaged[0]).split(' ')
  expect((await call('DELETE', `/v1/chassis/${chassis}`)).status).toBe(204)
  expect((await call('GET', '/readyz')).body.damaged).toEqual([])
})
