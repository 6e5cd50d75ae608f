/** Leases of watchdogs: whose word counts, and for how long. */
import { beforeEach, expect, test } from 'vitest'
import { noDriver } from '../../host-agent/adapters/instances/none.ts'
import { TICKET_MS } from '../../host-agent/protocol/timing.ts'
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import { mayGrant, statementOf } from '../../host-agent/arbiter/leases.ts'
import { KEYS } from '../../host-agent/protocol/records.ts'
import type { Environment } from '../../host-agent/adapters/environment.ts'
import type { Heartbeat, ArbiterStatement } from '../../host-agent/protocol/heartbeat.ts'
import { memberRecord } from '../mesh/member-record.ts'

const NOW = 1_000_000
let core: Arbiter
let seq = 0
beforeEach(() => {
  core = new Arbiter({ name: 'a1', environment: {} as Environment, nowMs: NOW - 60_000, graceMs: noDriver.graceMs })
  const names = ['a1', 'a2', 'a3', 'h1']
  core.onStore(
    {
      entries: names.map((name, i) => ({ key: KEYS.members + name, value: memberRecord(name), index: i + 1 })),
      index: 9,
    },
    NOW,
  )
})

/** A word of another arbiter that comes now. */
function says(from: string, word: ArbiterStatement, nowMs = NOW): void {
  const self: Heartbeat['self'] = {
    state: 'member',
    lagMs: 0,
    storageLost: false,
    guests: 0,
    consents: false,
    gate: 'none',
    watchdogMs: null,
  }
  core.onHeartbeat({ from, bootId: 'b', seq: (seq += 1), self, peers: {}, settled: true, noGrant: [], ...word }, nowMs)
}

test('alone it grants nothing; with a majority that answers what it said, it does', () => {
  expect(mayGrant(core, 'h1', NOW)).toBe(false)
  says('a2', { echoedTimestamps: { a1: NOW - 200 } })
  expect(mayGrant(core, 'h1', NOW)).toBe(true)
  expect(mayGrant(core, 'h1', NOW + TICKET_MS)).toBe(false)
})

test.each<[string, ArbiterStatement]>([
  ['that withholds it', { echoedTimestamps: { a1: NOW - 200 }, noGrant: ['h1'] }],
  ['that has not read the store yet', { echoedTimestamps: { a1: NOW - 200 }, settled: false }],
  [
    'that comes now and answers what was said long ago: this arbiter was stopped, or the word was on its way',
    { echoedTimestamps: { a1: NOW - TICKET_MS - 1 } },
  ],
  ['that answers nothing', { echoedTimestamps: {} }],
  ['of before it knew of echoes', {}],
  ['that answers what was never said: another boot', { echoedTimestamps: { a1: NOW + 5_000 } }],
])('a word does not do %s', (_, word) => {
  says('a2', word)
  expect(mayGrant(core, 'h1', NOW)).toBe(false)
})

test('what it says itself can be answered: its own clock, and the newest marks of the others', () => {
  says('a2', { timestamp: 77 })
  says('a2', { timestamp: 78 })
  says('h1', { timestamp: 5 })
  expect(statementOf(core, NOW)).toMatchObject({
    timestamp: NOW,
    echoedTimestamps: { a2: 78 },
    settled: true,
    noGrant: [],
  })
})
