/** Who hears a host: every observer of every plane stands in one row, with what it says there. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { observerRows } from '../../web/observer-grid.ts'

test('those that find it silent come first; who does not observe a plane has no word there', () => {
  const rows = observerRows([
    { plane: 'management', answered: ['a'], silent: ['c'], mute: ['b'] },
    { plane: 'storage', answered: ['b', 'c'], silent: [], mute: [] },
  ])
  expect(rows).toEqual([
    { observer: 'c', by: { management: 'silent', storage: 'hears' } },
    { observer: 'a', by: { management: 'hears' } },
    { observer: 'b', by: { management: 'mute', storage: 'hears' } },
  ])
})

test('nobody is lost and nobody is invented', () => {
  const name = fc.constantFrom('a', 'b', 'c', 'd', '__proto__')
  const names = fc.uniqueArray(name)
  const plane = names.chain((all) =>
    fc.record({ plane: fc.constantFrom('management', 'storage'), cut: fc.nat(4), all: fc.constant(all) }),
  )
  fc.assert(
    fc.property(fc.uniqueArray(plane, { selector: (one) => one.plane }), (planes) => {
      const observers = planes.map(({ plane: on, all, cut }) => ({
        plane: on,
        answered: all.slice(0, cut),
        silent: all.slice(cut),
        mute: [],
      }))
      const cells = observerRows(observers).flatMap(({ observer, by }) =>
        Object.entries(by).map(([on, hearing]) => `${on} ${observer} ${hearing}`),
      )
      const wanted = observers.flatMap(({ plane: on, answered, silent }) => [
        ...answered.map((one) => `${on} ${one} hears`),
        ...silent.map((one) => `${on} ${one} silent`),
      ])
      expect(cells.toSorted()).toEqual(wanted.toSorted())
    }),
  )
})
