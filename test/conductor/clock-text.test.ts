/** What is told of a server's clock that is wrong. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import { clockText } from '../../conductor/agents/service.ts'

const NOW = Date.parse('2026-11-22T12:00:00Z')

test.each([
  ['1990-01-01T00:00:00Z', 'it shows 1990-01-01 00:00 UTC (36.9 years behind)'],
  ['2026-11-20T12:00:00Z', 'it shows 2026-11-20 12:00 UTC (2.0 days behind)'],
  ['2069-03-01T00:00:00Z', 'it shows 2069-03-01 00:00 UTC (42.3 years ahead)'],
  // Set to 1987: PCs keep 87, and the kernel takes it for 2087.
  [
    '2087-03-01T00:00:00Z',
    'it shows 2087-03-01 00:00 UTC (60.3 years ahead, or 1987 where it keeps two digits of the year)',
  ],
])('a clock at %s', (shown, text) => {
  expect(clockText(Date.parse(shown), NOW)).toBe(text)
})

test('whatever number an agent says is told', () => {
  for (const clockMs of [8.65e15, -8.65e15, Number.MAX_VALUE])
    expect(clockText(clockMs, NOW)).toMatch(/years (ahead|behind)/)
  fc.assert(fc.property(fc.double({ noNaN: true }), (clockMs) => clockText(clockMs, NOW).length > 0))
})
