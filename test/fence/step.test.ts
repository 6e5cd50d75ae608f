/** Single steps of an incident that no scenario reaches at will. */
import { expect, test } from 'vitest'
import { FENCE_GUARDS, livesAfterOff } from '../../host-agent/fence/guards.ts'
import { stepIncident } from '../../host-agent/fence/step.ts'
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
