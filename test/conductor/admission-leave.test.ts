/** Nodes that wait for admission can be taken back by the verbs of Ironic's waiting states, and a deleted instance does
 *  not go on while its node waits for the boot that cleans it. */
import { expect, test } from 'vitest'
import { lockedWhy, type NodeRecord } from '../../conductor/node/record.ts'
import { waitsForAdmission } from '../../conductor/node/policy/admission.ts'
import type { Past } from '../../conductor/node/policy/usual-time.ts'
import { actsOf } from '../../conductor/node/query/acts.ts'
import { boardNode } from '../../conductor/node/query/board.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import type { Move } from '../../conductor/node/workflow/context.ts'
import type { StepEvent } from '../../conductor/node/workflow/events.ts'
import type { State } from '../../conductor/node/workflow/states.ts'
import { step } from '../../conductor/node/workflow/step.ts'
import { AGENT, inState, settings, verb } from './node-step-bench.ts'

const QUEUED_AT_MS = 5_000
const LATER_MS = 9_000_000

function stepped(node: NodeRecord, event: StepEvent, nowMs = QUEUED_AT_MS) {
  const moves: Move[] = []
  return { done: step(node, event, { nowMs, settings: { ...settings, admission: true }, moves }), moves }
}

function moved(node: NodeRecord, event: StepEvent, nowMs?: number): NodeRecord {
  const { done } = stepped(node, event, nowMs)
  if ('refused' in done) throw new Error(done.why)
  return done.node
}

const owed = ({ workflow: { pendingEffects } }: NodeRecord) =>
  pendingEffects.map((effect) => ('to' in effect ? effect.to : effect.do))

function done(node: NodeRecord): NodeRecord {
  const [effect] = node.workflow.pendingEffects
  return moved(node, { type: 'effect-done', effect: effect!, pendingVersion: node.workflow.pendingVersion })
}

test.each<[State, Parameters<typeof verb>[0], State, State]>([
  ['available', 'deploy', 'deploying', 'deploy failed'],
  ['active', 'rebuild', 'deploying', 'deploy failed'],
  ['manageable', 'provide', 'cleaning', 'clean failed'],
  ['manageable', 'inspect', 'inspecting', 'inspect failed'],
])('from %s, %s is aborted in the queue: the server is not touched', (from, order, waitsIn, failed) => {
  const queued = moved(inState(from, { powerState: 'power on' }), verb(order))
  expect(queued.provisionState).toBe(waitsIn)
  expect(waitsForAdmission(queued)).toBe(true)
  expect(lockedWhy(queued)).toContain('waits for its turn')
  const aborted = moved(queued, verb('abort'), LATER_MS)
  expect(aborted).toMatchObject({ provisionState: failed, lastError: expect.stringContaining('aborted') })
  expect(owed(aborted)).toEqual([])
  expect(aborted.workflow.bootToken).toBe('none')
})

test('a queued deploy is undeployed: Ironic`s way through wait call-back, and the wait is nobody`s usual time', () => {
  const queued = moved(inState('available'), verb('deploy'))
  const { done: left, moves } = stepped(queued, verb('delete'), LATER_MS)
  expect(moves.map(({ from, to }) => `${from} > ${to}`)).toEqual([
    'deploying > wait call-back',
    'wait call-back > deleting',
  ])
  expect(moves.map(({ tookMs }) => tookMs)).toEqual([0, 0])
  if ('refused' in left) throw new Error(left.why)
  expect(owed(left.node)).toEqual(['publish', 'power off'])
  const cleaning = done(done(left.node))
  expect(cleaning.provisionState).toBe('cleaning')
  expect(owed(cleaning)[0]).toBe('admission')
  // It was admitted meanwhile: what was decided on the older record is refused.
  expect(stepped(left.node, { type: 'admitted' }).done).toMatchObject({ refused: 'store.stale' })
})

test('a running agent that waits with its node is switched off by an abort', () => {
  const parked = inState('available', { agent: { ...AGENT, generation: 0 }, powerState: 'power on' })
  const queued = moved(parked, verb('deploy', { warm: true }))
  expect(waitsForAdmission(queued)).toBe(true)
  expect(owed(moved(queued, verb('abort')))).toEqual(['publish', 'power off'])
})

test('an instance that is deleted is switched off before its node waits', () => {
  const deleted = moved(inState('active', { powerState: 'power on' }), verb('delete'))
  expect(deleted.provisionState).toBe('deleting')
  expect(owed(deleted)).toEqual(['publish', 'power off'])
  const queued = done(done(deleted))
  expect(queued).toMatchObject({ provisionState: 'cleaning', powerState: 'power off' })
  expect(waitsForAdmission(queued)).toBe(true)
})

test('other verbs wait for the lock, and no verb leaves an order that was admitted', () => {
  const queued = moved(inState('available'), verb('deploy'))
  for (const other of ['deploy', 'rebuild', 'manage', 'clean', 'unhold'] as const)
    expect(stepped(queued, verb(other)).done).toMatchObject({ refused: 'node.locked' })
  const cleaning = moved(inState('manageable'), verb('clean'))
  expect(stepped(cleaning, verb('delete')).done).toMatchObject({ refused: 'node.locked' })
  const admitted = moved(queued, { type: 'admitted' })
  for (const name of ['abort', 'delete'] as const)
    expect(stepped(admitted, verb(name)).done).toMatchObject({ refused: 'node.locked' })
})

test('what may be asked of a queued node says so', () => {
  const queued = moved(inState('available'), verb('deploy'))
  const acts = actsOf(queued, { cleanSteps: [], may: () => true, mayMaintain: false })
  const open = acts.filter(({ kind, refused }) => kind === 'provision' && refused === null)
  expect(open.map(({ name }) => name)).toEqual(['delete', 'abort'])
})

test('on the board, a queued node has its place, and is not slow however long it waits', () => {
  const queued = moved(inState('available'), verb('deploy'))
  const past: Past = { of: 'model', tookMs: Array.from({ length: 20 }, () => 1_000) }
  const live = new Sightings().look('nobody')
  const queue = { place: 3, of: 12, leftMs: 90_000, why: 'no room' }
  const shown = (node: NodeRecord, more: object) =>
    boardNode(node, { live: { ...live, ...more }, nowMs: LATER_MS, past })
  expect(shown(queued, { queue })).toMatchObject({
    kind: 'working',
    queue: { place: 3, of: 12, left: 90 },
    usual: null,
    unusual: false,
  })
  // Before the queue was looked at; and once it is its turn, its time counts.
  expect(shown(queued, {}).queue).toBeNull()
  const begun = { ...queued, workflow: { ...queued.workflow, pendingEffects: [] } }
  expect(shown(begun, { queue })).toMatchObject({ queue: null, unusual: true, usual: { p95: 1 } })
})
