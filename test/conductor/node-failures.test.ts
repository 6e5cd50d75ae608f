/** What a failure makes of a node: lost agents, lost BMCs, broken locks, deadlines, and effects that are tried
 *  again. */
import { expect, test } from 'vitest'
import { orderId } from '../../conductor/node/record.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { inspectPlan } from '../../conductor/node/policy/steps.ts'
import { settings, at, inState, verb, moved, perform, AGENT, hello, AGENT_OF, done } from './node-step-bench.ts'

test('a failed clean takes the node out of service, and the verb manage brings it back', () => {
  const waiting = perform(moved(inState('manageable'), verb('clean'))).node
  const failed = moved(waiting, {
    type: 'agent-failed',
    orderId: orderId(waiting),
    fault: { code: 'clean.failed', text: 'disk', retry: false },
  })
  expect(failed).toMatchObject({
    provisionState: 'clean failed',
    maintenance: true,
    fault: 'clean failed',
    maintenanceReason: 'disk',
  })
  expect(moved(failed, verb('manage'))).toMatchObject({
    provisionState: 'manageable',
    maintenance: false,
    fault: null,
    lastError: null,
  })
})

test('a lost BMC takes the node out of service, and an answer brings it back', () => {
  const fault = { code: 'bmc.unreachable', text: 'silent', retry: true } as const
  const lost = moved(inState('active', { powerState: 'power on' }), { type: 'poll-lost', fault })
  expect(lost).toMatchObject({ powerState: 'error', maintenance: true, fault: 'power failure', lastError: 'silent' })
  expect(moved(lost, { type: 'polled', power: 'power on', pendingVersion: 0 })).toMatchObject({
    powerState: 'power on',
    maintenance: false,
    fault: null,
    lastError: null,
  })
  expect(moved(lost, { type: 'polled', power: 'power off', pendingVersion: 7 })).toBe(lost)
  const own = inState('active', { maintenance: true, maintenanceReason: 'mine' })
  expect(moved(own, { type: 'poll-lost', fault })).toBe(own)
})

test('the result of an act whose lock was broken is not taken for the next one', () => {
  const off = moved(inState('active'), { type: 'power', target: 'power off' })
  const broken = moved(off, { type: 'break-lock', why: 'test' })
  const again = moved(broken, { type: 'power', target: 'power off' })
  const late = {
    type: 'effect-done',
    effect: { do: 'power', to: 'power off' },
    pendingVersion: off.workflow.pendingVersion,
  } as const
  expect(step(again, late, at)).toMatchObject({ refused: 'store.stale' })
})

test('the restart of a rescue system opens no login: the verb rescue boots it anew', () => {
  const rescued = done(hello(perform(moved(inState('active'), verb('rescue'))).node))
  const again = perform(moved(rescued, verb('rescue', { warm: true })))
  expect(again).toMatchObject({
    acts: ['publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'rescue wait', agent: null },
  })
})

test('a boot that an operator orders while the agent is waited for is one of ours; one that only switches on what is on is none', () => {
  const working = hello(perform(moved(inState('active'), verb('service'))).node)
  const on = { ...working, powerState: 'power on' } as const
  expect(moved(on, { type: 'power', target: 'power on' })).toMatchObject({
    agent: AGENT_OF(working),
    workflow: { generation: working.workflow.generation },
  })
  const rebooted = perform(moved(on, { type: 'power', target: 'rebooting' }))
  expect(rebooted).toMatchObject({
    acts: ['publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'service wait', agent: null },
  })
  expect(rebooted.node.workflow).toMatchObject({
    generation: working.workflow.generation + 1,
    bootToken: 'good',
    deadlineMs: at.nowMs + settings.callbackTimeoutMs,
  })
  expect(hello(rebooted.node).workflow.bootToken).toBe('traded')
  const off = perform(moved(on, { type: 'power', target: 'power off' })).node
  expect(off).toMatchObject({ agent: null, workflow: { bootToken: 'over' } })
})

test('a lost agent is booted again once, then the node fails and is switched off', () => {
  const workflow = {
    ...inState('enroll').workflow,
    phase: 'agent' as const,
    order: 'deploy' as const,
    attempt: 1,
    deadlineMs: 4000,
    generation: 7,
  }
  const first = step(
    inState('wait call-back', { workflow }),
    { type: 'deadline', agentSeen: true, lastSeen: 'write' },
    at,
  )
  expect(first).toMatchObject({ node: { provisionState: 'deploying', workflow: { attempt: 2, generation: 8 } } })
  const second = step(
    inState('wait call-back', { workflow: { ...workflow, attempt: 2 } }),
    { type: 'deadline', agentSeen: true, lastSeen: 'write, 40 %' },
    at,
  )
  expect(second).toMatchObject({
    node: {
      provisionState: 'deploy failed',
      lastError: expect.stringContaining('write, 40 %') as string,
      lastFault: { code: 'node.timeout' },
    },
  })
  expect('node' in second && second.node.workflow.pendingEffects).toEqual([
    { do: 'publish' },
    { do: 'power', to: 'power off' },
  ])
})

test('a deadline that has not come changes nothing', () => {
  const node = inState('wait call-back', {
    workflow: { ...inState('enroll').workflow, phase: 'agent', deadlineMs: 6000 },
  })
  expect(step(node, { type: 'deadline', agentSeen: false, lastSeen: '' }, at)).toEqual({ node })
})

test('effects that may pass are tried again with growing pauses, the others fail at once', () => {
  const deploying = inState('deploying', {
    workflow: { ...inState('enroll').workflow, phase: 'boot', pendingEffects: [{ do: 'publish' }], order: 'deploy' },
  })
  const fault = { code: 'bmc.timeout', text: 'slow', retry: true } as const
  const once = step(deploying, { type: 'effect-failed', effect: { do: 'publish' }, pendingVersion: 0, fault }, at)
  expect(once).toMatchObject({ node: { provisionState: 'deploying', workflow: { tries: 1, retryAtMs: 5010 } } })
  expect(
    step(
      deploying,
      { type: 'effect-failed', effect: { do: 'publish' }, pendingVersion: 0, fault: { ...fault, retry: false } },
      at,
    ),
  ).toMatchObject({
    node: { provisionState: 'deploy failed', lastError: 'slow', workflow: { pendingEffects: [] } },
  })
})

test('an idle agent is parked, and switched off when its time is over', () => {
  const workflow = {
    ...inState('enroll').workflow,
    phase: 'agent' as const,
    order: 'inspect' as const,
    steps: inspectPlan,
    generation: 1,
  }
  const node = inState('inspect wait', { agent: AGENT, workflow })
  const parked = done(node)
  expect(parked).toMatchObject({
    provisionState: 'manageable',
    agent: AGENT,
    workflow: { deadlineMs: 5500, pendingEffects: [] },
  })
  const over = step(parked, { type: 'deadline', agentSeen: true, lastSeen: '' }, { ...at, nowMs: 5500 })
  expect(over).toMatchObject({
    node: {
      provisionState: 'manageable',
      agent: null,
      workflow: { pendingEffects: [{ do: 'publish' }, { do: 'power', to: 'power off' }] },
    },
  })
})
