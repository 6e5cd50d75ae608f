/** A project that leases a node, and one that leased it before, against its owner and the others: what it learns, what
 *  it keeps, and what it breaks. */
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import WebSocket from 'ws'
import { until } from '../../kit/clock.ts'
import { basic, Victim } from './victim.ts'

const USERS = {
  root: { role: 'admin' },
  red: { role: 'admin', project: 'red' },
  blue: { role: 'operator', project: 'blue' },
  green: { role: 'operator', project: 'green' },
  'blue-admin': { role: 'admin', project: 'blue' },
} as const
const BMC = '127.99.98.94'

let victim: Victim
let dir = ''
const as = (user: keyof typeof USERS) => (method: string, path: string, body?: unknown) =>
  victim.call(method, path, body, { user })
const [root, red, blue, green, blueAdmin] = [as('root'), as('red'), as('blue'), as('green'), as('blue-admin')]
const lease = async (node: string, lessee: string | null) =>
  expect((await red('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/lessee', value: lessee }])).status).toBe(200)
const state = async (node: string) => String((await root('GET', `/v1/nodes/${node}`)).body.provision_state)
const reach = (node: string, wanted: string) =>
  until(async () => (await state(node)) === wanted, { what: `${node} to be ${wanted}`, timeoutMs: 20_000 })
async function activeNode(name: string): Promise<void> {
  const made = await red('POST', '/v1/nodes', { driver: 'fake-hardware', name, resource_class: 'small' })
  expect(made.status).toBe(201)
  for (const [target, wanted] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
    ['active', 'active'],
  ] as const) {
    await red('PUT', `/v1/nodes/${name}/states/provision`, { target })
    await reach(name, wanted)
  }
}

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-lessee-'))
  await writeFile(join(dir, 'ipmitool'), '#!/bin/sh\nexit 1\n', { mode: 0o755 })
  victim = await Victim.start({
    users: USERS,
    env: { PATH: `${dir}:${process.env.PATH}` },
    config: { bmc: { ipmiClient: 'ipmitool' } },
  })
}, 60_000)
afterAll(async () => {
  await victim?.remove()
  await rm(dir, { recursive: true })
})

