/** The vendor methods of the Redfish drivers, as Ironic has them: event subscriptions of users, and ejection. */
import { afterAll, beforeAll, expect, test } from 'vitest'
import { SUBSCRIPTIONS } from './families/events.ts'
import { Rig } from './rig.ts'

let rig: Rig
beforeAll(async () => {
  rig = await Rig.open()
})
afterAll(() => rig?.close())
const pass = (http: string, method: string, body: object = {}) =>
  rig.api(http, `/v1/nodes/r1/vendor_passthru?method=${method}`, body)
const TO = 'https://192.0.2.9:8443/events?token=receiver-secret'

test('the methods are told as they are', async () => {
  const { body } = await rig.api('GET', '/v1/nodes/r1/vendor_passthru/methods')
  const seen = Object.entries(body as Record<string, { http_methods: string[]; async: boolean; attach: boolean }>)
  expect(seen.map(([name, { http_methods, async, attach }]) => [name, ...http_methods, async, attach])).toEqual([
    ['create_subscription', 'POST', false, false],
    ['delete_subscription', 'DELETE', false, false],
    ['get_all_subscriptions', 'GET', false, false],
    ['get_subscription', 'GET', false, false],
    ['eject_vmedia', 'POST', true, false],
  ])
  for (const [name, { http_methods: [http] = [] }] of seen)
    expect((await pass(http === 'POST' ? 'DELETE' : 'POST', name)).status).toBe(400)
  expect((await pass('POST', 'send_raw', { raw_bytes: '0x06 0x01' })).status).toBe(400)
  expect(await rig.node()).toMatchObject({ vendor_interface: 'redfish' })
})

test('a subscription is made, listed, shown and deleted; its address is in no record', async () => {
  const wanted = { Destination: TO, Context: 'mine', HttpHeaders: [{ 'X-Token': 'header-secret' }] }
  const made = await pass('POST', 'create_subscription', wanted)
  const view = { Id: made.body.Id, Context: 'mine', Protocol: 'Redfish', Destination: TO, EventTypes: ['Alert'] }
  expect([made.status, made.body]).toEqual([200, view])
  expect(rig.bmc.families.events.subscriptions.get(made.body.Id)?.headers).toEqual([{ 'X-Token': 'header-secret' }])

  const path = `${SUBSCRIPTIONS}/${made.body.Id}`
  const all = await pass('GET', 'get_all_subscriptions')
  expect([all.status, all.body.Members]).toEqual([200, [{ '@odata.id': path }]])
  const one = await pass('GET', 'get_subscription', { id: made.body.Id })
  expect([one.status, one.body]).toEqual([200, view])

  const gone = await pass('DELETE', 'delete_subscription', { id: made.body.Id })
  expect([gone.status, gone.body]).toEqual([200, null])
  expect(rig.bmc.families.events.subscriptions.size).toBe(0)
  const events = JSON.stringify((await rig.api('GET', '/rackward/v1/events?kinds=bmc-act')).body)
  expect(events).toContain('192.0.2.9:8443')
  expect(events).not.toMatch(/secret/)
})

test.each([
  ['no destination', 'POST', 'create_subscription', {}, 400],
  ['a destination without a host', 'POST', 'create_subscription', { Destination: '/events' }, 400],
  ['a context that is no text', 'POST', 'create_subscription', { Destination: TO, Context: 7 }, 400],
  ['headers that are no list', 'POST', 'create_subscription', { Destination: TO, HttpHeaders: { a: 'b' } }, 400],
  ['an unknown argument', 'POST', 'create_subscription', { Destination: TO, Oem: {} }, 400],
  ['no id', 'DELETE', 'delete_subscription', {}, 400],
  ['an id that nobody has', 'DELETE', 'delete_subscription', { id: '99' }, 404],
  ['an id that is a path', 'GET', 'get_subscription', { id: '../../Systems/1' }, 404],
  ['a drive that nobody has', 'POST', 'eject_vmedia', { boot_device: 'tape' }, 400],
])('%s is refused, and nothing is made', async (_, http, method, body, status) => {
  expect((await pass(http, method, body)).status).toBe(status)
  expect(rig.bmc.families.events.subscriptions.size).toBe(0)
})

test('a BMC without event types gets none; one with a list refuses others', async () => {
  const { rules, families } = rig.bmc
  rules.push({
    method: 'POST',
    path: SUBSCRIPTIONS,
    when: ({ body }) => body.EventTypes !== undefined,
    refuse: { status: 400, id: 'PropertyUnknown', args: ['EventTypes'] },
  })
  const made = await pass('POST', 'create_subscription', { Destination: TO })
  expect(made.status).toBe(200)
  expect([...families.events.subscriptions.values()]).toMatchObject([{ Destination: TO }])
  expect((await pass('POST', 'create_subscription', { Destination: TO, EventTypes: ['Alert'] })).status).toBe(500)
  rules.length = 0
  rules.push({
    method: 'GET',
    path: '/redfish/v1/EventService',
    change: ({ body, ...rest }) => ({ ...rest, body: { ...(body as object), EventTypesForSubscription: ['Alert'] } }),
  })
  expect((await pass('POST', 'create_subscription', { Destination: TO, EventTypes: ['Other'] })).status).toBe(400)
  rules.length = 0
  families.events.subscriptions.clear()
})

test('the address of a subscription of Rackward itself is shown to nobody', async () => {
  const context = 'rackward 30313233-3435-4637-b839-414243444546'
  rig.bmc.families.events.subscriptions.set('7', { Destination: TO, Context: context, state: 'Enabled' })
  expect((await pass('GET', 'get_subscription', { id: '7' })).body).toMatchObject({ Id: '7', Destination: '******' })
  rig.bmc.families.events.subscriptions.clear()
})

test('eject_vmedia empties the drives, by kind or all', async () => {
  const { media } = rig.bmc.families
  const inside = () => [...media.drives.values()].map(({ image }) => image !== null)
  for (const name of media.drives.keys()) media.put(name, 'http://192.0.2.1/x.iso')
  expect((await pass('POST', 'eject_vmedia', { boot_device: 'DVD' })).status).toBe(202)
  expect(inside()).toEqual([false, true])
  expect((await pass('POST', 'eject_vmedia')).status).toBe(202)
  expect(inside()).toEqual([false, false])
  // Nothing to eject is no fault.
  expect((await pass('POST', 'eject_vmedia')).status).toBe(202)
})
