/** Events of BMCs that fail in ways which take their time: a subscription that is lost, a stream that is never
 *  given. */
import { afterEach, expect, test } from 'vitest'
import { SSE, SUBSCRIPTIONS } from '../families/events.ts'
import type { FaultName } from '../faults.ts'
import { Rig } from '../rig.ts'

const CONFIG = { powerSync: { everySeconds: 600 }, bmc: { events: { push: { address: '127.0.0.1', port: 0 } } } }

let rig: Rig
afterEach(() => rig.close())

async function open(faults: readonly FaultName[]): Promise<void> {
  rig = await Rig.open({ faults, config: CONFIG })
  await rig.poll()
}
const shown = async () =>
  (await rig.api('GET', '/rackward/v1/nodes/r1/health')).body.events as {
    way: string
    missed: number
    reason: string | null
  } | null
const power = (wanted: string) => rig.until(wanted, async () => (await rig.node()).power_state === wanted)
const way = (wanted: string) => rig.until(`events by ${wanted}`, async () => (await shown())?.way === wanted)

test('a restart of the BMC that forgets the subscription: it is made anew, and the change is not lost', async () => {
  await open(['events come by subscription alone', 'a restart of the BMC forgets subscriptions'])
  await way('push')
  const { subscriptions } = rig.bmc.families.events
  await rig.bmc.restart()
  expect(subscriptions.size).toBe(0)
  rig.bmc.system.power = 'On'
  await rig.poll()
  expect((await rig.node()).power_state).toBe('power on')
  await rig.until('the new subscription', async () => subscriptions.size === 1)
  await rig.until('the count', async () => (await shown())?.missed === 1)
})

test('a stream that is always refused: the subscription is taken where there is one', async () => {
  await open(['the event stream is refused'])
  await way('push')
  expect(rig.bmc.heard.filter(({ path }) => path === SSE).length).toBe(3)
})

test('another driver_info: its subscription is deleted at the old BMC and made at the new one', async () => {
  await open(['events come by subscription alone'])
  await way('push')
  const { subscriptions } = rig.bmc.families.events
  const [before] = [...subscriptions.keys()]
  const patch = [{ op: 'add', path: '/driver_info/redfish_auth_type', value: 'basic' }]
  expect((await rig.api('PATCH', '/v1/nodes/r1', patch)).status).toBe(200)
  await rig.poll()
  await rig.until('another subscription', async () => subscriptions.size === 1 && !subscriptions.has(String(before)))
})

test('a full table of subscriptions is named, and not asked again and again', async () => {
  await open(['events come by subscription alone', 'the table of subscriptions is full'])
  await rig.until('the reason', async () => (await shown())?.reason?.startsWith('bmc.subscriptions'))
  const posts = () => rig.bmc.heard.filter(({ method, path }) => method === 'POST' && path === SUBSCRIPTIONS).length
  const before = posts()
  await rig.poll()
  await rig.poll()
  expect(posts()).toBe(before)
})

test('a stream that the BMC closes is opened again, and what changed meanwhile is read', async () => {
  await open(['events have no ids, and times of another form'])
  await way('stream')
  await rig.bmc.restart()
  rig.bmc.system.power = 'On'
  await power('power on')
  await way('stream')
  await rig.bmc.machine.stop()
  await power('power off')
})
