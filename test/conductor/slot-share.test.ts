/** Who takes and gives which slots: cases in a table, and what must hold whatever conductors do. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { share, shareOf, type SlotSeen } from '../../conductor/store/postgres/share.ts'
import { SLOTS, slotOf } from '../../conductor/store/slot.ts'

const ids = (from: number, to: number) => Array.from({ length: to - from }, (_, n) => from + n)
const slots = (count: number, ownerOf: (id: number) => string | null): SlotSeen[] =>
  ids(0, count).map((id) => ({ id, owner: ownerOf(id), isFree: ownerOf(id) === null }))
const decide = (facts: Partial<Parameters<typeof share>[0]>) =>
  share({ me: 'a', living: ['a'], slots: slots(8, () => null), held: new Set(), leaving: new Set(), ...facts })

const of = (owner: string, from: number) => (id: number) => (id >= from ? owner : null)
test.each([
  ['alone, all is free', {}, { take: ids(0, 8), give: [] }],
  ['the second of two, all is free', { me: 'b', living: ['a', 'b'] }, { take: ids(0, 4), give: [] }],
  ['the others have the rest', { living: ['a', 'b'], slots: slots(8, of('b', 4)) }, { take: ids(0, 4), give: [] }],
  [
    'a second one came',
    { living: ['a', 'b'], slots: slots(8, () => 'a'), held: new Set(ids(0, 8)) },
    { take: [], give: [7, 6, 5, 4] },
  ],
  [
    'what is being given back counts no more',
    { living: ['a', 'b'], slots: slots(8, () => 'a'), held: new Set(ids(0, 4)), leaving: new Set(ids(4, 8)) },
    { take: [], give: [] },
  ],
  ['its own of before a restart', { slots: slots(8, () => 'a') }, { take: ids(0, 8), give: [] }],
  ['one that is not dead long enough', { slots: slots(8, of('b', 4)) }, { take: ids(0, 4), give: [] }],
  ['three share eight', { me: 'c', living: ['a', 'b', 'c'] }, { take: ids(0, 2), give: [] }],
  [
    'more conductors than slots',
    { me: 'c', living: ['a', 'b', 'c'], slots: slots(2, () => null) },
    { take: [], give: [] },
  ],
  ['it does not know yet that it lives', { living: ['b'] }, { take: ids(0, 4), give: [] }],
])('%s', (_, facts, decided) => expect(decide(facts)).toEqual(decided))

test('the shares of all are all slots, and differ by one at most', () => {
  for (let total = 0; total <= SLOTS; total += 1)
    for (let of = 1; of <= SLOTS + 2; of += 1) {
      const shares = ids(0, of).map((place) => shareOf(total, { place, of }))
      expect(shares.reduce((sum, one) => sum + one, 0)).toBe(total)
      expect(Math.max(...shares) - Math.min(...shares)).toBeLessThanOrEqual(1)
    }
})

const act = fc.tuple(fc.constantFrom('comes', 'goes', 'looks', 'looks', 'looks'), fc.nat(5))

test('whoever comes, goes, and looks when: no slot has two owners, none is moved without need, and all end shared', () => {
  const run = (acts: readonly (readonly [string, number])[]) => {
    const owners: (string | null)[] = ids(0, SLOTS).map(() => null)
    const living = new Set(['c0'])
    const seen = () => owners.map((owner, id) => ({ id, owner, isFree: owner === null || !living.has(owner) }))
    const look = (me: string): number => {
      const held = new Set(ids(0, SLOTS).filter((id) => owners[id] === me))
      const { take, give } = share({ me, living: [...living], slots: seen(), held, leaving: new Set() })
      for (const id of take) {
        expect(living.has(owners[id] ?? '')).toBe(false)
        owners[id] = me
      }
      for (const id of give) {
        expect(owners[id]).toBe(me)
        owners[id] = null
      }
      return take.length + give.length
    }
    for (const [what, n] of acts) {
      if (what === 'comes') living.add(`c${n}`)
      if (what === 'goes' && living.size > 1) living.delete(`c${n}`)
      if (what === 'looks') look([...living][n % living.size] as string)
    }
    // Nobody comes or goes any more: two rounds settle it, and then nothing moves.
    for (const _ of [1, 2]) for (const one of living) look(one)
    expect([...living].map(look)).toEqual([...living].map(() => 0))
    const counts = [...living].map((one) => owners.filter((owner) => owner === one).length)
    expect(counts.reduce((sum, one) => sum + one, 0)).toBe(SLOTS)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
  }
  fc.assert(fc.property(fc.array(act, { maxLength: 60 }), run), { numRuns: 300 })
})

test('nodes spread over all slots, each in one for ever', () => {
  const uuids = ids(0, 10_000).map((n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`)
  const counts = new Map<number, number>()
  for (const uuid of uuids) counts.set(slotOf(uuid), (counts.get(slotOf(uuid)) ?? 0) + 1)
  expect(counts.size).toBe(SLOTS)
  expect(Math.max(...counts.values())).toBeLessThan(250)
  // Stored: another hash would give every node to another conductor.
  expect(slotOf('00000000-0000-4000-8000-000000000001')).toBe(17)
})
