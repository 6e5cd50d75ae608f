/** A boot room holds of each client the newest state that any conductor told it, in whatever order they say it. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { merge, MAX_TOMBSTONES, TOMBSTONE_MS, type Knowledge } from '../../../conductor/boot/rooms/merge.ts'
import { compareVersions, type OrderVersion } from '../../../conductor/boot/rooms/version.ts'
import type { RoomClient } from '../../../conductor/boot/rooms/wire.ts'
import { client, numberedMac } from '../boot-clients.ts'

const of = (mac: string, version: OrderVersion): RoomClient => ({ ...client(mac), version })
const at = (node: number): OrderVersion => [1, 10, 0, node]
const mark = (seq: number, epoch = 1) => ({ epoch, seq })
const MAC = numberedMac(1)

/** What a room knows, after each word of a conductor. */
class Held implements Knowledge {
  versions = new Map<string, OrderVersion>()
  tombstones: Knowledge['tombstones'] = new Map()
  mark = { epoch: 0, seq: 0 }
  told(told: Partial<Parameters<typeof merge>[1]>, nowMs = 0) {
    const merged = merge(this, { whole: false, mark: mark(1), set: [], gone: [], ...told }, nowMs)
    for (const one of merged.set) this.versions.set(one.mac, one.version)
    for (const mac of merged.gone) this.versions.delete(mac)
    this.tombstones = merged.tombstones
    this.mark = merged.mark
    return merged
  }
}

describe('what a room knows', () => {
  test('older states change nothing, and are counted', () => {
    const held = new Held()
    held.told({ set: [of(MAC, at(7))] })
    expect(held.told({ set: [of(MAC, at(6))] }).older).toEqual([MAC])
    expect(held.versions.get(MAC)).toEqual(at(7))
    held.told({ set: [of(MAC, at(8))] })
    expect(held.versions.get(MAC)).toEqual(at(8))
  })
  test('a conductor that did not hear that a client is gone does not bring it back; a later port of that MAC does', () => {
    const held = new Held()
    held.told({ set: [of(MAC, at(7))] })
    held.told({ gone: [{ mac: MAC, version: at(7) }] })
    held.told({ set: [of(MAC, at(7))] })
    expect(held.versions.size).toBe(0)
    held.told({ set: [of(MAC, [1, 11, 0, 1])] })
    expect(held.versions.get(MAC)).toEqual([1, 11, 0, 1])
  })
  test('one that knows less than the room removes nobody, by name or by leaving out', () => {
    const held = new Held()
    held.told({ whole: true, mark: mark(50), set: [of(MAC, at(7)), of(numberedMac(2), at(3))] })
    held.told({ whole: true, mark: mark(49), set: [of(numberedMac(2), at(3))], gone: [{ mac: MAC, version: at(6) }] })
    expect([...held.versions.keys()]).toEqual([MAC, numberedMac(2)])
    expect(held.mark).toEqual(mark(50))
    held.told({ whole: true, mark: mark(51), set: [of(numberedMac(2), at(3))] })
    expect([...held.versions.keys()]).toEqual([numberedMac(2)])
  })
  test('who was left out of a list that was a moment old comes back as it was', () => {
    const held = new Held()
    held.told({ whole: true, mark: mark(50), set: [of(MAC, at(7))] })
    held.told({ whole: true, mark: mark(50) })
    held.told({ set: [of(MAC, at(7))] })
    expect(held.versions.size).toBe(1)
  })
  test('a later incarnation of the database wins over every version of the one before', () => {
    const held = new Held()
    held.told({ mark: mark(900), set: [of(MAC, at(700))] })
    held.told({ whole: true, mark: mark(5, 2), set: [of(MAC, [2, 10, 0, 3])] })
    expect(held.versions.get(MAC)).toEqual([2, 10, 0, 3])
    held.told({ whole: true, mark: mark(901), set: [of(MAC, at(701))] })
    expect(held.versions.get(MAC)).toEqual([2, 10, 0, 3])
  })
  test('tombstones are kept for a day, and the newest of too many', () => {
    const held = new Held()
    held.told({ set: [of(MAC, at(7))] })
    held.told({ gone: [{ mac: MAC, version: at(7) }] })
    expect(held.told({}, TOMBSTONE_MS - 1).tombstones.size).toBe(1)
    expect(held.told({}, TOMBSTONE_MS).tombstones.size).toBe(0)
    const many = Array.from({ length: MAX_TOMBSTONES + 5 }, (_, n) => ({ mac: numberedMac(n), version: at(1) }))
    held.told({ set: many.map(({ mac, version }) => of(mac, version)) })
    held.told({ gone: many })
    expect([held.tombstones.size, held.tombstones.has(numberedMac(0)), held.tombstones.has(numberedMac(9))]).toEqual([
      MAX_TOMBSTONES,
      false,
      true,
    ])
  })
  test('whichever conductor says what in whatever order, the newest of each client is held', () => {
    const Version = fc.tuple(fc.integer({ min: 1, max: 2 }), fc.nat(2), fc.nat(3), fc.nat(5))
    const Word = fc.record({ n: fc.nat(4), version: Version })
    fc.assert(
      fc.property(fc.array(Word, { maxLength: 60 }), (words) => {
        const held = new Held()
        for (const { n, version } of words) held.told({ set: [of(numberedMac(n), version)] })
        for (const n of new Set(words.map((word) => word.n))) {
          const best = words
            .filter((word) => word.n === n)
            .map((word) => word.version)
            .toSorted(compareVersions)
            .at(-1)
          expect(held.versions.get(numberedMac(n))).toEqual(best)
        }
      }),
      { numRuns: Number(process.env.RUNS ?? 200) },
    )
  })
})
