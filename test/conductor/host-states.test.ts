/** The conductor knows every state in which the mesh reports a host. */
import { expect, test } from 'vitest'
import { HOST_STATES, isInIncident } from '../../conductor/mesh/host-states.ts'
import { HOLD_KINDS, INCIDENT_STATES } from '../../host-agent/protocol/records.ts'
import type { VerdictState } from '../../host-agent/verdict/assess.ts'

const VERDICTS: Readonly<Record<VerdictState, true>> = {
  healthy: true,
  degraded: true,
  suspect: true,
  held: true,
  confirmed: true,
}

test('every state of the mesh stands in the table, and no other', () => {
  const reported = new Set(['unknown', ...Object.keys(VERDICTS), ...HOLD_KINDS, ...INCIDENT_STATES])
  expect(Object.keys(HOST_STATES).sort()).toEqual([...reported].sort())
})

test('a state that a newer mesh reports counts as an incident', () => {
  expect(isInIncident('fencing')).toBe(true)
  expect(isInIncident('healthy')).toBe(false)
  expect(isInIncident('quarantined for good')).toBe(true)
})
