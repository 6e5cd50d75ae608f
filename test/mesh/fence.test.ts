/** Single steps of an incident that no scenario reaches at will. */
import { expect, test } from 'vitest'
import { FENCE_GUARDS, livesAfterOff, type Facts } from '../../host-agent/fence/guards.ts'
import { stepIncident } from '../../host-agent/fence/step.ts'
import type { Incident } from '../../host-agent/fence/states.ts'

const NOW = 100_000
const incident: Incident = {
  id: 'h1.1.1',
  host: 'h1',
  bootId: 'b1',
  state: 'fencing',
  epoch: 1,
  cause: 'silent',
  why: 'silent',
  offs: 1,
  proof: null,
  attested: null,
  listed: false,
  returnedBoot: null,
  lines: [],
}
const facts = (more: Partial<Facts>): Facts => ({
  nowMs: NOW,
  at: '',
  epoch: 1,
  leaseLeftMs: 9_000,
  quiesced: true,
  veto: null,
  confirmed: true,
  halted: null,
  reads: [],
  identity: 'match',
  outstanding: 0,
  lastOffMs: NOW - 3_000,
  stateSinceMs: NOW - 3_000,
  levels: ['L0', 'L1'],
  resetByMs: null,
  lifeAtMs: null,
  newBoot: null,
  instances: { listed: false, open: 0 },
  readmitted: false,
  gated: true,
  ...more,
})
const off = (agoMs: number, session: number) => ({ atMs: NOW - agoMs, power: 'off' as const, session })
const twoOffs = [off(1_500, 1), off(200, 2)]

test('a host that was heard while its power went says nothing against its BMC: the proof only waits until that sign is old', () => {
  const heardBefore = facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 1_600 })
  expect(stepIncident(incident, heardBefore).next).toBeUndefined()
  expect(stepIncident(incident, facts({ reads: twoOffs })).next).toMatchObject({ state: 'fenced', proof: { level: 'L1' } })
})

test('a host that is heard after its BMC said "off" is not fenced, and its BMC is not believed', () => {
  const heardAfter = facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 100 })
  expect(livesAfterOff(heardAfter)).toBe(true)
  expect(stepIncident(incident, heardAfter).next).toMatchObject({ state: 'fence failed' })
  expect(stepIncident(incident, heardAfter).next?.lines.at(-1)?.says).toMatch(/another machine/)
})

test('a host that is heard and whose BMC never said "off" fails its fence when the command is over', () => {
  const still = { veto: 'hard' as const, lifeAtMs: NOW - 6_000, lastOffMs: NOW - 6_000 }
  expect(stepIncident(incident, facts({ ...still, reads: [{ atMs: NOW - 500, power: 'on', session: 1 }] })).next).toMatchObject({ state: 'fence failed' })
  expect(stepIncident(incident, facts({ ...still, lastOffMs: NOW - 3_000 })).next).toBeUndefined()
})

test('no proof while a sign of life is fresh', () => {
  expect(FENCE_GUARDS.lifeless(facts({ veto: 'hard' }))).toBe(false)
  expect(stepIncident({ ...incident, state: 'fence failed' }, facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 1_600 })).next).toBeUndefined()
})
