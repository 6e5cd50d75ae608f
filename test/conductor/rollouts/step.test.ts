/** Roll-outs decide by values: canaries first, as many at once as wanted, a stop at failures; and an interruption at
 *  any point sends no verb twice and forgets none. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { mayBecome, move, tableFlaws } from '../../../kit/arrows.ts'
import { VERBS, type PlanItem, type PlanVerb, type Stage } from '../../../conductor/rollouts/plan.ts'
import { withSecrets } from '../../../conductor/rollouts/requests.ts'
import { ROLLOUT_TABLE, TURN_TABLE } from '../../../conductor/rollouts/states.ts'
import { deedsOf, verdictOf, type NodeFacts, type Rollout, type NodeTurn } from '../../../conductor/rollouts/step.ts'

const item = (node: string, stages: Stage[] = []): PlanItem => ({
  node,
  rack: node.split('-')[0] ?? '',
  uuid: null,
  fingerprint: null,
  says: [],
  stages,
  record: null,
})
const turn = (node: string, position: number, more: Partial<NodeTurn> = {}): NodeTurn => ({
  state: 'waiting',
  position,
  item: item(node),
  stage: 0,
  nodeUuid: node,
  mark: null,
  why: null,
  ...more,
})
const rollout = (more: Partial<Rollout['roll']> = {}, head: Partial<Rollout> = {}): Rollout => ({
  state: 'running',
  roll: { at_once: 8, at_once_per_rack: null, stop_after: 1, canaries: [], hold_seconds: 0, ...more },
  forgiven: 0,
  canariesDoneAtMs: null,
  why: null,
  ...head,
})

test('the tables are whole', () => {
  expect(
    tableFlaws(ROLLOUT_TABLE.arrows, ['preparing', 'running', 'paused', 'stopped', 'done', 'cancelled'], ROLLOUT_TABLE),
  ).toEqual([])
  expect(tableFlaws(TURN_TABLE.arrows, ['waiting', 'running', 'done', 'failed'], TURN_TABLE)).toEqual([])
})

test('canaries alone, then a pause, then the others', () => {
  const turns = [turn('r1-a', 0), turn('r1-b', 1), turn('r1-c', 2)]
  const canaries = { canaries: ['r1-b'], hold_seconds: 10 }
  expect(deedsOf(rollout(canaries), turns, 0)).toEqual([{ do: 'begin', turn: turns[1] }])
  const done = [turns[0]!, { ...turns[1]!, state: 'done' as const }, turns[2]!]
  expect(deedsOf(rollout(canaries), done, 0)).toEqual([{ do: 'canaries done' }])
  const after = rollout(canaries, { canariesDoneAtMs: 0 })
  expect(deedsOf(after, done, 9_999)).toEqual([])
  expect(deedsOf(after, done, 10_000).map((deed) => deed.do)).toEqual(['begin', 'begin'])
})

test('a canary that fails stops it whatever is tolerated, and failures are accepted by whoever resumes', () => {
  const failed = [turn('r1-a', 0, { state: 'failed', why: 'x' }), turn('r1-b', 1)]
  expect(deedsOf(rollout({ canaries: ['r1-a'], stop_after: 5 }), failed, 0)).toMatchObject([{ do: 'stop' }])
  expect(deedsOf(rollout({ stop_after: 2 }), failed, 0)).toMatchObject([{ do: 'begin' }])
  expect(deedsOf(rollout(), failed, 0)).toMatchObject([{ do: 'stop', why: '1 nodes failed; the last: r1-a: x' }])
  expect(deedsOf(rollout({}, { forgiven: 1 }), failed, 0)).toMatchObject([{ do: 'begin' }])
  expect(deedsOf(rollout({}, { state: 'paused' }), failed, 0)).toEqual([])
})

test('arbiters are worked on one at a time, and of another role as many as the file says', () => {
  const of = (role: string | undefined, name: string, position: number, more: Partial<NodeTurn> = {}) =>
    turn(name, position, { item: { ...item(name), ...(role === undefined ? {} : { role }) }, ...more })
  const begun = (turns: readonly NodeTurn[], roll: Partial<Rollout['roll']> = {}) =>
    deedsOf(rollout(roll), turns, 0).flatMap((deed) => (deed.do === 'begin' ? [deed.turn.item.node] : []))
  const turns = [
    of('arbiter', 'a1', 0),
    of('arbiter', 'a2', 1),
    of('host', 'h1', 2),
    of('host', 'h2', 3),
    of(undefined, 'n', 4),
  ]
  expect(begun(turns)).toEqual(['a1', 'h1', 'h2', 'n'])
  expect(begun(turns, { at_once_per_role: { host: 1 } })).toEqual(['a1', 'h1', 'n'])
  expect(begun(turns, { at_once_per_role: { arbiter: 5 } })).toEqual(['a1', 'h1', 'h2', 'n'])
  expect(begun([{ ...turns[0]!, state: 'running' }, ...turns.slice(1)])).toEqual(['h1', 'h2', 'n'])
  expect(begun([{ ...turns[0]!, state: 'done' }, ...turns.slice(1)])).toEqual(['a2', 'h1', 'h2', 'n'])
})

test('an arbiter that fails keeps the next one from being touched, whatever is tolerated', () => {
  const arbiter = (name: string, position: number, more: Partial<NodeTurn> = {}) =>
    turn(name, position, { item: { ...item(name), role: 'arbiter' }, ...more })
  const failed = arbiter('a1', 0, { state: 'failed', why: 'x' })
  const lax = rollout({ stop_after: 5 })
  expect(deedsOf(lax, [failed, arbiter('a2', 1)], 0)).toEqual([
    { do: 'stop', why: 'the arbiter a1 failed, and another one would be next: x' },
  ])
  expect(deedsOf(lax, [failed, turn('n', 1)], 0)).toMatchObject([{ do: 'begin' }])
  const resumed = rollout({ stop_after: 5 }, { forgiven: 1 })
  expect(deedsOf(resumed, [failed, arbiter('a2', 1)], 0)).toMatchObject([{ do: 'begin' }])
})

test('never more at once than wanted, in all and of a rack; and it always ends', () => {
  fc.assert(
    fc.property(
      fc.array(fc.constantFrom('r1', 'r2', 'r3'), { minLength: 1, maxLength: 20 }),
      fc.integer({ min: 1, max: 5 }),
      fc.option(fc.integer({ min: 1, max: 3 }), { nil: null }),
      fc.array(fc.nat(19), { maxLength: 3 }),
      (racks, at_once, at_once_per_rack, canaryAt) => {
        const names = racks.map((rack, i) => `${rack}-${i}`)
        const canaries = canaryAt.flatMap((i) => names[i] ?? [])
        let head = rollout({ at_once, at_once_per_rack, canaries })
        let turns = names.map((name, i) => turn(name, i))
        let rounds = 0
        for (; head.state === 'running'; rounds += 1) {
          expect(rounds).toBeLessThan(200)
          const before = turns
          for (const deed of deedsOf(head, before, 0)) {
            if (deed.do === 'begin' || deed.do === 'go on') {
              const next = move(TURN_TABLE, deed.turn, { on: deed.do === 'begin' ? 'begin' : 'finish', patch: {} })
              turns = turns.map((one) => (one.position === next.position ? next : one))
            } else if (deed.do === 'canaries done') head = { ...head, canariesDoneAtMs: 0 }
            else if (deed.do === 'finish') head = move(ROLLOUT_TABLE, head, { on: 'finish', patch: {} })
          }
          const running = turns.filter(({ state }) => state === 'running')
          expect(running.length).toBeLessThanOrEqual(at_once)
          for (const rack of ['r1', 'r2', 'r3'])
            expect(running.filter((one) => one.item.rack === rack).length).toBeLessThanOrEqual(at_once_per_rack ?? 99)
          const others = turns.filter(({ state, item: { node } }) => state !== 'waiting' && !canaries.includes(node))
          const open = turns.some(({ state, item: { node } }) => canaries.includes(node) && state !== 'done')
          if (open) expect(others).toEqual([])
          for (const [i, one] of turns.entries()) expect(mayBecome(TURN_TABLE, before[i]?.state, one.state)).toBe(true)
        }
        expect(turns.every(({ state }) => state === 'done')).toBe(true)
      },
    ),
    { numRuns: 100 },
  )
})

/** A node that carries out what it is sent, in two looks. */
class ModelNode {
  sent: PlanVerb[] = []
  private going: PlanVerb | undefined
  private state: NodeFacts['provisionState'] = 'enroll'
  private generation = 4

