/** One tick of an arbiter on an environment that answers when the test says so: what is stored first, and that no
 *  answer is a tick. */
import { beforeEach, expect, test } from 'vitest'
import type { Environment } from '../../host-agent/adapters/environment.ts'
import { Arbiter } from '../../host-agent/arbiter/loop.ts'
import type { Change, Stored } from '../../host-agent/cluster/store.ts'
import { FIRST_POLICY, KEYS, type Incident } from '../../host-agent/protocol/records.ts'
import { memberRecord } from '../mesh/member-record.ts'

interface Asked {
  readonly what: string
  readonly changes: readonly Change[]
  readonly answer: (value: never) => void
}

const UUID = '00000000-0000-4000-8000-000000000001'
let nowMs = 0
let asked: Asked[] = []
let news = 0
let arbiter: Arbiter

const take = (what: string): Asked => {
  const at = asked.findIndex((one) => one.what === what)
  const found = asked[at]
  if (!found) throw new Error(`${what} was not asked for, only ${asked.map((one) => one.what).join(', ') || 'nothing'}`)
  asked.splice(at, 1)
  return found
}
const answer = (what: string, value: unknown): void => (take(what).answer as (value: unknown) => void)(value)
const ok = (index: number): Stored => ({ got: 'ok', index })
const tick = (afterMs = 100): void => {
  nowMs += afterMs
  arbiter.onLease({ epoch: 1, endsMs: nowMs + 10_000, storeOkMs: nowMs }, nowMs)
  arbiter.tick(nowMs)
}

beforeEach(() => {
  nowMs = 100_000
  asked = []
  news = 0
  const ask = (what: string, changes: readonly Change[], done: unknown) =>
    void asked.push({ what, changes, answer: done as Asked['answer'] })
  const environment: Environment = {
    store: ({ changes }, done) => ask('store', changes, done),
    readStore: (done) => ask('read store', [], done),
    bmc: ({ command }, done) => ask(`bmc ${command}`, [], done),
    device: ({ action }, done) => ask(`device ${action}`, [], done),
    deviceLevels: () => [],
    driver: ({ call }, _, done) => ask(`driver ${call}`, [], done),
    pill: ({ op }, _, done) => ask(`pill ${op}`, [], done),
    alert: () => undefined,
    now: () => nowMs,
    wall: () => '2026-01-01T00:00:00.000Z',
  }
  arbiter = new Arbiter({ name: 'a1', environment, nowMs, quiesceMs: 0, onNews: () => (news += 1) })
  tick()
  const entries = [
    { key: KEYS.policy, value: { ...FIRST_POLICY, armed: true, why: 'a test' }, index: 1 },
    ...['a1', 'h1', 'h2'].map((name, i) => ({
      key: KEYS.members + name,
      value: memberRecord(name, { systemUuid: UUID }),
      index: i + 2,
    })),
    { key: `${KEYS.requests}r`, value: { kind: 'fence', host: 'h1', by: 'a test' }, index: 6 },
  ]
  answer('read store', { entries, index: 9 })
})

/** Ordered by an operator, and its BMC has said whose it is and that it is on. */
function confirmed(): void {
  tick()
  answer('store', ok(10))
  tick()
  answer('bmc identify', { power: 'on', session: 1, systemUuid: UUID })
}

test('a request and the incident that it orders are stored in one transaction, before anything else', () => {
  tick()
  const { changes } = take('store')
  expect(changes.map(({ key, value }) => [key, (value as Incident | undefined)?.state])).toEqual([
    [`${KEYS.incidents}h1.1.9`, 'confirmed'],
    [`${KEYS.requests}r`, undefined],
  ])
  expect(asked.map(({ what }) => what)).not.toContain('bmc off')
})

test('OFF is sent only after the record that counts it is stored', () => {
  confirmed()
  tick()
  const { changes, answer: stored } = take('store')
  expect(changes).toMatchObject([{ value: { state: 'fencing', offs: 1 } }])
  expect(asked.map(({ what }) => what)).not.toContain('bmc off')
  ;(stored as (value: unknown) => void)(ok(11))
  expect(asked.map(({ what }) => what)).toContain('bmc off')
})

