/** What must hold between the times that programs of the mesh agree on. */
import { expect, test } from 'vitest'
import { COMMAND_MS } from '../../host-agent/fence/guards.ts'
import {
  HOST_LEASE_MS,
  LEADER_COMMAND_MS,
  LOCK_DELAY_MS,
  RESET_MARGIN_MS,
  SESSION_TTL_MS,
  TICKET_MS,
} from '../../host-agent/protocol/timing.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'

test('a command of a leader is over before the next leader sends one', () => {
  expect(COMMAND_MS).toBeLessThanOrEqual(LEADER_COMMAND_MS)
  expect(LOCK_DELAY_MS).toBeGreaterThanOrEqual(LEADER_COMMAND_MS)
  expect(SESSION_TTL_MS).toBeGreaterThan(LEADER_COMMAND_MS)
})

test('a leader that may confirm a death has lease enough for the commands that follow', () =>
  expect(LIMITS.leaseLeftMs).toBeGreaterThan(LEADER_COMMAND_MS))

test('a host renews its lease many times before it runs out, and a statement is heard many times before it is old', () => {
  expect(HOST_LEASE_MS).toBeGreaterThanOrEqual(5 * LIMITS.heartbeatMs)
  expect(TICKET_MS).toBeGreaterThanOrEqual(5 * LIMITS.heartbeatMs)
  expect(RESET_MARGIN_MS).toBeGreaterThan(LIMITS.heartbeatMs)
})
