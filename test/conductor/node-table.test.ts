/** The table of arrows, from itself: nothing ambiguous, nothing unreachable, every state against every event, and the effects of every phase. */
import { describe, expect, test } from 'vitest'
import { tableFlaws } from '../../kit/arrows.ts'
import { NODE_ARROWS, VERBS, type Verb } from '../../conductor/node/workflow/arrows.ts'
import type { Move, Settings } from '../../conductor/node/workflow/context.ts'
import { newNode, orderId, type NodeRecord } from '../../conductor/node/record.ts'
import { STATES, type State } from '../../conductor/node/workflow/states.ts'
import type { StepEvent } from '../../conductor/node/workflow/events.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import {
  defaultPlan,
  inspectPlan,
  planAsked,
  planDeploy,
  rescuePlan,
  type PlannedStep,
} from '../../conductor/node/policy/steps.ts'

const settings: Settings = {
  callbackTimeoutMs: 1000,
  agentSilenceMs: 100,
  parkMs: 500,
  maxAttempts: 2,
  effectTries: 3,
  effectRetryMs: 10,
  softPowerOffMs: 600,
}
const at = { nowMs: 5000, settings, moves: [] as Move[] }
const inState = (provisionState: State, more: Partial<NodeRecord> = {}) =>
  newNode({ uuid: '0'.repeat(36), driver: 'ipmi', provisionState, ...more }, 0)
const clean = defaultPlan('clean')
const deploy = planDeploy([])
const PLANS: Partial<Record<Verb, readonly PlannedStep[]>> = {
  provide: clean,
  clean,
  delete: clean,
  deploy,
  rebuild: deploy,
  inspect: inspectPlan,
  rescue: rescuePlan,
  service: planAsked('service', [{ interface: 'deploy', step: 'collect_inventory' }], 'x'),
}
const verb = (name: Verb, more: { warm?: boolean; plan?: readonly PlannedStep[] } = {}) =>
  ({ type: 'verb', verb: name, warm: false, plan: PLANS[name] ?? [], ...more }) as const
const moved = (node: NodeRecord, event: StepEvent): NodeRecord => {
  const stepped = step(node, event, at)
  if ('refused' in stepped) throw new Error(stepped.why)
  return stepped.node
}

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

/** Performs what is owed until nothing is, and answers the acts. */
function perform(node: NodeRecord): { node: NodeRecord; acts: string[] } {
  const acts: string[] = []
  let now = node
  while (now.workflow.pendingEffects[0]) {
    const effect = now.workflow.pendingEffects[0]
    acts.push('to' in effect ? effect.to : 'device' in effect ? effect.device : effect.do)
    now = moved(now, {
      type: 'effect-done',
      effect,
      pendingVersion: now.workflow.pendingVersion,
      ...(effect.do === 'image' ? { found: { imageId: 'i' } } : {}),
    })
  }
  return { node: now, acts }
}

test('a ramdisk instance is started from the network, again after a rescue, and its boot has no token to trade', () => {
  const interfaces = { deploy: 'ramdisk' }
  const instanceBoot = { kind: 'iso', iso: 'sha256-x' } as const
  for (const [from, name] of [
    ['available', 'deploy'],
    ['rescue', 'unrescue'],
  ] as const) {
    const { node, acts } = perform(moved(inState(from, { interfaces, instanceBoot }), verb(name, { plan: [] })))
    expect(acts.filter((act) => act !== 'boot-files')).toEqual(['publish', 'power off', 'pxe', 'power on'])
    expect([node.provisionState, node.workflow.bootToken]).toEqual(['active', 'none'])
  }
  const adopted = perform(moved(inState('manageable', { interfaces }), verb('adopt')))
  expect([adopted.node.provisionState, adopted.acts]).toEqual(['active', ['bmc-check', 'boot-files', 'publish']])
})

const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 1, helloAtMs: 0 }
const hello = (node: NodeRecord) =>
  moved(node, { type: 'hello', agent: { ...AGENT, generation: node.workflow.generation, tokenMs: 1 } })
const AGENT_OF = ({ workflow }: NodeRecord) => ({ ...AGENT, generation: workflow.generation })
const done = (node: NodeRecord) => moved(node, { type: 'agent-done', orderId: orderId(node) })

