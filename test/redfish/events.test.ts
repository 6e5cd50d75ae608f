/** Events of a BMC through a whole conductor: what an operator sees of a change, how soon, and what becomes of BMCs
 *  whose events fail. */
import { afterEach, expect, test } from 'vitest'
import { healthText } from '../../cli/health.ts'
import { EVENT_SERVICE, SSE } from './families/events.ts'
import type { FaultName } from './faults.ts'
import { Rig } from './rig.ts'

/** Two polls come ten minutes apart in these tests, so that whatever is seen sooner came by an event. */
const PASS_ALONE = { powerSync: { everySeconds: 600 } }
const PUSH = { bmc: { events: { push: { address: '127.0.0.1', port: 0 } } } }

let rig: Rig
afterEach(() => rig.close())

async function open(faults: readonly FaultName[] = [], config: Readonly<Record<string, unknown>> = {}): Promise<void> {
  rig = await Rig.open({ faults, config: { ...PASS_ALONE, ...config } })
  await rig.poll()
}

interface Shown {
  way: string
  missed: number
  reason: string | null
  last_event_at: string | null
}
const shown = async () => (await rig.api('GET', '/rackward/v1/nodes/r1/health')).body.events as Shown | null
const way = (wanted: string) => rig.until(`events by ${wanted}`, async () => (await shown())?.way === wanted)
const power = (wanted: string) => rig.until(wanted, async () => (await rig.node()).power_state === wanted)
const explained = async () => {
  const { seen } = (await rig.api('GET', '/rackward/v1/nodes/r1/explain')).body as {
    seen: { what: string; detail: string }[]
  }
  return seen
    .map(({ what, detail }) => `${what} (${detail})`)
    .find((line) => line.includes('events') || line.includes('announces'))
}
const reads = () => rig.bmc.heard.filter(({ method, path }) => method === 'GET' && path === rig.bmc.systemPath).length

test('an event is followed by a read: power and health are known without a poll', async () => {
  await open()
  await way('stream')
  await rig.bmc.machine.start()
  await power('power on')
  rig.bmc.rules.push({
    path: '{system}',
    method: 'GET',
    change: (answer) => ({ ...answer, body: { ...(answer.body as object), Status: { Health: 'Critical' } } }),
  })
  rig.bmc.families.events.announce('ResourceEvent.1.3.ResourceStatusChangedCritical')
  await rig.until('the health', async () => (await rig.node()).health === 'Critical')
  expect(await shown()).toMatchObject({ way: 'stream', missed: 0, reason: null, last_event_at: expect.any(String) })
  expect(await explained()).toMatch(/^its BMC announces changes by its event stream \(last event/)
  const { body } = await rig.api('GET', '/rackward/v1/nodes/r1/health')
  expect(healthText(body as never)).toMatch(/events +by event stream since .*; last /)
})

test('what an event says is never used: one that lies changes nothing', async () => {
  await open()
  await way('stream')
  const before = reads()
  rig.bmc.families.events.announce('ResourceEvent.1.3.ResourcePoweredOn')
  await rig.until('the read that it causes', async () => reads() > before)
  expect((await rig.node()).power_state).toBe('power off')
})

test('events that are not delivered: the poll finds the change, the stream is opened anew, and the operator is told', async () => {
  await open(['events are not delivered'])
  await way('stream')
  await rig.until('a missed change', async () => {
    const to = rig.bmc.system.power === 'On' ? 'Off' : 'On'
    rig.bmc.system.power = to
    await rig.poll()
    return ((await shown())?.missed ?? 0) > 0 && power(to === 'On' ? 'power on' : 'power off')
  })
  await rig.until('a second stream', async () => rig.bmc.heard.filter(({ path }) => path === SSE).length >= 2)
  expect(await explained()).toMatch(/found by the poll alone/)
  expect(await rig.metric('rackward_bmc_events_missed_total')).toBeGreaterThan(0)
})

test('a stream that answers with its first event alone holds up no operator', async () => {
  await open(['the event stream answers with its first event alone'])
  await rig.until('the request for the stream', async () => rig.bmc.heard.some(({ path }) => path === SSE))
  await rig.api('PUT', '/v1/nodes/r1/states/power', { target: 'power on' })
  await power('power on')
})

test('without events, or with none that can be had, the poll alone watches, and says why', async () => {
  await open(['there are no events'])
  await rig.until('the reason', async () => (await shown())?.reason === 'the BMC offers no events')
  expect(await explained()).toBe('no events of its BMC: the poll alone finds changes (the BMC offers no events)')
  expect(await rig.metric('rackward_bmc_event_sources{way="poll"}')).toBe(1)
  await rig.bmc.machine.start()
  await rig.poll()
  expect((await rig.node()).power_state).toBe('power on')
})

test('subscriptions: nothing is subscribed to unless BMCs can reach the conductor', async () => {
  await open(['events come by subscription alone'])
  await rig.until('the reason', async () => (await shown())?.reason?.includes('bmc.events.push is not configured'))
  expect(rig.bmc.families.events.subscriptions.size).toBe(0)
})

test('a subscription brings changes; one of our own that was left is deleted, another’s is not; it ends with the node', async () => {
  rig = await Rig.open({
    faults: ['events come by subscription alone', 'subscriptions need event types'],
    config: { ...PASS_ALONE, ...PUSH },
  })
  const { subscriptions } = rig.bmc.families.events
  const { uuid } = await rig.node()
  subscriptions.set('mine', {
    Destination: 'https://192.0.2.9/old',
    Context: `rackward ${String(uuid)}`,
    state: 'Enabled',
  })
  subscriptions.set('theirs', { Destination: 'https://192.0.2.9/x', Context: 'metal3', state: 'Enabled' })
  await rig.poll()
  await way('push')
  const kept = [...subscriptions.values()].map(({ Context }) => Context)
  expect([...subscriptions.keys()].includes('mine')).toBe(false)
  expect(kept.sort()).toEqual(['metal3', `rackward ${String(uuid)}`])
  await rig.bmc.machine.start()
  await power('power on')

  const destination = [...subscriptions.values()].find(({ Context }) => Context !== 'metal3')?.Destination
  expect(destination).toMatch(/^https:\/\/127\.0\.0\.1:\d+\/bmc-events\/[0-9a-f-]{36}\/[0-9a-f]{64}$/)
  await rig.api('PUT', '/v1/nodes/r1/maintenance', { reason: 'removal' })
  expect((await rig.api('DELETE', '/v1/nodes/r1')).status).toBe(204)
  await rig.until('the deletion', async () => subscriptions.size === 1)
  expect([...subscriptions.keys()]).toEqual(['theirs'])
})

test('streams are bounded: one more node is watched by the poll alone', async () => {
  await open([], { limits: { bmc: { eventStreams: 1 } } })
  await way('stream')
  const other = await Rig.open({ config: PASS_ALONE })
  try {
    await rig.api('POST', '/v1/nodes', { name: 'r2', driver: 'redfish', driver_info: other.bmc.driverInfo() })
    await rig.api('PUT', '/v1/nodes/r2/states/provision', { target: 'manage' })
    await rig.until('r2', async () => (await rig.api('GET', '/v1/nodes/r2')).body.provision_state === 'manageable')
    await rig.poll()
    await rig.until('the reason', async () => {
      const { events } = (await rig.api('GET', '/rackward/v1/nodes/r2/health')).body as { events: Shown | null }
      return events?.way === 'poll' && events.reason === 'limits.bmc.eventStreams is reached'
    })
  } finally {
    await other.close()
  }
  expect(rig.bmc.heard.some(({ path }) => path === EVENT_SERVICE)).toBe(true)
})
