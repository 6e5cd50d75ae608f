/** The benchmarks refuse figures that cannot be true. */
import { expect, test } from 'vitest'
import { believable } from './power.ts'

test('a pass over many BMCs that was too fast, too long or not whole is an error of the measurement', () => {
  const pass = { bmcs: 134, answered: 134, seconds: 0.08 }
  expect(believable(pass)).toBe(pass)
  expect(() => believable({ ...pass, seconds: 0.000002 })).toThrow(/0\.000002 s are too few/)
  expect(() => believable({ ...pass, seconds: Number.NaN })).toThrow(/wrong/)
  expect(() => believable({ ...pass, seconds: 25 })).toThrow(/more than one/)
  expect(() => believable({ ...pass, answered: 133 })).toThrow(/only 133 of them/)
})
