/** Versions and channels of images: what a reference names, promotion, the way back, limits. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  NO_SERIES,
  promoted,
  released,
  resolved,
  rolledBack,
  seriesReference,
  withdrawn,
  type Series,
} from '../../images/series.ts'

const BY = { by: 'boss', nowMs: 1_000 }
const one = released(NO_SERIES, { version: '1', image: 'a'.repeat(64) }, BY)
const two = released(one, { version: '2', image: 'b'.repeat(64) }, BY)
const at = (series: Series, channel: string) => resolved(series, { name: 'web', channel }).version

test('a source names a version or a channel, and URLs and plain names are none of these', () => {
  expect(seriesReference('web@stable')).toEqual({ name: 'web', channel: 'stable' })
  expect(seriesReference('debian-13:2026.1')).toEqual({ name: 'debian-13', version: '2026.1' })
  for (const other of [
    'web',
    'http://web/x',
    'oci:x',
    'S3:x',
    'file:x',
    'a@b@c',
    'web@',
    '@stable',
    'web@../x',
    'user:pass@host',
  ])
    expect(seriesReference(other), other).toBeUndefined()
})

test('a version is one image for ever; releasing it again changes nothing', () => {
  expect(released(two, { version: '1', image: 'a'.repeat(64) }, BY)).toBe(two)
  expect(() => released(two, { version: '1', image: 'b'.repeat(64) }, BY)).toThrow('release another version')
  expect(() => released(two, { version: 'a/b', image: 'b'.repeat(64) }, BY)).toThrow('use letters')
})

test('a channel goes to a version and back, step by step', () => {
  let series = promoted(two, { channel: 'stable', version: '1' }, BY)
  series = promoted(series, { channel: 'stable', version: '2' }, BY)
  expect(at(series, 'stable')).toBe('2')
  series = rolledBack(series, 'stable', BY)
  expect(at(series, 'stable')).toBe('1')
  expect(() => rolledBack(series, 'stable', BY)).toThrow('at no other version')
  expect(() => rolledBack(series, 'toString', BY)).toThrow('no channel')
  expect(() => promoted(series, { channel: 'stable', version: '3' }, BY)).toThrow('no version')
  expect(() => at(series, 'candidate')).toThrow('image web has no channel candidate')
  expect(() => at(series, 'constructor')).toThrow('no channel')
})

test('a version that a channel is at, or would go back to, stays', () => {
  const series = promoted(
    promoted(two, { channel: 'stable', version: '1' }, BY),
    { channel: 'stable', version: '2' },
    BY,
  )
  expect(() => withdrawn(series, '1')).toThrow('would be rolled back')
  expect(() => withdrawn(series, '2')).toThrow('channel stable')
  expect(withdrawn(two, '1').versions.map(({ version }) => version)).toEqual(['2'])
})

test('whatever is done in whatever order, each channel is at a version that is there', () => {
  const word = fc.constantFrom('a', 'b', 'c')
  const deed = fc.tuple(fc.constantFrom('release', 'promote', 'back', 'withdraw'), word, word)
  fc.assert(
    fc.property(fc.array(deed, { maxLength: 40 }), (deeds) => {
      let series: Series = NO_SERIES
      for (const [what, first, second] of deeds)
        try {
          if (what === 'release') series = released(series, { version: first, image: second.repeat(64) }, BY)
          else if (what === 'promote') series = promoted(series, { channel: second, version: first }, BY)
          else if (what === 'back') series = rolledBack(series, second, BY)
          else series = withdrawn(series, first)
        } catch {
          // Refused: nothing has changed.
        }
      for (const channel of Object.keys(series.channels)) expect(at(series, channel)).toBeTruthy()
    }),
  )
})
