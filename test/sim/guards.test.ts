/** The guards that random schedules seldom need: each is taken away where it matters, and the oracle finds what it was
 *  for. With it the same schedules go well. */
import { expect, test } from 'vitest'
import { INTENT_GUARDS } from '../../host-agent/evacuate/intents.ts'
import { FENCE_GUARDS, type FenceGuards } from '../../host-agent/fence/guards.ts'
import { randomOf } from './engine.ts'
import { AT, scheduleWith, type Schedule } from './faults.ts'
import { SimRack, type RackOptions } from './rack.ts'
import { runSchedule } from './run.ts'

const SEEDS = 40
const fence = (name: keyof FenceGuards): RackOptions => ({ fenceGuards: { ...FENCE_GUARDS, [name]: () => true } })
const between = (seed: number, low: number, high: number) => Math.round(low + randomOf(seed)() * (high - low))

/** It hangs, is fenced by order, its BMC does not obey, and the store is out for most of a lease. */
const shortLease = (seed: number): Schedule =>
  scheduleWith(
    [
      { atMs: AT - 500, kind: 'bmc', host: 1, mode: 'ignores', forMs: 100_000 },
      { atMs: AT, kind: 'hang', host: 1, forMs: null },
      { atMs: AT + 1_000, kind: 'operator', host: 1, asks: 'fence' },
      { atMs: AT + between(seed, 3_000, 6_000), kind: 'no quorum', forMs: between(seed + 99, 4_000, 9_000) },
    ],
    { seed, endMs: AT + 30_000 },
  )
const shortLeaseOfMoves = (seed: number): Schedule =>
  scheduleWith(
    [
      { atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: null },
      { atMs: AT + 3_500, kind: 'cloud', lost: 0, error: 0.6, noHost: 0.5, forMs: 60_000 },
      { atMs: AT + between(seed, 4_000, 9_000), kind: 'no quorum', forMs: between(seed + 99, 5_500, 9_500) },
    ],
    { seed, endMs: AT + 60_000 },
  )
/** A person orders it fenced, and a deploy of it begins at that moment. */
const held = (seed: number): Schedule =>
  scheduleWith(
    [
      { atMs: AT, kind: 'hang', host: 1, forMs: null },
      { atMs: AT + 1_000, kind: 'operator', host: 1, asks: 'fence' },
      { atMs: AT + 1_000 + between(seed, 0, 600), kind: 'hold', host: 1, as: 'deploying', forMs: 20_000 },
    ],
    { seed, endMs: AT + 20_000 },
  )
/** It was stopped for some seconds and lives again; its BMC says "off". */
const liar = (seed: number): Schedule =>
  scheduleWith(
    [
      { atMs: AT, kind: 'hang', host: 1, forMs: between(seed, 4_000, 9_000) },
      { atMs: AT - 500, kind: 'bmc', host: 1, mode: 'lies off', forMs: 60_000 },
    ],
    { seed, endMs: AT + 40_000 },
  )

test.each<[string, RackOptions, (seed: number) => Schedule, RegExp]>([
  ['lease, of a fence', fence('lease'), shortLease, /I5: .* sends OFF/],
  [
    'lease, of a move',
    { intentGuards: { ...INTENT_GUARDS, lease: () => true } },
    shortLeaseOfMoves,
    /I5: .* sends the request/,
  ],
  ['allowed', fence('allowed'), held, /I8/],
  ['lifeless', fence('lifeless'), liar, /I11|I3|I1:/],
])(
  'without the guard "%s" a schedule goes wrong, and with it none',
  { timeout: 120_000 },
  (_, options, scheduleOf, what) => {
    const wrong = (more: RackOptions) => {
      for (let seed = 1; seed <= SEEDS; seed += 1) {
        const found = runSchedule(scheduleOf(seed), more).violations.find((violation) => what.test(violation))
        if (found) return found
      }
      return undefined
    }
    expect(wrong({})).toBeUndefined()
    expect(wrong(options)).toMatch(what)
  },
)

test('an operator who orders another try gets it, along the arrows of the table', () => {
  const faults = [
    { atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: null },
    { atMs: AT, kind: 'cloud', lost: 0, error: 0, noHost: 1, forMs: 60_000 },
    { atMs: AT + 70_000, kind: 'operator', host: 1, asks: 'retry' },
  ] as const
  const { violations, trace, guests } = runSchedule(scheduleWith(faults, { endMs: AT + 110_000 }))
  expect(violations).toEqual([])
  expect(trace.filter((line) => /h1 is (evacuating|evacuated)/.test(line))).toHaveLength(4)
  expect(guests).toBe(10)
})

test('a BMC that is another machine’s since its last answer, and is silent now, gets no OFF', () => {
  const faults = [
    { atMs: 15_948, kind: 'power cut', host: 4, bmcToo: false, backMs: 5_563 },
    { atMs: 17_287, kind: 'bmc swapped', host: 1, with: 4 },
    { atMs: 17_683, kind: 'power cut', host: 4, bmcToo: true, backMs: null },
  ] as const
  const { violations, trace } = runSchedule(
    scheduleWith(faults, { seed: 12_958, ticks: true, pdus: true, endMs: 88_000 }),
  )
  expect(violations).toEqual([])
  expect(trace.some((line) => /h4 is fenced/.test(line))).toBe(true)
})

test('a change that is no arrow is found', () => {
  const rack = new SimRack(scheduleWith([]))
  const incident = {
    id: 'i',
    host: 'h1',
    bootId: null,
    epoch: 0,
    cause: 'operator',
    why: '',
    offs: 0,
    proof: null,
    attested: null,
    listed: false,
    returnedBoot: null,
    lines: [],
  }
  const write = (state: string) =>
    rack.oracle.written([{ key: 'rackward/incidents/i', value: { ...incident, state }, index: 0 }], 'a0')
  write('confirmed')
  write('cancelled')
  expect(rack.oracle.violations).toEqual([])
  write('evacuating')
  expect(rack.oracle.violations.join('\n')).toMatch(/no arrow from cancelled to evacuating/)
})
