/** The benchmarks refuse figures that cannot be true. */
import { expect, test } from 'vitest'
import { believable } from './power.ts'
import { figureOf } from './redfish.ts'

test('a pass over many BMCs that was too fast, too long or not whole is an error of the measurement', () => {
  const pass = { bmcs: 134, answered: 134, seconds: 0.08 }
  expect(believable(pass)).toBe(pass)
  expect(() => believable({ ...pass, seconds: 0.000002 })).toThrow(/0\.000002 s are too few/)
  expect(() => believable({ ...pass, seconds: Number.NaN })).toThrow(/wrong/)
  expect(() => believable({ ...pass, seconds: 25 })).toThrow(/more than one/)
  expect(() => believable({ ...pass, answered: 133 })).toThrow(/only 133 of them/)
})

test('a pass in which BMCs were not read, or that took no time, has no figures', () => {
  expect(figureOf('x', 1_000, { seconds: 0.5, cpuMs: 250, failed: 0 })).toEqual({
    bmcs: 1_000,
    pollsPerSecond: 2_000,
    cpuMsPerPoll: 0.25,
  })
  expect(() => figureOf('x', 1_000, { seconds: 0.5, cpuMs: 250, failed: 1 })).toThrow(/1 of 1000 BMCs were not read/)
  expect(() => figureOf('x', 1_000, { seconds: 0, cpuMs: 250, failed: 0 })).toThrow(/no time/)
})
