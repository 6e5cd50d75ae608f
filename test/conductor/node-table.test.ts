/** The table of arrows, from itself: nothing ambiguous, nothing unreachable, every state against every event, and the effects of every phase. */
import { describe, expect, test } from 'vitest'
import { tableFlaws } from '../../kit/arrows.ts'
import { NODE_ARROWS, type Verb } from '../../conductor/node/arrows.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { STATES, type State } from '../../conductor/node/states.ts'
import { step, type Settings } from '../../conductor/node/step.ts'

const settings: Settings = { callbackTimeoutMs: 1000, agentSilenceMs: 100, parkMs: 500, maxAttempts: 2, effectTries: 3, effectRetryMs: 10 }
const at = { nowMs: 5000, settings }
const VERBS: readonly Verb[] = ['manage', 'inspect', 'provide', 'clean', 'deploy', 'rebuild', 'delete', 'abort']
const inState = (provisionState: State, more: Partial<NodeRecord> = {}) => newNode({ uuid: '0'.repeat(36), driver: 'ipmi', provisionState, ...more }, 0)

test('the table has no flaw', () => expect(tableFlaws(NODE_ARROWS, Object.keys(STATES), 'enroll')).toEqual([]))

test('every arrow says why', () => expect(NODE_ARROWS.filter((arrow) => arrow.because.length < 10)).toEqual([]))

describe.each(Object.keys(STATES) as State[])('in state %s', (state) => {
  test.each(VERBS)('the verb %s either follows its arrow or is refused with the state in the message', (verb) => {
    const arrow = NODE_ARROWS.find(({ from, on }) => from === state && on === verb)
    const stepped = step(inState(state), { type: 'verb', verb, warm: false }, at)
    if (!arrow) return expect(stepped).toMatchObject({ refused: 'node.state', why: expect.stringContaining(state) as string })
    // Taking an instance away is cleaning, in one step.
    const to = verb === 'delete' ? 'cleaning' : arrow.to
    expect(stepped).toMatchObject({ node: { provisionState: to, machine: { generation: 1 } } })
  })

  test('an agent that reports about an order of the past is refused', () => {
    const node = inState(state)
    for (const type of ['agent-done', 'agent-failed'] as const) {
      expect(step(node, { type, orderId: `${node.uuid}.99`, fault: { code: 'agent.broken', text: '', retry: false } } as never, at)).toMatchObject({
        refused: 'store.stale',
      })
    }
  })
})

test('a locked node refuses every verb and every power change', () => {
  const owed = inState('active', { machine: { ...inState('active').machine, owed: [{ do: 'publish' }] } })
  for (const verb of VERBS) expect(step(owed, { type: 'verb', verb, warm: false }, at)).toMatchObject({ refused: 'node.locked' })
  expect(step(owed, { type: 'power', target: 'power off' }, at)).toMatchObject({ refused: 'node.locked' })
})

test('a cold deploy gets its image before it touches the server, and a warm one touches no power at all', () => {
  const cold = step(inState('available'), { type: 'verb', verb: 'deploy', warm: false }, at)
  expect('node' in cold && cold.node.machine.owed.map((effect) => effect.do)).toEqual(['image', 'publish', 'power', 'boot-device', 'power'])
  const warm = step(inState('available'), { type: 'verb', verb: 'deploy', warm: true }, at)
  expect('node' in warm && warm.node.machine.owed.map((effect) => effect.do)).toEqual(['image'])
})

test('a boot token opens one session only, of its own boot only', () => {
  const node = inState('wait call-back', { machine: { ...inState('enroll').machine, generation: 3, lastTokenMs: 50 } })
  const hello = (generation: number, tokenMs: number) => step(node, { type: 'hello', agent: { sessionHash: 'x', generation, tokenMs, helloAtMs: 0 } }, at)
  expect(hello(2, 60)).toMatchObject({ refused: 'agent.token' })
  expect(hello(3, 50)).toMatchObject({ refused: 'agent.token' })
  expect(hello(3, 49)).toMatchObject({ refused: 'agent.token' })
  expect(hello(3, 51)).toMatchObject({ node: { machine: { lastTokenMs: 51 } } })
})

test('a lost agent is booted again once, then the node fails and is switched off', () => {
  const machine = { ...inState('enroll').machine, phase: 'agent' as const, order: 'deploy' as const, attempt: 1, deadlineMs: 4000, generation: 7 }
  const first = step(inState('wait call-back', { machine }), { type: 'deadline', agentSeen: true, lastSeen: 'write' }, at)
  expect(first).toMatchObject({ node: { provisionState: 'deploying', machine: { attempt: 2, generation: 8 } } })
  const second = step(inState('wait call-back', { machine: { ...machine, attempt: 2 } }), { type: 'deadline', agentSeen: true, lastSeen: 'write, 40 %' }, at)
  expect(second).toMatchObject({
    node: { provisionState: 'deploy failed', lastError: expect.stringContaining('write, 40 %') as string, lastFault: { code: 'node.timeout' } },
  })
  expect('node' in second && second.node.machine.owed).toEqual([{ do: 'publish' }, { do: 'power', to: 'power off' }])
})

test('a deadline that has not come changes nothing', () => {
  const node = inState('wait call-back', { machine: { ...inState('enroll').machine, phase: 'agent', deadlineMs: 6000 } })
  expect(step(node, { type: 'deadline', agentSeen: false, lastSeen: '' }, at)).toEqual({ node })
})

test('effects that may pass are tried again with growing pauses, the others fail at once', () => {
  const deploying = inState('deploying', { machine: { ...inState('enroll').machine, phase: 'boot', owed: [{ do: 'publish' }], order: 'deploy' } })
  const fault = { code: 'bmc.timeout', text: 'slow', retry: true } as const
  const once = step(deploying, { type: 'effect-failed', effect: { do: 'publish' }, fault }, at)
  expect(once).toMatchObject({ node: { provisionState: 'deploying', machine: { tries: 1, retryAtMs: 5010 } } })
  expect(step(deploying, { type: 'effect-failed', effect: { do: 'publish' }, fault: { ...fault, retry: false } }, at)).toMatchObject({
    node: { provisionState: 'deploy failed', lastError: 'slow', machine: { owed: [] } },
  })
})

test('automated cleaning that is switched off is skipped, clean steps that were asked for are not', () => {
  expect(step(inState('manageable', { automatedClean: false }), { type: 'verb', verb: 'provide', warm: false }, at)).toMatchObject({
    node: { provisionState: 'available' },
  })
  expect(step(inState('manageable', { automatedClean: false }), { type: 'verb', verb: 'clean', warm: false }, at)).toMatchObject({
    node: { provisionState: 'cleaning', machine: { cleaningTo: 'manageable' } },
  })
})

test('an idle agent is parked, and switched off when its time is over', () => {
  const agent = { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 }
  const machine = { ...inState('enroll').machine, phase: 'agent' as const, order: 'inspect' as const, generation: 1 }
  const node = inState('inspect wait', { agent, machine })
  const done = step(node, { type: 'agent-done', orderId: `${node.uuid}.1` }, at)
  expect(done).toMatchObject({ node: { provisionState: 'manageable', agent, machine: { deadlineMs: 5500, owed: [] } } })
  if (!('node' in done)) throw new Error('refused')
  const over = step(done.node, { type: 'deadline', agentSeen: true, lastSeen: '' }, { nowMs: 5500, settings })
  expect(over).toMatchObject({ node: { provisionState: 'manageable', agent: null, machine: { owed: [{ do: 'publish' }, { do: 'power', to: 'power off' }] } } })
})
