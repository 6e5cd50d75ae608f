/** Racks that image themselves, simulated: how long, how many bytes from where, and what slow, dying, lying and late
 *  nodes cost the others. The same seed gives the same result on every machine. */
import { describe, expect, test } from 'vitest'
import { lastFastMs, simulate, type Scene } from './simulation.ts'

const MB = 1e6
const PIECES = 64
const PIECE_BYTES = 4 * MB
const LINK = 10 * MB
const FLOOR_MS = ((PIECES * PIECE_BYTES) / LINK) * 1000

const rack = (nodes: number, more: Partial<Scene> = {}) =>
  simulate({
    nodes,
    pieces: PIECES,
    pieceBytes: PIECE_BYTES,
    nodeLink: LINK,
    seedLink: Math.max(LINK, (nodes * LINK) / 20),
    ...more,
  })
const unicastMs = (nodes: number) => ((nodes * PIECES * PIECE_BYTES) / Math.max(LINK, (nodes * LINK) / 20)) * 1000
const copies = (bytes: number) => bytes / PIECES / PIECE_BYTES

describe('134 nodes, one uplink of a twentieth of the sum', () => {
  const clean = rack(134)

  test('all have it within half as long again as their own link takes, ten times sooner than by unicast', () => {
    expect(lastFastMs(clean)).toBeLessThan(1.5 * FLOOR_MS)
    expect(lastFastMs(clean) * 10).toBeLessThan(unicastMs(134))
  })

  test('the image server sends a few copies and not 134, and each rack fetches a few', () => {
    expect(copies(clean.seedBytes)).toBeLessThan(8)
    expect(copies(clean.crossBytes) / 4).toBeLessThan(14)
  })

  test('nobody serves more neighbours at once than it was introduced to', () =>
    expect(clean.mostUploads).toBeLessThanOrEqual(32))

  test('one in ten slow, one in twenty dying: the others have it within a fifth of the time more', () => {
    const bad = rack(134, { slowEvery: 10, dieEvery: 20 })
    expect(bad.slow.size).toBeGreaterThan(5)
    expect(bad.dead.size).toBeGreaterThan(2)
    expect(lastFastMs(bad)).toBeLessThan(1.2 * lastFastMs(clean))
  })

  test('one in five lies: each neighbour loses one piece by each liar, and no wrong piece is kept', () => {
    const bad = rack(134, { lieEvery: 5 })
    expect(bad.poisoned).toBe(0)
    expect(bad.doneMs.every((ms) => ms !== undefined)).toBe(true)
    expect(copies(bad.wastedBytes)).toBeLessThan((134 * 16) / PIECES)
    expect(lastFastMs(bad)).toBeLessThan(1.5 * lastFastMs(clean))
  })
})

describe('what goes away', () => {
  test('the tracker dies in the middle: those who know each other go on', () => {
    const outcome = rack(32, { trackerDiesAt: FLOOR_MS / 2 })
    expect(lastFastMs(outcome)).toBeLessThan(2 * FLOOR_MS)
  })

  test('the image server dies when it has sent one copy and half of the image is on the disks: the nodes hold the rest among them', () => {
    const outcome = rack(32, { seedDiesAt: 0.5, seedLink: 5 * LINK })
    expect(lastFastMs(outcome)).toBeLessThan(2 * FLOOR_MS)
  })

  test('a node that joins when the others have 99 % gets all of it', () => {
    const outcome = rack(32, { lateJoin: 0.99 })
    const late = outcome.doneMs.at(-1) ?? Number.POSITIVE_INFINITY
    expect(late).toBeLessThan(3.5 * FLOOR_MS)
  })
})

test('two nodes never form a swarm: both ask the image server alone', () => {
  const outcome = rack(2)
  expect(copies(outcome.seedBytes)).toBeCloseTo(2, 5)
})

test('the same seed, the same result', () => {
  const scene = { slowEvery: 5, dieEvery: 10, lieEvery: 7, seed: 42 }
  expect(rack(24, scene)).toEqual(rack(24, scene))
})
