/** What is admitted next, and how many at once: never above the limits, nobody waits for ever, by priority and age. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { adapt, adaptedAt, type Sample } from '../../conductor/admission/aimd.ts'
import {
  AGING_MS,
  decide,
  inOrder,
  rankOf,
  type Bounds,
  type Takes,
  type Waiting,
} from '../../conductor/admission/decide.ts'

const resources = fc.constantFrom<Waiting['resources'][]>(['boots'], ['writes'], ['boots', 'writes'])
const place = { rack: fc.constantFrom(null, 'r1', 'r2'), group: fc.constantFrom(null, 'g1') }
const waiting = fc.record({
  uuid: fc.uuid(),
  resources,
  ...place,
  priority: fc.integer({ min: -3, max: 3 }),
  sinceMs: fc.integer({ min: 0, max: 10 * AGING_MS }),
  stopped: fc.constantFrom(null, null, null, 'it is in maintenance'),
})
const takes = fc.record({ uuid: fc.uuid(), resources, ...place })
const bounds: fc.Arbitrary<Bounds> = fc.record({
  boots: fc.integer({ min: 1, max: 6 }),
  writes: fc.integer({ min: 1, max: 6 }),
  perRack: fc.constantFrom(null, 1, 3),
  perGroup: fc.constantFrom(null, 1, 2),
})
const nowMs = 20 * AGING_MS
const unique = { selector: ({ uuid }: { uuid: string }) => uuid, maxLength: 30 }

const used = (all: readonly Takes[]) => ({
  boots: all.filter((one) => one.resources.includes('boots')).length,
  writes: all.filter((one) => one.resources.includes('writes')).length,
  rack: (name: string) => all.filter(({ rack }) => rack === name).length,
  group: (name: string) => all.filter(({ group }) => group === name).length,
})

describe('what is admitted', () => {
  test('never takes more than there is, leaves nothing free that somebody could have, and gives each its place', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(waiting, unique),
        fc.uniqueArray(takes, { ...unique, maxLength: 6 }),
        bounds,
        (queue, running, limits) => {
          const { admit, held } = decide(queue, running, { bounds: limits, nowMs })
          const began = queue.filter(({ uuid }) => admit.includes(uuid))
          const [before, after] = [used(running), used([...running, ...began])]
          // What was above a limit that was lowered since goes on, and nothing is added to it.
          expect(after.boots).toBeLessThanOrEqual(Math.max(limits.boots, before.boots))
          expect(after.writes).toBeLessThanOrEqual(Math.max(limits.writes, before.writes))
          for (const name of ['r1', 'r2'])
            if (limits.perRack !== null)
              expect(after.rack(name)).toBeLessThanOrEqual(Math.max(limits.perRack, before.rack(name)))
          if (limits.perGroup !== null)
            expect(after.group('g1')).toBeLessThanOrEqual(Math.max(limits.perGroup, before.group('g1')))
          expect(began.every(({ stopped }) => stopped === null)).toBe(true)
          expect(admit.length + held.length).toBe(queue.length)
          expect(held.map(({ place: at }) => at)).toEqual(held.map((_, i) => i + 1))
          const left = queue.filter(({ uuid }) => !admit.includes(uuid))
          expect(decide(left, [...running, ...began], { bounds: limits, nowMs }).admit).toEqual([])
        },
      ),
    )
  })
  test('goes by priority, then by age: who is passed wants what there is not', () => {
    fc.assert(
      fc.property(fc.uniqueArray(waiting, unique), bounds, (queue, limits) => {
        const same = queue.map((one) => ({
          ...one,
          resources: ['boots'] as const,
          rack: null,
          group: null,
          sinceMs: nowMs,
          stopped: null,
        }))
        const { admit } = decide(same, [], { bounds: limits, nowMs })
        const best = inOrder(same, nowMs).slice(0, limits.boots)
        expect(admit).toEqual(best.map(({ uuid }) => uuid))
        const priorities = inOrder(same, nowMs).map(({ priority }) => priority)
        expect(priorities).toEqual(priorities.toSorted((a, b) => b - a))
      }),
    )
  })
  test('nobody waits for ever: a node of the lowest priority begins while others of the highest keep coming', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 3 }), fc.integer({ min: 0, max: 5 }), (limit, gap) => {
        const last: Waiting = {
          uuid: 'last',
          resources: ['boots'],
          rack: null,
          group: null,
          priority: -gap,
          sinceMs: 0,
          stopped: null,
        }
        const limits = { boots: limit, writes: limit, perRack: null, perGroup: null }
        for (let round = 0; round < 40; round += 1) {
          const now = round * (AGING_MS / 2)
          const fresh = Array.from({ length: limit + 2 }, (_, i) => ({
            ...last,
            uuid: `${round}-${i}`,
            priority: 2,
            sinceMs: now,
          }))
          if (decide([...fresh, last], [], { bounds: limits, nowMs: now }).admit.includes('last')) return
        }
        throw new Error('it never began')
      }),
    )
  })
  test('the time that was waited raises a node, one step in ten minutes', () => {
    expect(rankOf({ priority: 0, sinceMs: 0 }, AGING_MS - 1)).toBe(0)
    expect(rankOf({ priority: 0, sinceMs: 0 }, 3 * AGING_MS)).toBe(3)
  })
  test('what holds a node is told', () => {
    const takes = { uuid: 'a', resources: ['boots', 'writes'] as const, rack: 'r1', group: 'g1' }
    const one = { ...takes, priority: 0, sinceMs: 0, stopped: null }
    const busy = { uuid: 'b', resources: ['boots'] as const, rack: 'r1', group: 'g1' }
    const says = (limits: Bounds) => decide([one], [busy], { bounds: limits, nowMs: 0 }).held[0]?.why
    expect(says({ boots: 1, writes: 1, perRack: null, perGroup: null })).toContain('boot the ramdisk')
    expect(says({ boots: 9, writes: 1, perRack: 1, perGroup: null })).toContain('rack r1')
    expect(says({ boots: 9, writes: 1, perRack: 9, perGroup: 1 })).toContain('group g1')
    expect(says({ boots: 9, writes: 1, perRack: 9, perGroup: 9 })).toBeUndefined()
  })
})

describe('how many at once', () => {
  const range = { least: 2, start: 8, most: 64 }
  const sample = (more: Partial<Sample> = {}): Sample => ({
    tookMs: 100,
    usualMs: 100,
    failed: false,
    felt: true,
    ...more,
  })
  const after = (samples: readonly Sample[], limit = 8) =>
    samples.reduce((state, one) => adapt(state, one, range), { ...adaptedAt(range), limit }).limit
  const wave = (count: number, more: Partial<Sample> = {}) => Array.from({ length: count }, () => sample(more))

  test('stays within its range, whatever happens', () => {
    const any = fc.record({
      tookMs: fc.integer({ min: 0, max: 10_000 }),
      usualMs: fc.option(fc.integer({ min: 0, max: 1_000 })),
      failed: fc.boolean(),
      felt: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(any, { maxLength: 300 }), (samples) => {
        let state = adaptedAt(range)
        for (const one of samples) {
          state = adapt(state, one, range)
          expect(state.limit).toBeGreaterThanOrEqual(range.least)
          expect(state.limit).toBeLessThanOrEqual(range.most)
          expect(state.ratios.length + state.failed).toBeLessThan(64)
        }
      }),
    )
  })
  test('grows by a step after a wave that took its usual time, and only where the limit was felt', () => {
    expect(after(wave(7))).toBe(8)
    expect(after(wave(8))).toBe(12)
    expect(after(wave(32), 32)).toBe(40)
    expect(after(wave(8, { felt: false }))).toBe(8)
    expect(after(wave(8, { tookMs: 200 }))).toBe(8)
  })
  test('is halved when they slow each other down, and at once when they fail', () => {
    expect(after([...wave(7), sample({ tookMs: 301 })])).toBe(4)
    expect(after([sample({ failed: true }), sample({ failed: true })])).toBe(4)
    expect(after([...wave(7), sample({ failed: true })])).toBe(8)
  })
  test('where nobody knows what is usual, the fastest wave is', () => {
    const unknown = (tookMs: number) => wave(8, { usualMs: null, tookMs })
    expect(after(unknown(100))).toBe(12)
    expect(after([...unknown(100), ...wave(12, { usualMs: null, tookMs: 400 })])).toBe(6)
  })
})
