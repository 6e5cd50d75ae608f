/** Long work of a BMC: ordered, looked at without a lock, and ended by its end state or its deadline; what may happen
 *  to the node meanwhile. */
import { expect, test } from 'vitest'
import { FakeBmc } from '../../conductor/bmc/fake.ts'
import { partOf } from '../../conductor/bmc/controller.ts'
import type { BmcTask } from '../../conductor/bmc/task.ts'
import { dueAtMs, isLocked, type NodeRecord } from '../../conductor/node/record.ts'
import { BmcWorks, lateCode, nextLookMs, withHint, type BmcWork } from '../../conductor/node/run/bmc-work.ts'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import type { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { planAsked, type PlannedStep } from '../../conductor/node/policy/steps.ts'
import type { EffectFound } from '../../conductor/node/workflow/events.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { systemClock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import { account, at, hello, inState, moved, perform, verb } from './node-step-bench.ts'

const UPDATE: PlannedStep = {
  interface: 'firmware',
  step: 'update',
  args: {},
  priority: 0,
  by: 'bmc',
  abortable: false,
}
const TASK: BmcTask = {
  what: 'firmware',
  uri: null,
  before: null,
  want: null,
  stage: 'prepared',
  beganAtMs: 5_000,
  deadlineMs: 65_000,
  lookAtMs: 7_000,
  seen: { percent: null, words: null },
  hush: null,
}
const LATER = planAsked('clean', [{ interface: 'deploy', step: 'erase_devices_express' }], 'x')

/** The head of what is owed ends with this. */
function ended(node: NodeRecord, found: EffectFound = {}): NodeRecord {
  const [effect] = node.workflow.pendingEffects
  if (!effect) throw new Error('nothing is owed')
  return moved(node, { type: 'effect-done', effect, pendingVersion: node.workflow.pendingVersion, found })
}
const owed = (node: NodeRecord) =>
  node.workflow.pendingEffects.map((effect) => ('to' in effect ? effect.to : effect.do))

/** A node whose BMC works; the order of the verb is these steps. */
function atWork(more: Partial<BmcTask> = {}, steps: readonly PlannedStep[] = [UPDATE]): NodeRecord {
  const asked = moved(inState('manageable'), verb('clean', { plan: steps }))
  expect(owed(asked)).toEqual(['bmc-prepare', 'bmc-begin'])
  const prepared = ended(asked, { bmcTask: TASK })
  return ended(prepared, { bmcTask: { ...TASK, stage: 'asked', ...more } })
}
const look = (node: NodeRecord, nowMs = 8_000) => {
  const stepped = step(node, { type: 'deadline', agentSeen: false, lastSeen: '' }, { ...at, nowMs })
  if ('refused' in stepped) throw new Error(stepped.why)
  return stepped.node
}

test('the node waits without a lock, and looks are owed one by one until the end is proven', () => {
  const node = atWork()
  expect(node.provisionState).toBe('clean wait')
  expect([isLocked(node), node.workflow.phase, dueAtMs(node)]).toEqual([false, 'bmc', 7_000])
  expect(look(node, 6_000)).toBe(node)

  const looking = look(node)
  expect([owed(looking), isLocked(looking)]).toEqual([['bmc-look'], true])
  const again = ended(looking, { bmcTask: { ...TASK, stage: 'asked', lookAtMs: 20_000 } })
  expect([again.provisionState, isLocked(again), dueAtMs(again)]).toEqual(['clean wait', false, 20_000])

  const done = ended(look(again, 21_000), { bmcTask: { ...TASK, stage: 'done' } })
  expect(done).toMatchObject({ provisionState: 'manageable', workflow: { bmcTask: null } })
})

test('a restart that the BMC needs is carried out in the wait, and the server is not restarted again for the agent', () => {
  const node = atWork({}, [UPDATE, ...LATER])
  const restarting = ended(look(node), { bmcTask: { ...TASK, stage: 'rebooted' }, restart: true })
  expect(owed(restarting)).toEqual(['publish', 'power off', 'boot-device', 'power on'])
  const waiting = perform(restarting).node
  expect([waiting.provisionState, waiting.workflow.phase, isLocked(waiting)]).toEqual(['clean wait', 'bmc', false])
  // The agent of this boot is taken when the BMC is done: firmware that restarts the server by itself makes no second
  // claim.
  expect(() => hello(waiting)).toThrow(/expects no agent yet/)

  const next = perform(ended(look(waiting), { bmcTask: { ...TASK, stage: 'done' } }))
  expect([next.acts, next.node.provisionState, next.node.workflow.phase]).toEqual([[], 'clean wait', 'agent'])
  expect(hello(next.node).agent).not.toBeNull()
})

test('a server that was restarted for its BMC alone is switched off at the end of a clean', () => {
  const restarting = ended(look(atWork()), { bmcTask: { ...TASK, stage: 'rebooted' }, restart: true })
  const ends = perform(ended(look(perform(restarting).node), { bmcTask: { ...TASK, stage: 'done' } }))
  expect(ends).toMatchObject({ acts: ['publish', 'power off'], node: { provisionState: 'manageable' } })
})

test('a service restarts the server into its instance', () => {
  const asked = moved(inState('active'), verb('service', { plan: [UPDATE] }))
  const begun = ended(ended(asked, { bmcTask: TASK }), { bmcTask: { ...TASK, stage: 'rebooted' }, restart: true })
  const { node, acts } = perform(begun)
  expect([acts, node.provisionState]).toEqual([['publish', 'power off', 'disk', 'power on'], 'service wait'])
  const done = perform(ended(look(node), { bmcTask: { ...TASK, stage: 'done' } }))
  expect([done.acts, done.node.provisionState]).toEqual([[], 'active'])
})

test('what holds already needs no wait', () => {
  const asked = moved(inState('manageable'), verb('clean', { plan: [UPDATE] }))
  expect(ended(ended(asked, { bmcTask: TASK }), { bmcTask: { ...TASK, stage: 'done' } }).provisionState).toBe(
    'manageable',
  )
})

test('a fault of the look ends the step, and nothing is switched off: the BMC may still write', () => {
  const looking = look(atWork())
  const fault = { code: 'bmc.task', text: 'no', retry: false } as const
  const failed = moved(looking, {
    type: 'effect-failed',
    effect: { do: 'bmc-look' },
    pendingVersion: looking.workflow.pendingVersion,
    fault,
  })
  expect(failed).toMatchObject({ provisionState: 'clean failed', lastError: 'no', workflow: { bmcTask: null } })
  expect(owed(failed)).toEqual([])
})

test('a step that cannot be aborted is not, and nobody switches the server meanwhile', () => {
  const node = atWork()
  expect(step(node, verb('abort'), at)).toMatchObject({
    refused: 'node.state',
    why: expect.stringContaining('firmware.update'),
  })
  const serving = { ...atWork(), provisionState: 'service wait' } as NodeRecord
  expect(step(serving, { type: 'power', target: 'power off' }, at)).toMatchObject({ refused: 'node.state' })
  const { abortable: _, ...mayStop } = UPDATE
  expect(moved(atWork({}, [mayStop]), verb('abort')).provisionState).toBe('clean failed')
})

test('a BMC that updates itself is no lost BMC, and explain says why it is silent', () => {
  const node = atWork({ hush: 'the BMC restarts with new firmware', seen: { percent: 40, words: 'Flashing' } })
  const lost = { type: 'poll-lost', fault: { code: 'bmc.unreachable', text: 'silent', retry: true } } as const
  expect(moved(node, lost)).toBe(node)
  const said = account(node)
  expect(said.waits_for).toBe('the BMC to carry out firmware.update (the BMC has the order; 40 %; Flashing)')
  expect(said.causes[0]?.cause).toMatch(
    /restarts with new firmware: its power is not polled, and it cannot be fenced \(bmc\.updating\)/,
  )
})

test('a wall clock that is set moves the deadline of the work', () => {
  const later = moved(atWork(), { type: 'clock-set', byMs: 3_600_000 })
  expect(later.workflow.bmcTask).toMatchObject({ lookAtMs: 3_607_000, deadlineMs: 3_665_000, beganAtMs: 3_605_000 })
})

function works(look: BmcWork['look'], nowMs: number, more: Partial<BmcTask> = {}) {
  const clock = { ...systemClock, now: () => nowMs }
  const bmcs = { target: () => ({ key: 'x', bmc: new FakeBmc() }) } as unknown as BmcRegistry
  const work: BmcWork = { prepare: async () => TASK, begin: async (task) => ({ task }), look }
  const all = new BmcWorks({
    bmcQueue: new BmcQueue(systemClock),
    bmcs,
    clock,
    lookMs: 2_000,
    works: { 'firmware.update': work },
  })
  return all.perform({ do: 'bmc-look' }, atWork(more), AbortSignal.timeout(30_000))
}

test('a BMC that cannot be read ends its work at the deadline, and not before', async () => {
  const silent = () => Promise.reject(new Fault('bmc.unreachable', 'BMC x: connect ECONNREFUSED'))
  expect(await works(silent, 9_000)).toMatchObject({
    bmcTask: { stage: 'asked', seen: { words: expect.stringContaining('ECONNREFUSED') }, lookAtMs: 11_000 },
  })
  const late = await works(silent, 65_000).catch((error: unknown) => error)
  expect(isFault(late, 'bmc.task') && late.detail).toMatch(/did not end within 60 s.*ECONNREFUSED/)
  const refused = await works(() => Promise.reject(new Fault('bmc.licence', 'no')), 9_000).catch(
    (error: unknown) => error,
  )
  expect(isFault(refused, 'bmc.licence')).toBe(true)
})

test('the deadline is that of the task after the look, which may have begun the next part, and what it found is kept first', async () => {
  const next: BmcWork['look'] = async (task) => ({
    task: { ...task, beganAtMs: 65_000, deadlineMs: 185_000, seen: { percent: null, words: 'bmc: ordered' } },
  })
  expect(await works(next, 65_000)).toMatchObject({ bmcTask: { deadlineMs: 185_000, seen: { words: 'bmc: ordered' } } })
  const ends: BmcWork['look'] = async (task) => ({
    task: { ...task, stage: 'settling', deadlineMs: 9_000, seen: { percent: null, words: 'A differs' } },
  })
  const late = await works(ends, 9_000).catch((error: unknown) => error)
  expect(isFault(late, 'bmc.task') && late.detail).toMatch(/did not end within 4 s: A differs/)

  const bmc = { origin: 'https://192.0.2.9', tlsPin: 'new' }
  const keyed: BmcWork['look'] = async (task) => ({ task, patch: { bmc } })
  expect(await works(keyed, 70_000)).toMatchObject({ patch: { bmc } })
})

test.each([
  ['volumes', 'completed', false, 'raid.absent'],
  ['volumes', null, false, 'raid.absent'],
  ['volumes', 'gone', false, 'bmc.task-gone'],
  ['firmware', 'completed', false, 'bmc.unchanged'],
  ['firmware', 'failed', false, 'bmc.task-failed'],
  ['bios', 'gone', false, 'bmc.task-gone'],
  ['firmware', 'gone', true, 'bmc.restarted'],
  ['bios', 'running', true, 'bmc.task'],
  ['bios', null, false, 'bmc.task'],
] as const)(
  '%s that did not end in time, its task %s, the BMC away meanwhile: %s, is the fault %s',
  (what, task, wasAway, code) => {
    expect(lateCode({ what, signs: { task, wasAway, isAway: false } })).toBe(code)
  },
)

test('a BMC that was away, and knows nothing of its task afterwards, restarted in the middle', async () => {
  const asked = { ...TASK, uri: '/tasks/1', deadlineMs: 9_000 }
  const silent = () => Promise.reject(new Fault('bmc.unreachable', 'BMC x: connect ECONNREFUSED'))
  const { bmcTask: away } = (await works(silent, 8_000)) as { bmcTask: BmcTask }
  expect(away.signs).toEqual({ task: null, isAway: true, wasAway: true })
  const back: BmcWork['look'] = async (task) => ({ task: withHint({ ...asked, signs: task.signs ?? null }, null) })
  const late = await works(back, 9_500, away).catch((error: unknown) => error)
  expect(isFault(late, 'bmc.restarted')).toBe(true)
  const forgetful = await works(back, 9_500).catch((error: unknown) => error)
  expect(isFault(forgetful, 'bmc.task-gone')).toBe(true)
})

test('looks come later and later, and at least twice a minute', () => {
  expect(
    [0, 6_000, 10_000, 30_000, 600_000].map((ms) => nextLookMs({ beganAtMs: 0 }, { nowMs: ms, firstMs: 2_000 }) - ms),
  ).toEqual([2_000, 2_000, 3_334, 10_000, 30_000])
})

test('a BMC without a part says so', () => {
  expect(() => partOf(new FakeBmc(), 'bios')).toThrow(/offers no BIOS settings/)
})