test.each<[string, unknown]>([
  ['a conflict', { got: 'conflict' }],
  ['no answer', { got: 'unknown' }],
])('after %s nothing is sent, and the store is read before anything more is decided', (_, stored) => {
  confirmed()
  tick()
  answer('store', stored)
  expect(asked.map(({ what }) => what)).not.toContain('bmc off')
  take('read store')
  tick()
  expect(asked.map(({ what }) => what)).not.toContain('store')
})

test('what speaks against OFF between the record and the command stops it', () => {
  confirmed()
  tick()
  // The lease has become too short for a command.
  arbiter.onLease({ epoch: 1, endsMs: nowMs + 4_000, storeOkMs: nowMs }, nowMs)
  answer('store', ok(11))
  expect(asked.map(({ what }) => what)).not.toContain('bmc off')
})

test('an answer makes news and no tick: nothing is decided inside it', () => {
  tick()
  const before = { asked: asked.length, news }
  answer('store', ok(10))
  expect(news).toBe(before.news + 1)
  expect(asked).toHaveLength(before.asked - 1)
})

test('an answer to what an earlier leadership asked says nothing to the next', () => {
  tick()
  answer('store', ok(10))
  tick()
  const { answer: late } = take('bmc identify')
  arbiter.onLease(undefined, nowMs)
  arbiter.onLease({ epoch: 2, endsMs: nowMs + 10_000, storeOkMs: nowMs }, nowMs)
  ;(late as (value: unknown) => void)({ power: 'off', session: 1, systemUuid: UUID })
  expect(arbiter.memory.of('h1').fence.reads).toEqual([])
})

test('a look at the store that is older than what came meanwhile is not believed, and the store is read again', () => {
  confirmed()
  tick()
  answer('store', { got: 'unknown' })
  const hold = { key: `${KEYS.holds}h1`, value: { kind: 'maintenance', why: 'x', by: 'x', seconds: null }, index: 20 }
  const entries = [...arbiter.cluster.members.values()].map(({ key, value, index }) => ({ key, value, index }))
  arbiter.onStore({ entries: [...entries, hold], index: 20 }, nowMs)
  answer('read store', { entries, index: 19 })
  expect([...arbiter.cluster.holds.keys()]).toEqual(['h1'])
  expect(arbiter.quiesced).toBe(false)
  tick()
  answer('read store', { entries: [...entries, hold], index: 20 })
  expect(arbiter.quiesced).toBe(true)
})

test('what a restored store says counts, also where its index is lower or the same', () => {
  const policy = { ...FIRST_POLICY, armed: false, why: 'restored' }
  confirmed()
  tick()
  answer('store', { got: 'conflict' })
  const h1 = memberRecord('h1', { rack: 'other' })
  const entries = [
    { key: KEYS.policy, value: policy, index: 1 },
    { key: `${KEYS.members}h1`, value: h1, index: 2 },
  ]
  answer('read store', { entries, index: 2 })
  expect(arbiter.cluster.policy.value.armed).toBe(false)
  expect(arbiter.cluster.members.get('h1')?.value.rack).toBe('other')
})

test('a hold that is set again lasts as long as it says from then on', () => {
  confirmed()
  const [key, hold] = [`${KEYS.holds}h2`, { kind: 'maintenance', why: 'x', by: 'x', seconds: 600 }]
  const members = [...arbiter.cluster.members.values()].map(({ key: of, value, index }) => ({ key: of, value, index }))
  const holdAt = (index: number) =>
    arbiter.onStore({ entries: [...members, { key, value: hold, index }], index }, nowMs)
  const isEnded = () => {
    asked = []
    arbiter.writing.clear()
    tick()
    return asked.some(({ changes }) => changes.some((change) => change.key === key && change.value === undefined))
  }
  holdAt(20)
  nowMs += 500_000
  holdAt(21)
  nowMs += 500_000
  expect(isEnded()).toBe(false)
  nowMs += 100_000
  expect(isEnded()).toBe(true)
})
