/** What must hold between the times that programs of the mesh agree on. */
import { expect, test } from 'vitest'
import { COMMAND_MS } from '../../host-agent/fence/guards.ts'
import {
  ACT_MS,
  HOST_LEASE_MS,
  LOCK_DELAY_MS,
  RESET_MARGIN_MS,
  SESSION_TTL_MS,
  TICKET_MS,
} from '../../host-agent/protocol/timing.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'

test('an act that a leader began is over before the next leader acts', () => {
  expect(COMMAND_MS).toBeLessThanOrEqual(ACT_MS)
  expect(LOCK_DELAY_MS).toBeGreaterThanOrEqual(ACT_MS)
  expect(SESSION_TTL_MS).toBeGreaterThan(ACT_MS)
})

test('a leader that may confirm a death has lease enough for the acts that follow', () =>
  expect(LIMITS.leaseLeftMs).toBeGreaterThan(ACT_MS))

test('a host renews its lease many times before it runs out, and a statement is heard many times before it is old', () => {
  expect(HOST_LEASE_MS).toBeGreaterThanOrEqual(5 * LIMITS.heartbeatMs)
  expect(TICKET_MS).toBeGreaterThanOrEqual(5 * LIMITS.heartbeatMs)
  expect(RESET_MARGIN_MS).toBeGreaterThan(LIMITS.heartbeatMs)
})
