/** The benchmarks refuse figures that cannot be true. */
import { expect, test } from 'vitest'
import { tftpFigure } from './boot.ts'
import { believable } from './power.ts'
import { compare } from './media.ts'
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

test('deploys from the network and by virtual media are compared by the median of each phase, and only where both were measured', () => {
  const trip = (leg: 'network' | 'media', netboot: number) => ({
    leg,
    phases: { bmc: 0, netboot },
    total: netboot + 100,
  })
  const network = [20, 30, 90].map((seconds) => trip('network', seconds))
  const media = [40, 50].map((seconds) => trip('media', seconds))
  expect(compare([...network, ...media])).toEqual([
    { phase: 'bmc', network: 0, media: 0, ratio: null },
    { phase: 'netboot', network: 30, media: 45, ratio: 1.5 },
    { phase: 'total', network: 130, media: 145, ratio: 1.12 },
  ])
  expect(() => compare(network)).toThrow(/was not measured/)
  expect(() => compare([trip('network', 1), { leg: 'media', phases: {}, total: 0 }])).toThrow(/was not measured/)
})

test('a TFTP server of others that sent nothing in a round has a figure, and ours has none', () => {
  const silent = { bytes: 0, seconds: 5, whole: 0, wrong: 0, refused: 0, silent: 50, unfinished: 50 }
  const none = { run: silent, cpuMs: 1 }
  expect(tftpFigure('dnsmasq, one client', none)).toEqual({ megabytesPerSecond: 0, cpuMsPerMegabyte: 0 })
  expect(() => tftpFigure('Rackward, one client', none)).toThrow(/0 bytes are too few/)
})
