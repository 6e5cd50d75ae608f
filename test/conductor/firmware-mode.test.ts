/** A change of boot mode or Secure Boot is waited for without a lock: what is owed, what may happen to the node
 *  meanwhile, and how the wait ends. */
import { expect, test } from 'vitest'
import type { BmcTask } from '../../conductor/bmc/task.ts'
import { dueAtMs, isLocked, type NodeRecord } from '../../conductor/node/record.ts'
import type { PlannedStep } from '../../conductor/node/policy/steps.ts'
import type { EffectFound, StepEvent } from '../../conductor/node/workflow/events.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { account, AGENT, at, inState, moved, verb } from './node-step-bench.ts'

const TASK: BmcTask = {
  what: 'mode',
  uri: null,
  before: null,
  want: { secureBoot: true },
  stage: 'rebooted',
  beganAtMs: 5_000,
  deadlineMs: 905_000,
  lookAtMs: 7_000,
  seen: { percent: null, words: null },
  hush: null,
}
const OFF_BEFORE: BmcTask = { ...TASK, want: { secureBoot: true, wasOff: true } }
const CAPABLE = { driver: 'redfish', instanceInfo: { capabilities: 'secure_boot:true' } } as const

const owed = (node: NodeRecord) =>
  node.workflow.pendingEffects.map((effect) => ('to' in effect ? effect.to : effect.do))

/** The head of what is owed ends with this. */
function ended(node: NodeRecord, found: EffectFound = {}): NodeRecord {
  const [effect] = node.workflow.pendingEffects
  if (!effect) throw new Error('nothing is owed')
  return moved(node, { type: 'effect-done', effect, pendingVersion: node.workflow.pendingVersion, found })
}
/** Everything that is owed ends; the proof of a start ends with `proof`. */
function allEnded(node: NodeRecord, proof: EffectFound = {}): NodeRecord {
  let now = node
  for (let effect = now.workflow.pendingEffects[0]; effect; effect = now.workflow.pendingEffects[0])
    now = ended(now, effect.do === 'firmware-mode' && effect.how === 'prove' ? proof : {})
  return now
}
const look = (node: NodeRecord, nowMs = 8_000) => {
  const stepped = step(node, { type: 'deadline', agentSeen: false, lastSeen: '' }, { ...at, nowMs })
  if ('refused' in stepped) throw new Error(stepped.why)
  return stepped.node
}
const asked = (more: Partial<NodeRecord> = {}) =>
  moved(inState('manageable', { driver: 'redfish', powerState: 'power off', ...more }), {
    type: 'firmware-mode',
    secureBoot: true,
  })
/** Its server was restarted, and the proof is waited for. */
const waiting = (more: Partial<NodeRecord> = {}, task = TASK) =>
  allEnded(ended(asked(more), { bmcTask: task, restart: true }))
const failedLook = (node: NodeRecord): NodeRecord =>
  moved(look(node), {
    type: 'effect-failed',
    effect: { do: 'bmc-look' },
    pendingVersion: look(node).workflow.pendingVersion,
    fault: { code: 'bmc.task', text: 'no', retry: false },
  })

test('a node at rest waits without a lock, is looked at until the proof, and is off again when it was off', () => {
  const restarting = ended(asked(), { bmcTask: OFF_BEFORE, restart: true })
  expect(owed(restarting)).toEqual(['power off', 'power on'])
  const node = allEnded(restarting)
  expect([node.provisionState, node.powerState, isLocked(node), dueAtMs(node)]).toEqual([
    'manageable',
    'power on',
    false,
    7_000,
  ])
  const looking = look(node)
  expect([owed(looking), isLocked(looking)]).toEqual([['bmc-look'], true])
  const again = ended(looking, { bmcTask: { ...OFF_BEFORE, lookAtMs: 20_000 } })
  expect([isLocked(again), dueAtMs(again)]).toEqual([false, 20_000])

  const proven = ended(look(again, 20_000), { bmcTask: { ...OFF_BEFORE, stage: 'done' }, patch: { secureBoot: true } })
  expect(owed(proven)).toEqual(['power off'])
  const done = allEnded(proven)
  expect(done).toMatchObject({ secureBoot: true, powerState: 'power off', workflow: { phase: 'rest', bmcTask: null } })
  expect([isLocked(done), dueAtMs(done)]).toEqual([false, null])
})

