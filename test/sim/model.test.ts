/** Exhaustive over the production steps: with every guard nothing can go wrong, and each guard taken away is missed. */
import { expect, test } from 'vitest'
import { explore } from './explore.ts'
import { RULES, type Rules } from './model-state.ts'

test(
  'every interleaving: no double run, no duplicate evacuation, no OFF to a living host, no late fence',
  { timeout: 120_000 },
  () => {
    const { states, wrong } = explore(RULES)
    expect([...wrong]).toEqual([])
    expect(states).toBeGreaterThan(200_000)
  },
)

const always = () => true
/** More states than it takes to get there without the guard. */
const NEAR = 60_000
const GATELESS: Rules = { ...RULES, gate: false, gated: false }
const LAWLESS: Rules = { ...RULES, cas: false, lease: false }

test.each<[string, Rules, string]>([
  ['a host without a gate comes back: nothing is moved any more', GATELESS, 'moved although the host is back'],
  [
    'an older leader goes on, and the store takes what it writes: it still leaves the instances of a newer one alone',
    LAWLESS,
    'the epoch falls',
  ],
])('%s', { timeout: 120_000 }, (_, rules, what) =>
  expect([...explore(rules, what, NEAR).wrong.keys()]).not.toContain(what),
)

test.each<[string, Rules, string]>([
  ['a power-off that is proven', { ...RULES, fence: { ...RULES.fence, proven: always } }, 'double run'],
  ['the boot gate', { ...RULES, gate: false }, 'double run'],
  ['the deadline of a command', { ...RULES, fence: { ...RULES.fence, deadline: always } }, 'late fence'],
  ['the last look for a sign of life', { ...RULES, fence: { ...RULES.fence, silent: always } }, 'OFF to a living host'],
  [
    'the look for traces of a request',
    { ...RULES, intent: { ...RULES.intent, untraced: always } },
    'duplicate evacuation',
  ],
  [
    'the time that a request is given to leave a trace',
    { ...RULES, intent: { ...RULES.intent, graceOver: always } },
    'duplicate evacuation',
  ],
  ['compare-and-set with the epoch', { ...RULES, cas: false }, 'late fence'],
  ['the proof that a target is down too', { ...RULES, targetProof: false }, 'duplicate evacuation'],
  ['the lease that bounds acts, and the wait of the next leader', { ...RULES, lease: false }, 'duplicate evacuation'],
  [
    'the fence of a host whose power is back, and that has no gate',
    { ...GATELESS, fence: { ...RULES.fence, gate: always } },
    'moved although the host is back',
  ],
  [
    'the epoch of an intent, where neither lease nor store holds an older leader back',
    { ...LAWLESS, intent: { ...RULES.intent, epoch: always } },
    'the epoch falls',
  ],
])('without %s there is a way to a disaster', { timeout: 120_000 }, (_, rules, what) => {
  const { wrong } = explore(rules, what)
  expect([...wrong.keys()]).toContain(what)
  expect(wrong.get(what)?.length).toBeGreaterThan(3)
})