describe('what happened before', () => {
  const told = async (user: typeof blue, node: string) => {
    const answers = [
      await user('GET', '/rackward/v1/events?after=0&limit=1000'),
      await user('GET', `/rackward/v1/events?after=0&limit=1000&node=${node}`),
      await user('GET', `/v1/nodes/${node}/history?detail=true`),
    ]
    expect(answers.map(({ status }) => status)).toEqual([200, 200, 200])
    return answers.map(({ body }) => JSON.stringify(body))
  }
  /** An event with these words. */
  const note = async (user: typeof red, node: string, reason: string) => {
    expect((await user('PUT', `/v1/nodes/${node}/maintenance`, { reason })).status).toBe(202)
    expect((await user('DELETE', `/v1/nodes/${node}/maintenance`)).status).toBe(202)
  }

  test('a lessee sees events of its own time, and neither those of its owner before nor those of another lessee', async () => {
    expect((await red('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'leased' })).status).toBe(201)
    await note(red, 'leased', 'words of the owner')
    await lease('leased', 'green')
    await note(red, 'leased', 'words of the time of green')
    const [entry] = (await green('GET', '/v1/nodes/leased/history?detail=true')).body.history as { uuid: string }[]
    await lease('leased', 'blue')
    await note(red, 'leased', 'words of the time of blue')
    for (const text of await told(blue, 'leased')) {
      expect(text).toContain('time of blue')
      expect(text).not.toMatch(/words of the owner|time of green/)
    }
    // Nor one by one, whoever tells its name.
    expect((await blue('GET', `/v1/nodes/leased/history/${entry?.uuid}`)).status).toBe(404)
    for (const text of await told(red, 'leased')) expect(text).toMatch(/words of the owner.*|time of green/)
  })

  test('a new owner sees events from then on', async () => {
    expect((await red('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'sold' })).status).toBe(201)
    await note(red, 'sold', 'words of the seller')
    await root('PATCH', '/v1/nodes/sold', [{ op: 'add', path: '/owner', value: 'blue' }])
    await note(blueAdmin, 'sold', 'words of the buyer')
    for (const text of await told(blue, 'sold')) {
      expect(text).toContain('the buyer')
      expect(text).not.toContain('the seller')
    }
  })

  test('who enrolls a node with the UUID of one that is gone does not inherit what happened to that one', async () => {
    const uuid = randomUUID()
    expect((await red('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'gone', uuid })).status).toBe(201)
    await note(red, 'gone', 'words of before')
    expect((await red('DELETE', '/v1/nodes/gone')).status).toBe(204)
    expect((await blueAdmin('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'heir', uuid })).status).toBe(201)
    await note(blueAdmin, 'heir', 'words of the heir')
    for (const text of await told(blue, 'heir')) {
      expect(text).toContain('the heir')
      expect(text).not.toMatch(/words of before|gone/)
    }
    // An administrator of all projects still finds what happened to either.
    expect(JSON.stringify((await root('GET', `/rackward/v1/events?after=0&limit=1000&node=${uuid}`)).body)).toMatch(
      /words of before/,
    )
  })
})

test('the inventory that a lessee is shown leaves out the BMC, under whatever name it stands there', async () => {
  const driver_info = { ipmi_address: BMC, ipmi_username: 'bmc-operator', ipmi_password: 'x' }
  const made = await red('POST', '/v1/nodes', { driver: 'ipmi', name: 'found', lessee: 'blue', driver_info })
  expect(made.status).toBe(201)
  // As an agent of Ironic reports it.
  const inventory = {
    inventory: {
      bmc_address: BMC,
      bmc_v6address: '::/0',
      bmc_mac: '52:54:00:00:00:01',
      cpu: { count: 4 },
      hostname: `h-${BMC}`,
    },
    plugin_data: { ipmi: { lan: BMC }, lldp: [{ text: `managed by ${BMC}` }] },
  }
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  db.prepare('INSERT INTO inventories (node_uuid, body) VALUES (?, ?)').run(made.body.uuid, JSON.stringify(inventory))
  db.close()
  const shown = JSON.stringify((await blue('GET', '/v1/nodes/found/inventory')).body)
  expect(shown).toContain('"count":4')
  expect(shown).not.toMatch(/127\.99|bmc_|52:54|ipmi/)
  expect((await red('GET', '/v1/nodes/found/inventory')).body).toEqual(inventory)
})

test('what is read of the BIOS and the firmware names neither the BMC nor its user to a lessee, in lists and in explain', async () => {
  const driver_info = { ipmi_address: '127.99.98.91', ipmi_username: 'bmc-operator', ipmi_password: 'x' }
  const made = await red('POST', '/v1/nodes', { driver: 'ipmi', name: 'drifted', lessee: 'blue', driver_info })
  expect(made.status).toBe(201)
  const kept = { type: 'String', readOnly: false, resetRequired: null, unique: null, values: null, byDefault: null }
  const bios = {
    readAtMs: 1,
    settings: [
      ['BmcAddress', '127.99.98.91', '127.99.98.90'],
      ['BmcUser', 'bmc-operator', 'nobody-at-all'],
    ].map(([name, value, applied]) => ({ ...kept, name, value, applied, createdAtMs: 1, updatedAtMs: 1 })),
  }
  const component = { initialVersion: null, createdAtMs: 1, updatedAtMs: 1, lastVersionFlashed: '1.0' }
  const firmware = { readAtMs: 1, components: [{ ...component, component: 'bmc', currentVersion: 'of 127.99.98.91' }] }
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  for (const [kind, body] of Object.entries({ bios, firmware }))
    db.prepare('INSERT INTO hardware_documents (node_uuid, kind, body) VALUES (?, ?, ?)').run(
      made.body.uuid,
      kind,
      JSON.stringify(body),
    )
  db.close()

  const paths = ['/rackward/v1/nodes/drifted/explain', '/v1/nodes/drifted/bios', '/v1/nodes/drifted/bios/BmcUser']
  for (const path of [...paths, '/v1/nodes/drifted/firmware']) {
    const [shown, whole] = await Promise.all([blue, red].map((user) => user('GET', path)))
    expect([path, shown?.status, whole?.status]).toEqual([path, 200, 200])
    const text = JSON.stringify(shown?.body)
    expect(text).toMatch(/BmcUser|"component":"bmc"/)
    expect(text).not.toMatch(/127\.99\.98\.91|bmc-operator/)
    expect(JSON.stringify(whole?.body)).toMatch(/127\.99\.98\.91|bmc-operator/)
  }
})

test('an event of a card that moved names its switches to the owner, and not to a lessee', async () => {
  const made = await red('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'moved', lessee: 'blue' })
  expect(made.status).toBe(201)
  const detail = { mac: '52:54:00:00:77:01', from: 'Eth1/7 of tor-12', to: 'Eth1/8 of tor-13' }
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  db.prepare("INSERT INTO events (at, node_uuid, kind, detail) VALUES (?, ?, 'switch-port', ?)").run(
    Date.now(),
    made.body.uuid,
    JSON.stringify(detail),
  )
  db.close()

  const told = async (user: typeof blue) => {
    const { status, body } = await user('GET', '/rackward/v1/events?after=0&limit=1000&node=moved&kinds=switch-port')
    expect(status).toBe(200)
    return (body.events as { detail: unknown }[]).map((event) => event.detail)
  }
  expect(await told(red)).toEqual([detail])
  expect(await told(blue)).toEqual([{ mac: detail.mac }])
})

test('why a node is in maintenance names its BMC to the owner, and not to a lessee whose verb it refuses', async () => {
  await activeNode('kept')
  await lease('kept', 'blue')
  expect((await red('PUT', '/v1/nodes/kept/maintenance', { reason: `a fan; BMC ${BMC} is slow` })).status).toBe(202)
  const ask = async (user: typeof blue) => {
    const refused = await user('PUT', '/v1/nodes/kept/states/provision', { target: 'rebuild' })
    expect(refused.status).toBe(400)
    return [refused, await user('GET', '/rackward/v1/nodes/kept/acts')].map(({ body }) => JSON.stringify(body))
  }
  for (const text of await ask(blue)) {
    expect(text).toContain('a fan; the BMC is slow')
    expect(text).not.toContain(BMC)
  }
  for (const text of await ask(red)) expect(text).toContain(BMC)
})

describe('allocations', () => {
  beforeAll(() => activeNode('held'))

  test('a lessee makes none for a node that it does not own; the owner does', async () => {
    await lease('held', 'blue')
    expect((await blue('POST', '/v1/allocations', { node: 'held' })).status).toBe(403)
    expect((await red('GET', '/v1/nodes/held')).body.instance_uuid).toBeNull()
    expect((await red('POST', '/v1/allocations', { node: 'held' })).status).toBe(201)
  })

  test('the owner of a node sees and releases whatever allocation holds it', async () => {
    await root('PATCH', '/v1/nodes/held', [{ op: 'add', path: '/owner', value: 'green' }])
    const { status, body } = await green('GET', '/v1/nodes/held/allocation')
    expect([status, body.owner]).toEqual([200, 'red'])
    await green('PUT', '/v1/nodes/held/maintenance', { reason: 'to release it' })
    expect((await green('DELETE', '/v1/nodes/held/allocation')).status).toBe(204)
    expect((await green('GET', '/v1/nodes/held')).body.allocation_uuid).toBeNull()
  })
})

test('a console ends with the lease of its node, and what is typed into it then reaches nobody', async () => {
  expect((await red('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'console', lessee: 'blue' })).status).toBe(
    201,
  )
  const open = async (user: string) => {
    const ws = new WebSocket(`${victim.base.replace('http', 'ws')}/rackward/v1/nodes/console/console`, {
      headers: { authorization: basic(user) },
    })
    await once(ws, 'open')
    return ws
  }
  const [tenant, owner] = await Promise.all([open('blue'), open('red')])
  const closed = once(tenant, 'close')
  // A change that is not about the lease ends nothing.
  await red('PATCH', '/v1/nodes/console', [{ op: 'add', path: '/extra/x', value: 1 }])
  expect(tenant.readyState).toBe(WebSocket.OPEN)
  await lease('console', 'green')
  const [code] = (await closed) as [number]
  expect(code).toBe(1008)
  expect(owner.readyState).toBe(WebSocket.OPEN)
  const answered = once(owner, 'message')
  owner.send('still mine')
  await answered
  owner.close()
  await once(owner, 'close')
})

test.each(['.', '..'])('no node and no other thing is called %j, which clients cut out of paths', async (name) => {
  expect((await red('POST', '/v1/nodes', { driver: 'fake-hardware', name })).status).toBe(400)
  expect((await red('POST', '/v1/allocations', { name, resource_class: 'x' })).status).toBe(400)
})