test('a server that was on stays on, and one that must not be switched off is reset', () => {
  const on = { powerState: 'power on', agent: AGENT } as const
  const proven = ended(look(waiting(on)), { bmcTask: { ...TASK, stage: 'done' } })
  expect([owed(proven), proven.powerState, proven.workflow.phase, proven.agent]).toEqual([[], 'power on', 'rest', null])
  const reset = ended(asked({ ...on, disablePowerOff: true }), { bmcTask: TASK, restart: true })
  expect(owed(reset)).toEqual(['reset'])
})

test('what holds already is no wait', () => {
  const node = ended(asked(), { patch: { secureBoot: true } })
  expect([isLocked(node), node.secureBoot, node.workflow.phase, dueAtMs(node)]).toEqual([false, true, 'rest', null])
})

test('requests for the power, a state or another mode are refused in the wait with its end, and breaking the lock gives it up', () => {
  const node = waiting()
  const requests: StepEvent[] = [
    { type: 'power', target: 'power off' },
    verb('clean'),
    { type: 'firmware-mode', bootMode: 'bios' },
  ]
  for (const request of requests)
    expect(step(node, request, at)).toMatchObject({
      refused: 'object.conflict',
      why: expect.stringMatching(/waits for the proof, until 1970-01-01T00:15:05\S* at most; breaking its lock/),
    })
  const free = moved(node, { type: 'break-lock', why: 'given up' })
  expect(free).toMatchObject({ lastError: 'given up', workflow: { phase: 'rest', bmcTask: null } })
  expect(moved(free, { type: 'power', target: 'power off' }).targetPowerState).toBe('power off')
})

test('a proof that does not come leaves a node at rest where it was, with the fault', () => {
  expect(failedLook(waiting())).toMatchObject({
    provisionState: 'manageable',
    lastError: 'no',
    lastFault: { code: 'bmc.task' },
    workflow: { phase: 'rest', bmcTask: null, pendingEffects: [] },
  })
})

test('explain names the wait, and what the BMC shows', () => {
  const node = waiting({}, { ...TASK, seen: { percent: null, words: 'the BMC shows Secure Boot off' } })
  const said = account(node)
  expect([said.waits_for, said.lock]).toEqual([
    'the server to start with Secure Boot on (the server was restarted for it; the BMC shows Secure Boot off)',
    null,
  ])
})

test('an instance that wants Secure Boot is active when it is proven, and the deploy fails when it is not; no lock is held meanwhile', () => {
  const starting = moved(inState('rescue', CAPABLE), verb('unrescue'))
  const node = allEnded(starting, { bmcTask: TASK })
  expect([node.provisionState, isLocked(node), dueAtMs(node)]).toEqual(['unrescuing', false, 7_000])
  expect(ended(look(node), { bmcTask: { ...TASK, stage: 'done' } })).toMatchObject({
    provisionState: 'active',
    workflow: { phase: 'rest', bmcTask: null },
  })
  expect(failedLook(node)).toMatchObject({ provisionState: 'unrescue failed', lastError: 'no' })
  // What holds at the first look is no wait.
  expect(allEnded(starting).provisionState).toBe('active')
})

test('a service whose BMC restarts the server is over when the Secure Boot of the instance is proven, after its own work', () => {
  const plan: readonly PlannedStep[] = [
    { interface: 'bios', step: 'apply_configuration', args: {}, priority: 0, by: 'bmc' },
  ]
  const bios: BmcTask = { ...TASK, what: 'bios', want: { ProcCores: 8 } }
  const serve = (restart: boolean) => {
    const begun = ended(moved(inState('active', CAPABLE), verb('service', { plan })), { bmcTask: bios })
    return ended(begun, { bmcTask: bios, ...(restart ? { restart: true } : {}) })
  }
  const restarting = serve(true)
  expect(owed(restarting)).toEqual(['publish', 'power off', 'firmware-mode', 'boot-device', 'power on'])
  const node = allEnded(restarting)
  expect(node.workflow.bmcTask?.what).toBe('bios')
  const worked = ended(look(node), { bmcTask: { ...bios, stage: 'done' } })
  expect([worked.provisionState, worked.workflow.pendingEffects]).toEqual([
    'servicing',
    [{ do: 'firmware-mode', secureBoot: true, how: 'prove' }],
  ])
  const proving = ended(worked, { bmcTask: TASK })
  expect([proving.provisionState, isLocked(proving)]).toEqual(['servicing', false])
  expect(ended(look(proving), { bmcTask: { ...TASK, stage: 'done' } }).provisionState).toBe('active')
  // Nothing was restarted, so nothing is to be proven.
  expect(ended(look(serve(false)), { bmcTask: { ...bios, stage: 'done' } }).provisionState).toBe('active')
})
