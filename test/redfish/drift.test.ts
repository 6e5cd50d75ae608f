/** Drift: what somebody changes at a server after a step of Rackward is an event, once, and shown until it is as it was
 *  applied. */
import { afterEach, expect, test } from 'vitest'
import { accountText } from '../../cli/explain.ts'
import { biosDrift, firmwareDrift, newDrift } from '../../conductor/node/policy/drift.ts'
import { Rig } from './rig.ts'

let rig: Rig | undefined
afterEach(async () => {
  await rig?.close()
  rig = undefined
})

const step = (settings: Readonly<Record<string, unknown>>) => [
  {
    interface: 'bios',
    step: 'apply_configuration',
    args: { settings: Object.entries(settings).map(([name, value]) => ({ name, value })) },
  },
]

test('a BIOS setting that is changed at the server: one event for each change, a metric, and a line in explain; ordered again, it is as applied', async () => {
  const own = await Rig.open({ config: { sensors: { everySeconds: 0.3 }, powerSync: { everySeconds: 0 } } })
  rig = own
  const { bmc, api } = own
  const reads = () => bmc.heard.filter(({ method, path }) => method === 'GET' && path.endsWith('/Bios')).length
  const pass = async () => {
    const before = reads()
    await own.until('two more looks', async () => reads() >= before + 2)
  }
  const events = async () => {
    const { body } = await api('GET', '/rackward/v1/events?kinds=drift')
    return (body.events as { detail: unknown }[]).map(({ detail }) => detail)
  }
  const drift = async () => (await api('GET', '/rackward/v1/nodes/r1/explain')).body.drift as unknown[]

  // AssetTag holds already, and counts as applied all the same.
  expect(await own.cleaned(step({ ProcCores: 16, AssetTag: '' }))).toMatchObject({ provision_state: 'manageable' })
  bmc.families.bios.current.LogicalProc = 'Disabled'
  await pass()
  expect([await events(), await drift()]).toEqual([[], []])

  bmc.families.bios.current.ProcCores = 8
  await own.until('the event', async () => (await events()).length > 0)
  await pass()
  const changed = { what: 'bios', name: 'ProcCores', applied: '16', now: '8' }
  expect(await events()).toEqual([changed])
  expect(await drift()).toEqual([{ ...changed, since: expect.any(String) }])
  expect(await own.metric('rackward_drifted_nodes{what="bios"}')).toBe(1)
  const { body } = await api('GET', '/rackward/v1/nodes/r1/explain')
  expect(accountText(body as never)).toMatch(/drift +BIOS setting ProcCores is 8; 16 was applied \(since /)

  bmc.families.bios.current.AssetTag = 'stolen'
  await own.until('the second event', async () => (await events()).length > 1)
  expect(await events()).toEqual([changed, { what: 'bios', name: 'AssetTag', applied: '', now: 'stolen' }])

  // What is there now is wanted from now on; the other is ordered again.
  await own.cleaned(step({ ProcCores: 8, AssetTag: '' }))
  expect(await drift()).toEqual([])
  await own.until('the metric', async () => (await own.metric('rackward_drifted_nodes{what="bios"}')) === 0)
})

test('firmware: another version than the one that was installed drifts; one that is not shown now does not', () => {
  const known = { updatedAtMs: 5, component: 'bios', lastVersionFlashed: '2.2.0' }
  expect(firmwareDrift([{ ...known, currentVersion: '2.2.0' }])).toEqual([])
  expect(firmwareDrift([{ ...known, currentVersion: null }])).toEqual([])
  expect(firmwareDrift([{ ...known, lastVersionFlashed: null, currentVersion: '2.1.0' }])).toEqual([])
  expect(firmwareDrift([{ ...known, currentVersion: '2.1.0' }])).toEqual([
    { what: 'firmware', name: 'bios', applied: '2.2.0', now: '2.1.0', sinceMs: 5 },
  ])
})

test('a change of what has drifted already is another event', () => {
  const at = (value: string) => biosDrift([{ name: 'A', value, applied: '1', updatedAtMs: null }])
  expect(newDrift(at('1'), at('2'))).toHaveLength(1)
  expect(newDrift(at('2'), at('2'))).toEqual([])
  expect(newDrift(at('2'), at('3'))).toHaveLength(1)
  expect(newDrift(at('2'), at('1'))).toEqual([])
})
