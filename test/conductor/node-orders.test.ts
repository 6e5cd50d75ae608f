/** What a verb makes of a node: the effects of every phase, in order, and the end that it comes to. */
import { expect, test } from 'vitest'
import { orderId, type NodeRecord } from '../../conductor/node/record.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { planAsked, planDeploy, type PlannedStep } from '../../conductor/node/policy/steps.ts'
import { at, inState, verb, moved, perform, AGENT, hello, done } from './node-step-bench.ts'

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

test('with driver_info/tpm require, a parked agent whose boot is not proven is not kept: the next boot proves itself', () => {
  const parked = inState('available', { agent: AGENT, driverInfo: { tpm: 'require' } })
  const proof = (verdict: 'proved' | 'partial', more = {}) => ({
    ek: 'a',
    sinceMs: 0,
    proof: { ...AGENT, atMs: 0, ek: 'a', verdict, code: null, text: null, by: null, secureBoot: null, firmware: {}, changed: [], measured: null, ...more }, // prettier-ignore
  })
  const acts = (tpm: NodeRecord['tpm']) => perform(moved({ ...parked, tpm }, verb('deploy', { warm: true }))).acts
  const cold = ['image', 'publish', 'power off', 'pxe', 'power on']
  expect([
    acts(null),
    acts(proof('partial')),
    acts(proof('proved', { generation: 99 })),
    acts(proof('proved')),
  ]).toEqual([cold, cold, cold, ['image']])
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

test('without clean steps a node becomes available as it is', () => {
  expect(moved(inState('manageable'), verb('provide', { plan: [] }))).toMatchObject({
    provisionState: 'available',
    workflow: { pendingEffects: [] },
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
