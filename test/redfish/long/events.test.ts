/** Events of BMCs that fail in ways which take their time: a subscription that is lost, a stream that is never given. */
import { afterEach, expect, test } from 'vitest'
import { SSE } from '../families/events.ts'
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
  (await rig.api('GET', '/rackward/v1/nodes/r1/health')).body.events as { way: string; missed: number } | null
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