test('a cold deploy gets its image before it touches the server, and a warm one touches no power at all', () => {
  expect(perform(moved(inState('available'), verb('deploy')))).toMatchObject({
    acts: ['image', 'publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'wait call-back' },
  })
  expect(perform(moved(inState('available', { agent: AGENT }), verb('deploy', { warm: true })))).toMatchObject({
    acts: ['image'],
    node: { provisionState: 'wait call-back' },
  })
})

test('a node that must not be switched off is reset instead, and refuses power off', () => {
  const node = inState('available', { disablePowerOff: true })
  expect(perform(moved(node, verb('deploy'))).acts).toEqual(['image', 'publish', 'pxe', 'reset'])
  expect(step(node, { type: 'power', target: 'power off' }, at)).toMatchObject({ refused: 'object.conflict' })
  expect(perform(moved(node, { type: 'power', target: 'rebooting' })).acts).toEqual(['reset'])
})

test('steps of the conductor and of the agent follow one another, and a hold waits for unhold', () => {
  const plan = planAsked(
    'clean',
    [
      { interface: 'deploy', step: 'erase_devices_metadata' },
      { interface: 'power', step: 'reboot' },
      { interface: 'deploy', step: 'hold' },
      { interface: 'deploy', step: 'collect_inventory' },
      { interface: 'power', step: 'power_off' },
    ],
    'clean_steps',
  )
  const booted = perform(moved(inState('manageable'), verb('clean', { plan })))
  expect(booted).toMatchObject({
    acts: ['publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'clean wait' },
  })
  const erased = perform(done(hello(booted.node)))
  expect(erased).toMatchObject({
    acts: ['publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'clean hold', workflow: { stepIndex: 2 } },
  })
  // After the reboot nobody is there, so the next step of the agent boots it again.
  const gone = perform(moved(erased.node, verb('unhold')))
  expect(gone).toMatchObject({
    acts: ['publish', 'power off', 'pxe', 'power on'],
    node: { provisionState: 'clean wait' },
  })
  expect(perform(done(hello(gone.node)))).toMatchObject({
    acts: ['power off'],
    node: { provisionState: 'manageable', agent: null },
  })
  expect(perform(moved(erased.node, verb('abort')))).toMatchObject({
    acts: [],
    node: { provisionState: 'clean failed' },
  })
})

test('rescue leads to a login and back to the disk; a parked deadline never ends it', () => {
  const waiting = perform(moved(inState('active'), verb('rescue'))).node
  const rescued = done(hello(waiting))
  // The ramdisk is its owner's now: its agent is believed no more, and a boot of its own brings none back.
  expect(rescued).toMatchObject({
    provisionState: 'rescue',
    workflow: { deadlineMs: null, bootToken: 'over' },
    agent: null,
  })
  expect(step(rescued, { type: 'agent-done', orderId: orderId(rescued) }, at)).toMatchObject({ refused: 'store.stale' })
  expect(perform(moved(rescued, verb('unrescue')))).toMatchObject({
    acts: ['publish', 'power off', 'disk', 'power on'],
    node: { provisionState: 'active' },
  })
})

test('a service that needs the ramdisk starts the disk again; one that only waits leaves the instance alone', () => {
  const away = perform(moved(inState('active'), verb('service'))).node
  expect(perform(done(hello(away)))).toMatchObject({
    acts: ['publish', 'power off', 'disk', 'power on'],
    node: { provisionState: 'active' },
  })
  const plan = planAsked('service', [{ interface: 'deploy', step: 'wait', args: { seconds: 3 } }], 'x')
  expect(perform(moved(inState('active'), verb('service', { plan })))).toMatchObject({
    acts: ['wait'],
    node: { provisionState: 'active' },
  })
})

test('a node that was adopted is left running', () => {
  expect(perform(moved(inState('manageable'), verb('adopt')))).toMatchObject({
    acts: ['bmc-check'],
    node: { provisionState: 'active' },
  })
})

test('an instance that is not cleaned away is stopped all the same; a retired node ends in manageable', () => {
  expect(perform(moved(inState('active'), verb('delete', { plan: [] })))).toMatchObject({
    acts: ['publish', 'power off'],
    node: { provisionState: 'available' },
  })
  const retired = perform(moved(inState('active', { retired: true }), verb('delete'))).node
  expect(done(hello(retired)).provisionState).toBe('manageable')
})

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

test('without clean steps a node becomes available as it is', () => {
  expect(moved(inState('manageable'), verb('provide', { plan: [] }))).toMatchObject({
    provisionState: 'available',
    workflow: { pendingEffects: [] },
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

test('planned steps: the request wins over a template, priority 0 leaves out, and the image is always written', () => {
  const names = (steps: readonly PlannedStep[]) => steps.map(({ step: name, priority }) => `${name} ${priority}`)
  const erase = (priority: number) => [{ interface: 'deploy', step: 'erase_devices_metadata', args: {}, priority }]
  expect(names(planDeploy([{ at: 't', steps: erase(90) }]))).toEqual(['erase_devices_metadata 90', 'write_image 80'])
  expect(
    names(
      planDeploy([
        { at: 't', steps: erase(90) },
        { at: 'r', steps: erase(0) },
      ]),
    ),
  ).toEqual(['write_image 80'])
  const none = [{ interface: 'deploy', step: 'write_image', args: {}, priority: 0 }]
  expect(() => planDeploy([{ at: 'deploy_steps', steps: none }])).toThrow(/cannot be left out/)
  expect(() => planAsked('service', [{ interface: 'deploy', step: 'erase_devices' }], 'service_steps')).toThrow(
    /service_steps\/0: there is no service step deploy\.erase_devices/,
  )
  expect(() =>
    planAsked('clean', [{ interface: 'power', step: 'wait', args: { seconds: 31 } }], 'clean_steps'),
  ).toThrow(/from 0 to 30/)
})
