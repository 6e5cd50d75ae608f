/** Single steps of an incident that no scenario reaches at will. */
import { expect, test } from 'vitest'
import { FENCE_GUARDS, livesAfterOff } from '../../host-agent/fence/guards.ts'
import { stepIncident } from '../../host-agent/fence/step.ts'
import { openIncident } from '../../host-agent/fence/open.ts'
import { parseIncident, type Incident } from '../../host-agent/protocol/records.ts'
import { facts, incident, NOW } from './facts.ts'

const off = (agoMs: number, session: number) => ({ atMs: NOW - agoMs, power: 'off' as const, session })
const twoOffs = [off(1_500, 1), off(200, 2)]

test('a host that was heard while its power went says nothing against its BMC: the proof only waits until that sign is old', () => {
  const heardBefore = facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 1_600 })
  expect(stepIncident(incident, heardBefore).next).toBeUndefined()
  expect(stepIncident(incident, facts({ reads: twoOffs })).next).toMatchObject({
    state: 'fenced',
    proof: { level: 'L1' },
  })
})

test('a host that is heard after its BMC said "off" is not fenced, and its BMC is not believed', () => {
  const heardAfter = facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 100 })
  expect(livesAfterOff(heardAfter)).toBe(true)
  expect(stepIncident(incident, heardAfter).next).toMatchObject({ state: 'fence failed' })
  expect(stepIncident(incident, heardAfter).next?.lines.at(-1)?.says).toMatch(/another machine/)
  expect(stepIncident(incident, heardAfter).disproved).toBe(true)
})

test('a host that is heard and whose BMC never said "off" fails its fence when the command is over', () => {
  const still = { veto: 'hard' as const, lifeAtMs: NOW - 6_000, lastOffMs: NOW - 6_000 }
  expect(
    stepIncident(incident, facts({ ...still, reads: [{ atMs: NOW - 500, power: 'on', session: 1 }] })).next,
  ).toMatchObject({ state: 'fence failed' })
  expect(stepIncident(incident, facts({ ...still, lastOffMs: NOW - 3_000 })).next).toBeUndefined()
})

test('a BMC of another machine, to which nothing was sent, disarms nobody', () => {
  const step = stepIncident(incident, facts({ identity: 'mismatch', stateSinceMs: NOW - 25_000, lastOffMs: null }))
  expect(step.next).toMatchObject({ state: 'fence failed' })
  expect(step.disproved).toBeUndefined()
})

test('no proof while a sign of life is fresh', () => {
  expect(FENCE_GUARDS.lifeless(facts({ veto: 'hard' }))).toBe(false)
  expect(
    stepIncident({ ...incident, state: 'fence failed' }, facts({ veto: 'hard', reads: twoOffs, lifeAtMs: NOW - 1_600 }))
      .next,
  ).toBeUndefined()
})

test('an incident keeps when each arbiter heard the host last, and which of its lines is a command', () => {
  const conditions = [
    { id: 'C1' as const, holds: true, says: 'silent', heardAgesMs: { a1: 2_400, a2: 2_000, a3: 1e300 } },
    { id: 'C4' as const, holds: true, says: 'no sign of life' },
  ]
  const about = {
    cause: 'silent' as const,
    bootId: 'b1',
    epoch: 1,
    storeIndex: 2,
    at: '2026-01-01T00:00:10.000Z',
    dryRun: false,
    permission: [],
  }
  const made = openIncident({ host: 'h1', says: 'silent', conditions }, about).changes?.[0]?.value as Incident
  expect(made.lastHeard).toEqual({ a1: '2026-01-01T00:00:07.600Z', a2: '2026-01-01T00:00:08.000Z' })
  expect(parseIncident(made)).toEqual(made)
  const off = stepIncident({ ...made, state: 'confirmed' }, facts({ lastOffMs: null })).next as Incident
  expect(off.lines.map((line) => line.about)).toEqual([undefined, undefined, 'power'])
  expect(parseIncident(off)?.lines.at(-1)).toMatchObject({ about: 'power' })
  // A record of the release before has neither.
  expect(parseIncident(incident)).toEqual(incident)
})
