/** A host whose BMC updates itself: what takes the power from the BMC waits, what does not is used, and the reason is
 *  said. */
import { expect, test } from 'vitest'
import { ClusterState } from '../../host-agent/cluster/state.ts'
import { FENCE_GUARDS, maySendOff } from '../../host-agent/fence/guards.ts'
import { stepIncident } from '../../host-agent/fence/step.ts'
import { KEYS } from '../../host-agent/protocol/records.ts'
import { facts, incident, NOW } from './facts.ts'

const updating = 'the BMC installs new firmware, which takes 10 min at most'
const device = (level: 'L2' | 'L4') => ({ level, lastOffMs: null, fault: undefined, off: false })
const fresh = { lastOffMs: null, stateSinceMs: NOW - 4_000 } as const

test('OFF does not go to the BMC, and the incident says why; once the update is over, it does', () => {
  const confirmed = { ...incident, state: 'confirmed', offs: 0 } as const
  const waits = stepIncident(confirmed, facts({ ...fresh, updating }))
  expect(waits).toMatchObject({ next: { state: 'fencing', offs: 0 }, alert: expect.stringContaining(updating) })
  expect(waits.actions).toBeUndefined()
  expect(stepIncident(incident, facts({ ...fresh, updating })).actions).toEqual([{ do: 'read power' }])
  const late = stepIncident(incident, facts({ ...fresh, updating, stateSinceMs: NOW - 30_000 }))
  expect(late).toMatchObject({ next: { state: 'fence failed' }, alert: expect.stringContaining(updating) })
  expect(stepIncident(incident, facts(fresh)).actions).toEqual([{ do: 'power off', n: 2 }])
})

test('outlets feed the BMC and are left alone; the shared storage is shut at once', () => {
  const devices = [device('L2'), device('L4')]
  const levels = ['L0', 'L1', 'L2', 'L4'] as const
  const fencing = (more: object) => stepIncident(incident, facts({ ...fresh, levels, devices, ...more })).actions
  expect(fencing({ updating })).toEqual([{ do: 'device off', level: 'L4' }])
  expect(fencing({ updating, levels: ['L1', 'L2'] })).toEqual([{ do: 'read power' }])
  expect(fencing({ identity: 'unknown' })).toEqual([{ do: 'device off', level: 'L2' }])
})

test('the watchdog and the word of the BMC prove it all the same', () => {
  const reset = facts({ ...fresh, updating, levels: ['L1', 'L3'], resetByMs: NOW - 1 })
  expect(stepIncident(incident, reset).next).toMatchObject({ state: 'fenced', proof: { level: 'L3' } })
  const off = (agoMs: number, session: number) => ({ atMs: NOW - agoMs, power: 'off' as const, session })
  const dark = facts({ ...fresh, updating, reads: [off(1_500, 1), off(200, 2)] })
  expect(stepIncident({ ...incident, offs: 0 }, dark).next).toMatchObject({ state: 'fenced', proof: { level: 'L0' } })
})

test('an update that is announced between the decision and the command stops it', () => {
  const may = (off: Parameters<typeof maySendOff>[0], guards = FENCE_GUARDS) =>
    maySendOff(off, facts({ updating }), guards)
  expect([may({ do: 'power off' }), may({ do: 'device off', level: 'L2' })]).toEqual([false, false])
  expect(may({ do: 'device off', level: 'L4' })).toBe(true)
  const without = { ...FENCE_GUARDS, undisturbed: () => true }
  expect([may({ do: 'power off' }, without), may({ do: 'device off', level: 'L2' }, without)]).toEqual([true, true])
})

test('an announcement ends by itself, is not prolonged by other changes of the record, and another update counts anew', () => {
  const cluster = new ClusterState()
  const record = (index: number, more: object, nowMs: number) =>
    cluster.takeSnapshot({ index, entries: [{ key: `${KEYS.bmcs}h1`, index, value: { sealed: {}, ...more } }] }, nowMs)
  const update = (id: string) => ({ updating: { id, why: 'flashing', seconds: 600 } })
  record(1, {}, 0)
  expect(cluster.bmcUpdating('h1', 0)).toBeUndefined()
  record(2, update('a'), 1_000)
  expect(cluster.bmcUpdating('h1', 1_000)).toBe('flashing, which takes 10 min at most')
  record(3, { ...update('a'), sealed: { a1: 'AAAA' } }, 500_000)
  expect([cluster.bmcUpdating('h1', 600_999), cluster.bmcUpdating('h1', 601_000)]).toEqual([
    'flashing, which takes 10 min at most',
    undefined,
  ])
  record(4, update('b'), 602_000)
  expect(cluster.bmcUpdating('h1', 900_000)).toBe('flashing, which takes 10 min at most')
  record(5, {}, 910_000)
  expect(cluster.bmcUpdating('h1', 910_000)).toBeUndefined()
})
