/** The table of arrows, from itself: nothing ambiguous, nothing unreachable, and every state against every event. */
import { describe, expect, test } from 'vitest'
import { tableFlaws } from '../../kit/arrows.ts'
import { NODE_ARROWS, VERBS } from '../../conductor/node/workflow/arrows.ts'
import { STATES, type State } from '../../conductor/node/workflow/states.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { at, inState, verb, moved } from './node-step-bench.ts'

test('the table has no flaw', () =>
  expect(tableFlaws(NODE_ARROWS, Object.keys(STATES), { first: ['enroll'] })).toEqual([]))

test('it has the 93 transitions of Ironic, and every one says why', () => {
  expect(NODE_ARROWS).toHaveLength(93)
  expect(NODE_ARROWS.filter((arrow) => arrow.because.length < 10)).toEqual([])
})

/** Verbs that pass through more than one state at once. */
const PASSES: Readonly<Record<string, State>> = {
  delete: 'cleaning',
  'clean hold unhold': 'available',
  'deploy hold unhold': 'deploying',
  'service hold unhold': 'active',
}

describe.each(Object.keys(STATES) as State[])('in state %s', (state) => {
  test.each(VERBS)('the verb %s either follows its arrow or is refused with the state in the message', (name) => {
    const arrow = NODE_ARROWS.find(({ from, on }) => from === state && on === name)
    const kind = ({ 'clean hold': 'clean', 'deploy hold': 'deploy', 'service hold': 'service' } as const)[
      state as 'clean hold'
    ]
    const node = inState(state, kind ? { workflow: { ...inState(state).workflow, order: kind } } : {})
    const stepped = step(node, verb(name), at)
    if (!arrow)
      return expect(stepped).toMatchObject({ refused: 'node.state', why: expect.stringContaining(state) as string })
    const to = PASSES[`${state} ${name}`] ?? PASSES[name] ?? arrow.to
    expect(stepped).toMatchObject({ node: { provisionState: to } })
  })

  test('an agent that reports about an order of the past is refused', () => {
    const node = inState(state)
    for (const type of ['agent-done', 'agent-failed'] as const) {
      expect(
        step(
          node,
          { type, orderId: `${node.uuid}.99.0`, fault: { code: 'agent.broken', text: '', retry: false } } as never,
          at,
        ),
      ).toMatchObject({
        refused: 'store.stale',
      })
    }
  })

  test('breaking a lock leads to a state that can be left, and nothing is owed', () => {
    const node = inState(state, {
      workflow: { ...inState(state).workflow, pendingEffects: [{ do: 'publish' }], lockedAtMs: 1 },
    })
    const broken = moved(node, { type: 'break-lock', why: 'test' })
    expect(broken.workflow.pendingEffects).toEqual([])
    expect(STATES[broken.provisionState].kind).not.toBe('working')
    expect(step(broken, { type: 'break-lock', why: 'test' }, at)).toMatchObject({ refused: 'node.state' })
  })
})

test('a locked node refuses every verb and every power change', () => {
  const locked = inState('active', { workflow: { ...inState('active').workflow, pendingEffects: [{ do: 'publish' }] } })
  for (const name of VERBS) expect(step(locked, verb(name), at)).toMatchObject({ refused: 'node.locked' })
  expect(step(locked, { type: 'power', target: 'power off' }, at)).toMatchObject({ refused: 'node.locked' })
})
