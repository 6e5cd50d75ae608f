/** The line of a node that tells its image. */
import { expect, test } from 'vitest'
import { imageLine } from '../../cli/image-line.ts'

const given = {
  source: 'web@stable',
  image: 'a'.repeat(64),
  series: 'web',
  version: '1',
  channel: 'stable',
  wanted: '2',
  behind: true,
}
const lineOf = (answer: unknown) => imageLine({ ask: async () => answer } as never, 'n')

test('which version a node has, and what its channel is at', async () => {
  expect(await lineOf({ image: given })).toBe('web:1 (aaaaaaaaaaaaaaaa), behind 2 of channel stable')
  expect(await lineOf({ image: { ...given, behind: false, wanted: '1' } })).toBe(
    'web:1 (aaaaaaaaaaaaaaaa), as channel stable',
  )
  expect(await lineOf({ image: { ...given, behind: null } })).toBe('web:1 (aaaaaaaaaaaaaaaa)')
  expect(await lineOf({ image: { ...given, series: null, version: null, channel: null, behind: null } })).toBe(
    'web@stable (aaaaaaaaaaaaaaaa)',
  )
})

test('an image that is not on the disk is not told as if it were', async () => {
  const early = { ...given, behind: null }
  expect(await lineOf({ image: { ...early, deploy: 'under way' } })).toBe('web:1 (aaaaaaaaaaaaaaaa), being deployed')
  expect(await lineOf({ image: { ...early, deploy: 'failed' } })).toMatch(
    /^web:1 .*, whose deploy failed: .* part of it$/,
  )
  const open = { ...early, version: null, image: null, deploy: 'failed' }
  expect(await lineOf({ image: open })).toBe('web@stable, whose deploy failed before an image was chosen')
  const disk = { source: 'web:1', image: 'b'.repeat(64) }
  expect(await lineOf({ image: { ...open, on_disk: disk } })).toBe(
    'web@stable, whose deploy failed; the disk still holds web:1 (bbbbbbbbbbbbbbbb)',
  )
  expect(await lineOf({ image: { ...open, deploy: 'under way', on_disk: disk } })).toBe(
    'web@stable, being deployed; the disk still holds web:1 (bbbbbbbbbbbbbbbb)',
  )
})

test('nothing where nothing is known, also by an older conductor', async () => {
  for (const answer of [{ image: null }, {}, undefined]) expect(await lineOf(answer)).toBeUndefined()
  const older = { ask: async () => Promise.reject(new Error('404')) } as never
  expect(await imageLine(older, 'n')).toBeUndefined()
})
