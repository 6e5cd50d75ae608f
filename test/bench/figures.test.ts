/** The benchmarks refuse figures that cannot be true. */
import { expect, test } from 'vitest'
import { dhcpFigure, median, tftpFigure } from './boot.ts'
import { deployFigures } from './cluster.ts'
import { servedFigure } from './images.ts'
import { compare } from './media.ts'
import { believable } from './power.ts'
import { ratiosOf } from './redeploy.ts'
import { offOf, redeployTable, stepCosts } from './redeploy-table.ts'
import { believableRun } from './fabric/report.ts'
import { figureOf } from './redfish.ts'
import { stormFigures } from './storm.ts'
import { believableWeb } from './web.ts'

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

test('bytes of an image that took no CPU time, or that hardly came, are an error of the measurement', () => {
  const cost = { cpuMs: 500, rssBytes: 2 ** 21 }
  const figure = { gibPerSecond: 0.5, cpuSecondsPerGb: 0.5 / (2 ** 30 / 1e9), rssMib: 2 }
  expect(servedFigure({ bytes: 2 ** 30, requests: 32, seconds: 2 }, cost)).toEqual(figure)
  expect(() => servedFigure({ bytes: 9, requests: 1, seconds: 2 }, cost)).toThrow(/9 bytes in 2 s are too few/)
  expect(() => servedFigure({ bytes: 2 ** 30, requests: 32, seconds: 2 }, { ...cost, cpuMs: 0 })).toThrow(/no CPU time/)
})

test('a storm in which a server did not boot, or got the address of another one, has no figures', () => {
  const met = {
    servers: 2,
    failed: 0,
    why: null,
    twice: 0,
    addresses: 2,
    again: 0,
    waited: 0,
    polls: 0,
    mostLoading: 2,
    bytes: 50e6,
    addressSeconds: 1,
    scriptSeconds: 1,
    ramdiskSeconds: 2,
  }
  expect(stormFigures(met, 1)).toMatchObject({ linkSeconds: 1, mostMemoryBytes: 1 })
  expect(() => stormFigures({ ...met, failed: 1, why: 'no offer' }, 1)).toThrow(/1 of 2 servers did not boot: no offer/)
  expect(() => stormFigures({ ...met, twice: 1 }, 1)).toThrow(/given twice/)
  expect(() => stormFigures({ ...met, addresses: 1 }, 1)).toThrow(/2 servers have 1/)
  expect(() => stormFigures({ ...met, mostLoading: 65 }, 1)).toThrow(/65 servers loaded at once/)
})

test('DHCP and TFTP figures of runs that measured nothing are errors, and a median is of each member by itself', () => {
  const dhcp = { done: 1_000, seconds: 2, p50Ms: 1, p99Ms: 2, maxMs: 3, retries: 0, failed: 0, naks: 0, twice: 0 }
  expect(dhcpFigure('x', { run: dhcp, cpuMs: 50 })).toMatchObject({ perSecond: 500, cpuUs: 50 })
  expect(() => dhcpFigure('x', { run: { ...dhcp, done: 9 }, cpuMs: 1 })).toThrow(/9 transactions are too few/)
  expect(() => dhcpFigure('x', { run: { ...dhcp, naks: 1 }, cpuMs: 1 })).toThrow(/1 NAKs/)
  const tftp = { bytes: 2e6, seconds: 0.5, whole: 2, wrong: 0, refused: 0, silent: 0, unfinished: 0 }
  expect(tftpFigure('x', { run: tftp, cpuMs: 4 })).toEqual({ megabytesPerSecond: 4, cpuMsPerMegabyte: 2 })
  expect(() => tftpFigure('Rackward', { run: { ...tftp, bytes: 9 }, cpuMs: 1 })).toThrow(/9 bytes are too few/)
  expect(
    median([
      { a: 1, b: 9 },
      { a: 3, b: 7 },
      { a: 2, b: 8 },
    ]),
  ).toEqual({ a: 2, b: 8 })
})

test('a page that was not measured, or that has no time left to be used, is an error of the measurement', () => {
  const figures = { page: '/ui/', nodes: 40, firstMs: 120, firstCpuMs: 80, tickMs: 3, heapMb: 4 }
  expect(believableWeb(figures)).toBe(figures)
  for (const wrong of [{ firstMs: 0 }, { firstCpuMs: 0 }, { tickMs: Number.NaN }, { heapMb: 0 }])
    expect(() => believableWeb({ ...figures, ...wrong })).toThrow(/was not measured/)
  expect(() => believableWeb({ ...figures, tickMs: 1_200 })).toThrow(/took 1200 ms/)
})

