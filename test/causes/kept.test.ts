/** A leader names a cause while a failure lasts, and the record names it afterwards: of an incident, and of a failure
 *  that led to none. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { monotonicClock, until } from '../../kit/clock.ts'
import { noDriver } from '../../host-agent/adapters/instances/none.ts'
import { explainAccount, incidentAccount } from '../../host-agent/api/views.ts'
import { FIRST_POLICY, KEYS, parseIncident, type Incident } from '../../host-agent/protocol/records.ts'
import { explainText, incidentText } from '../../cli/mesh-text.ts'
import { MemoryMesh } from '../mesh/memory-world.ts'

let mesh: MemoryMesh
beforeEach(() => {
  mesh = new MemoryMesh(noDriver, ['h1', 'h2', 'h3'])
  mesh.set(KEYS.policy, { ...FIRST_POLICY, armed: true, limits: { leaderAgeMs: 0, fenceShare: 1, fenceCap: 100 } })
  for (const host of ['h1', 'h2', 'h3', 'a1']) mesh.living.add(host)
})
afterEach(() => mesh.stop())

const explain = (host: string) => explainAccount(mesh.core, host, monotonicClock.now())
const codes = (causes: readonly { code: string }[]) => causes.map(({ code }) => code)
const wait = (what: string, isSo: () => boolean) => until(isSo, { what, timeoutMs: 30_000, everyMs: 50 })

test('the incident keeps the cause that was named when it began', async () => {
  await wait('all to be heard', () => explain('h3').last_heard_seconds !== null)
  expect(['h1', 'h2', 'h3'].flatMap((host) => codes(explain(host).causes))).toEqual([])

  mesh.off.add('h1')
  mesh.living.delete('h1')
  await wait('h1 to be evacuated', () => explain('h1').state === 'evacuated')
  expect(codes(explain('h1').causes)).toEqual(['host.power-lost'])
  const [record] = [...mesh.core.cluster.incidents.values()]
  const account = incidentAccount(mesh.core, record?.value as Incident)
  expect(codes(account.causes)).toEqual(['host.power-lost'])
  expect(account.causes[0]?.evidence.join('; ')).toMatch(/its BMC said "off".*no OFF was sent.*got to a1/)
  expect(incidentText(account)).toContain('1. the host has lost its power')
  // A record of the release before has none.
  const old = parseIncident({ ...record?.value, causes: undefined }) as Incident
  expect(incidentAccount(mesh.core, old).causes).toEqual([])
})

test('a failure without an incident has an episode, that ends with it; a question changes nothing', async () => {
  await wait('all to be heard', () => explain('h3').last_heard_seconds !== null)
  mesh.living.delete('h2')
  await wait('a cause', () => codes(explain('h2').causes)[0] === 'host.hangs')
  await wait('an episode', () => explain('h2').troubles.length === 1)
  expect(explain('h2').troubles).toMatchObject([{ to: null, causes: [{ code: 'host.hangs' }] }])
  const { index } = mesh.core.cluster
  for (let i = 0; i < 20; i += 1) explain('h2')
  expect(mesh.core.cluster.index).toBe(index)

  mesh.living.add('h2')
  await wait('its end', () => explain('h2').troubles[0]?.to !== null)
  expect(codes(explain('h2').causes)).toEqual([])
  expect(explainText(explain('h2'))).toMatch(/before that:\n.*the host hangs/)
  expect(mesh.core.cluster.incidents.size).toBe(0)
})
