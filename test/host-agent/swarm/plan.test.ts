/** What a node asks of whom, piece by piece; and properties that hold whatever the network does. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { SEED, SwarmPlan } from '../../../host-agent/deploy/swarm/plan.ts'
import { numbers } from './events.ts'

const plan = (pieces: number, more: Partial<ConstructorParameters<typeof SwarmPlan>[0]> = {}) =>
  new SwarmPlan({ pieces, wanted: Array.from({ length: pieces }, (_, i) => i), random: numbers(1), ...more })

describe('one node', () => {
  test('the rarest piece comes first', () => {
    const one = plan(4, { perPeer: 1 })
    for (const id of ['a', 'b', 'c']) one.joined(id, true)
    one.has('a', [0, 1, 2])
    one.has('b', [0, 1])
    one.has('c', [0])
    expect(one.next(0)[0]).toEqual({ piece: 2, from: 'a' })
  })

  test('a piece crosses into the rack only while nobody there has it', () => {
    const one = plan(12, { perPeer: 12 })
    one.joined('near', true)
    one.joined('far', false)
    one.has('near', [0, 1, 2, 3, 4, 5])
    one.has(
      'far',
      Array.from({ length: 12 }, (_, i) => i),
    )
    // The first few requests may go anywhere: whoever has nothing under way is to get something.
    const asks = one.next(0)
    expect(asks).toHaveLength(12)
    expect(asks.slice(4).filter(({ piece, from }) => from === 'far' && piece < 6)).toEqual([])
  })

  test('the seed is asked by who has a share of it, for its own part first', () => {
    const one = plan(8)
    one.joined('a', true)
    expect(one.next(0)).toEqual([])
    one.grant({ index: 1, of: 4 })
    const asks = one.next(10)
    expect(asks.map(({ from }) => from)).toEqual([SEED, SEED])
    expect(asks.map(({ piece }) => piece).sort()).toEqual([1, 5])
  })

  test('a node that received nothing for a second asks the seed without a share', () => {
    const one = plan(8)
    one.joined('a', true)
    expect(one.next(0)).toEqual([])
    expect(one.next(1_500)).toMatchObject([{ from: SEED }])
  })

  test('a late answer is asked of another one, and the late one is left alone until it answers', () => {
    const one = plan(2, { perPeer: 1 })
    one.joined('slow', true)
    one.has('slow', [0])
    one.seedFailed(0, 1e9)
    expect(one.next(0)).toEqual([{ piece: 0, from: 'slow' }])
    one.joined('quick', true)
    one.has('quick', [0])
    expect(one.next(100)).toEqual([])
    expect(one.next(10_000)).toContainEqual({ piece: 0, from: 'quick' })
    one.has('slow', [1])
    expect(one.next(10_001).filter(({ from }) => from === 'slow')).toEqual([])
    expect(one.arrived({ piece: 0, from: 'quick' }, 10_100)).toEqual({ isNew: true, cancel: ['slow'] })
    expect(one.arrived({ piece: 0, from: 'slow' }, 10_200).isNew).toBe(false)
    expect(one.next(10_201)).toContainEqual({ piece: 1, from: 'slow' })
  })

  test('a liar is out for good, and what it owed is asked of others', () => {
    const one = plan(1)
    for (const id of ['liar', 'b']) {
      one.joined(id, true)
      one.has(id, [0])
    }
    const first = one.next(0)[0]?.from ?? ''
    one.lied(first)
    expect(one.joined(first, true)).toBe(false)
    const second = one.next(0)[0]?.from
    expect([first, second].sort()).toEqual(['b', 'liar'])
  })

  test('a seed that fails is left alone for a while', () => {
    const one = plan(1)
    expect(one.next(0)).toEqual([{ piece: 0, from: SEED }])
    one.seedFailed(0, 5_000)
    expect(one.next(4_999)).toEqual([])
    expect(one.next(5_000)).toEqual([{ piece: 0, from: SEED }])
  })
})

type Move =
  | { do: 'join' | 'leave' | 'lie'; peer: number }
  | { do: 'has'; peer: number; pieces: number[] }
  | { do: 'ask' }
  | { do: 'answer' | 'refuse'; which: number }

const PIECES = 12
const peerNumber = fc.nat({ max: 4 })
const move: fc.Arbitrary<Move> = fc.oneof(
  fc.record({ do: fc.constantFrom('join' as const, 'leave' as const, 'lie' as const), peer: peerNumber }),
  // Numbers that the image does not have, too.
  fc.record({ do: fc.constant('has' as const), peer: peerNumber, pieces: fc.array(fc.nat({ max: PIECES + 3 })) }),
  fc.record({ do: fc.constant('ask' as const) }),
  fc.record({ do: fc.constantFrom('answer' as const, 'refuse' as const), which: fc.nat() }),
)

test('whatever peers do: only what is missing is asked, of who said that it has it, within the limits, and the image gets whole', () => {
  fc.assert(
    fc.property(fc.array(move, { maxLength: 120 }), fc.integer(), (moves, seed) => {
      const one = plan(PIECES, { random: numbers(seed), inFlight: 6, perPeer: 2 })
      const said = new Map<string, Set<number>>()
      const liars = new Set<string>()
      const open: { piece: number; from: string }[] = []
      const drop = (id: string) => {
        said.delete(id)
        for (let i = open.length - 1; i >= 0; i -= 1) if (open[i]?.from === id) open.splice(i, 1)
      }
      let nowMs = 0
      const ask = () => {
        for (const { piece, from } of one.next(nowMs)) {
          expect(one.isMissing(piece)).toBe(true)
          expect(open).not.toContainEqual({ piece, from })
          if (from !== SEED) expect(said.get(from)?.has(piece)).toBe(true)
          expect(liars.has(from)).toBe(false)
          open.push({ piece, from })
          if (from !== SEED) expect(open.filter((other) => other.from === from).length).toBeLessThanOrEqual(2)
          expect(open.filter((other) => other.piece === piece).length).toBeLessThanOrEqual(3)
        }
      }
      for (const step of moves) {
        nowMs += 700
        if (step.do === 'join' && one.joined(`p${step.peer}`, step.peer % 2 === 0)) said.set(`p${step.peer}`, new Set())
        if (step.do === 'has') {
          one.has(`p${step.peer}`, step.pieces)
          for (const piece of step.pieces) said.get(`p${step.peer}`)?.add(piece)
        }
        if (step.do === 'leave') one.departed(`p${step.peer}`)
        if (step.do === 'lie') {
          one.lied(`p${step.peer}`)
          liars.add(`p${step.peer}`)
        }
        if (step.do === 'leave' || step.do === 'lie') drop(`p${step.peer}`)
        if (step.do === 'ask') ask()
        if (step.do === 'answer' || step.do === 'refuse') {
          const [answered] = open.length > 0 ? open.splice(step.which % open.length, 1) : []
          if (answered && (step.do === 'answer' || answered.from === SEED)) one.arrived(answered, nowMs)
          else if (answered) {
            one.refused(answered)
            said.get(answered.from)?.delete(answered.piece)
          }
        }
      }
      // However it began: with the seed alone, it ends.
      for (const id of said.keys()) {
        one.departed(id)
        drop(id)
      }
      for (let round = 0; round < 10 * PIECES && one.left > 0; round += 1) {
        nowMs += 2_000
        ask()
        for (const answered of open.splice(0)) one.arrived(answered, nowMs)
      }
      expect(one.left).toBe(0)
    }),
    { numRuns: 300 },
  )
})