test('a simulation in which servers without a fault were not deployed has no time to tell', () => {
  const memory = { conductorBytes: null, simulatorBytes: 1, longestPauseMs: null }
  const summary = {
    servers: 134,
    done: 134,
    failed: 0,
    failedUnexpectedly: 0,
    seconds: 200,
    perMinute: 40,
    memory,
    phases: [],
    happened: {},
    failures: [],
  }
  expect(deployFigures(summary)).toBe(summary)
  const failures = [{ name: 'sim-7', fault: null, why: 'deploy failed: no agent' }]
  expect(() => deployFigures({ ...summary, done: 133, failed: 1, failedUnexpectedly: 1, failures })).toThrow(
    '1 of 134 servers were not deployed; sim-7: deploy failed: no agent',
  )
  // A server whose disk was made to fail is no flaw of the conductor.
  expect(deployFigures({ ...summary, done: 133, failed: 1 })).toMatchObject({ failed: 1 })
})

test('redeploys are compared with the floor by their medians; a floor that took no time is no floor', () => {
  const floors = [{ total: 50 }, { total: 60 }]
  const redeploys = [
    { how: 'cold', total: 99 },
    { how: 'kexec', total: 66 },
    { how: 'kexec', total: 300 },
    { how: 'kexec', total: 60 },
  ] as const
  expect(ratiosOf(floors, redeploys)).toEqual({ cold: 1.8, kexec: 1.2 })
  expect(ratiosOf(floors, redeploys.slice(0, 1))).toEqual({ cold: 1.8, kexec: null })
  expect(() => ratiosOf([{ total: 0 }], redeploys)).toThrow(/a floor of 0 s/)
  expect(() => ratiosOf([], redeploys)).toThrow(/a floor of null s/)
})

test('a redeploy is told by its steps, which add up, and by how far its estimates were off', () => {
  const phases = {
    prepare: 0.5,
    write: 20,
    readback: 10,
    kexec: 1,
    finish: 2,
    'deploying (prepare)': 0.2,
    'wait call-back (deploy.write_image)': 34,
    'deploying (jump)': 30,
    ssh: 5,
  }
  const estimates = [
    { at: 0, said: 60, left: 64 },
    { at: 32, said: 48, left: 32 },
  ]
  const one = { how: 'kexec', phases, active: 64.5, total: 70, cpu: 90, estimates } as const
  const floors = [{ dd: 9, load: 3, boot: 40, total: 52, cpu: 60 }]
  const costs = stepCosts([one, { ...one, how: 'cold', phases: {} }], floors)
  const took = Object.fromEntries(costs.map(({ name, tookS }) => [name, tookS]))
  expect(took).toMatchObject({
    'agent: write': 20,
    'agent: way of the order, and back': 0.5,
    'jump until SSH answers': 35,
    'conductor, before and between': 1,
  })
  const { 'jump until SSH answers': _, ...parts } = took
  expect(Object.values(parts).reduce((sum: number, value) => sum + (value ?? 0), 0)).toBeCloseTo(70)
  expect(costs.flatMap(({ floorS }) => floorS ?? [])).toEqual([9, 3, 40])
  expect(offOf(one)).toMatchObject({ worst: 16 / 64.5, within: 0.5 })
  expect(offOf({ ...one, estimates: [] })).toBeNull()
  const report = { firmware: 'bios', floors, ratios: { cold: 1, kexec: 1.35 }, cpuRatio: 1.5 } as const
  const six = Array.from({ length: 6 }, () => one)
  expect(redeployTable({ ...report, redeploys: six })).toMatch(/NOT reached \(each within 20 % after 5 deploys\)/)
  expect(redeployTable({ ...report, redeploys: six.slice(1) })).toMatch(/none was made after 5 deploys/)
  const right = { ...one, estimates: estimates.slice(0, 1) }
  expect(redeployTable({ ...report, redeploys: [...six.slice(1), right] })).toMatch(/active: reached/)
})

test('a fabric in which the image came faster than its links carry it, or without being sent, has no figures', () => {
  const run = { medianSeconds: 13, lastSeconds: 15, seedCopies: 2, neighbourCopies: 6, givenCopies: 6, busyShare: 0.5 }
  const at = { nodes: 8, leastSeconds: 12, uplinkSeconds: 14, wholeSeconds: 15 }
  expect(believableRun(run, at)).toBe(run)
  expect(() => believableRun({ ...run, lastSeconds: 11 }, at)).toThrow('11.00 s are too few: the links alone take 12')
  expect(() => believableRun({ ...run, lastSeconds: Number.NaN }, at)).toThrow('too few')
  expect(() => believableRun({ ...run, neighbourCopies: 5 }, at)).toThrow('7.00 copies were sent')
  expect(() => believableRun(run, { ...at, uplinkSeconds: 20 })).toThrow('the uplink alone takes 20')
})
