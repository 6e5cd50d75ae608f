/** Exhaustive over the production steps: with every guard nothing can go wrong, and each guard taken away is missed. */
import { expect, test } from 'vitest'
import { explore } from './explore.ts'
import { RULES, type Rules } from './model.ts'

test('every interleaving: no double run, no duplicate evacuation, no OFF to a living host, no late fence', { timeout: 120_000 }, () => {
  const { states, wrong } = explore(RULES)
  expect([...wrong]).toEqual([])
  expect(states).toBeGreaterThan(200_000)
})

const always = () => true
test.each<[string, Rules, string]>([
  ['a power-off that is proven', { ...RULES, fence: { ...RULES.fence, proven: always } }, 'double run'],
  ['the boot gate', { ...RULES, gate: false }, 'double run'],
  ['the deadline of a command', { ...RULES, fence: { ...RULES.fence, deadline: always } }, 'late fence'],
  ['the last look for a sign of life', { ...RULES, fence: { ...RULES.fence, silent: always } }, 'OFF to a living host'],
  ['the look for traces of a request', { ...RULES, intent: { ...RULES.intent, untraced: always } }, 'duplicate evacuation'],
  ['the time that a request is given to leave a trace', { ...RULES, intent: { ...RULES.intent, settled: always } }, 'duplicate evacuation'],
  ['compare-and-set with the epoch', { ...RULES, cas: false }, 'late fence'],
  ['the proof that a target is down too', { ...RULES, targetProof: false }, 'duplicate evacuation'],
  ['the lease that bounds acts, and the wait of the next leader', { ...RULES, lease: false }, 'duplicate evacuation'],
])('without %s there is a way to a disaster', { timeout: 120_000 }, (_, rules, what) => {
  const { wrong } = explore(rules, what)
  expect([...wrong.keys()]).toContain(what)
  expect(wrong.get(what)?.length).toBeGreaterThan(3)
})