  send(verb: PlanVerb): void {
    this.sent = [...this.sent, verb]
    this.going = verb
    this.generation += 1
  }

  look(): NodeFacts {
    const { going } = this
    this.going = undefined
    if (going) this.state = VERBS[going]
    return {
      provisionState: going ? 'cleaning' : this.state,
      generation: this.generation,
      phase: going ? 'agent' : 'rest',
      isLocked: false,
      lastError: null,
    }
  }
}

test('an interruption at any point gives the same end: each verb is sent once, in order', () => {
  const verbs = fc.array(fc.constantFrom<PlanVerb>('manage', 'inspect', 'provide', 'active', 'rebuild', 'clean'), {
    maxLength: 5,
  })
  fc.assert(
    fc.property(verbs, fc.array(fc.boolean(), { maxLength: 40 }), (wanted, crashes) => {
      const node = new ModelNode()
      /** What is stored; what a conductor holds in memory is lost with it. */
      let stored = turn('r1-a', 0, {
        state: 'running',
        item: item(
          'r1-a',
          wanted.map((verb) => ({ do: 'verb', verb })),
        ),
      })
      for (let round = 0; stored.state === 'running'; round += 1) {
        expect(round).toBeLessThan(200)
        const isCut = () => crashes[round] === true
        const verdict = verdictOf(stored, node.look())
        if (verdict.next === 'wait') continue
        if (verdict.next === 'next') stored = isCut() ? stored : { ...stored, stage: stored.stage + 1, mark: null }
        if (verdict.next === 'finish') stored = move(TURN_TABLE, stored, { on: 'finish', patch: {} })
        if (verdict.next === 'mark') {
          stored = { ...stored, mark: verdict.mark }
          // Ended between the record and the request, or right after the request.
          if (!isCut()) node.send(wanted[stored.stage] as PlanVerb)
        }
        if (verdict.next === 'send') node.send(wanted[stored.stage] as PlanVerb)
        expect(verdict.next).not.toBe('fail')
      }
      expect(node.sent).toEqual(wanted)
    }),
    { numRuns: 300 },
  )
})

test('a node that rests elsewhere than wanted has failed, with its error', () => {
  const of = turn('r1-a', 0, { state: 'running', mark: 1, item: item('r1-a', [{ do: 'verb', verb: 'provide' }]) })
  const facts: NodeFacts = {
    provisionState: 'clean failed',
    generation: 2,
    phase: 'rest',
    isLocked: false,
    lastError: 'disk',
  }
  expect(verdictOf(of, facts)).toEqual({ next: 'fail', why: 'provide: it is clean failed: disk' })
  expect(verdictOf(of, { ...facts, isLocked: true })).toEqual({ next: 'wait' })
  expect(verdictOf(of, undefined)).toMatchObject({ next: 'fail' })
})

test('secrets are put where they belong; one that was not given is refused', () => {
  expect(withSecrets([{ a: { $secret: 'x' } }], { x: 'y' })).toEqual([{ a: 'y' }])
  expect(() => withSecrets({ $secret: 'toString' }, {})).toThrow('the secret toString was not given')
})
