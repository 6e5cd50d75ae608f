/** Who is introduced to whom while images are written, and who is not. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Tracker, type Introduction } from '../../conductor/agents/swarm/tracker.ts'
import { numbers } from '../host-agent/swarm/events.ts'

const IMAGE = 'a'.repeat(64)
const OTHER = 'b'.repeat(64)
const member = (number: number, more: object = {}) => ({
  nodeUuid: `node-${number}`,
  imageId: IMAGE,
  generation: 1,
  ip: `10.0.0.${number}`,
  port: 4000,
  rack: String(Math.floor(number / 4)),
  bad: [],
  unreachable: [],
  ...more,
})
const tracker = (members = 1_000) => new Tracker({ fromNodes: 3, members }, numbers(7))
let made = 0
const key = () => Buffer.alloc(32, (made += 1))
const ids = (said: Introduction | undefined) => said?.neighbours.map((one) => one.member.nodeUuid) ?? []

test('two nodes of an image are served by the image server alone; from the third on they serve each other', () => {
  const one = tracker()
  expect(one.call(member(1), key, 0)).toMatchObject({ isOn: false, neighbours: [], seed: null })
  expect(one.call(member(2), key, 0)).toMatchObject({ isOn: false })
  expect(one.call(member(3), key, 0)).toMatchObject({ isOn: true })
  expect(ids(one.call(member(1), key, 1)).sort()).toEqual(['node-2', 'node-3'])
  one.leave('node-3')
  expect(one.call(member(1), key, 2)).toMatchObject({ isOn: true })
})

test('nodes of another image, nodes that do not listen, and nodes that fell silent are introduced to nobody', () => {
  const one = tracker()
  for (const number of [1, 2, 3]) one.call(member(number), key, 0)
  one.call(member(4, { imageId: OTHER }), key, 0)
  one.call(member(5, { port: 0 }), key, 0)
  expect(ids(one.call(member(1), key, 100)).sort()).toEqual(['node-2', 'node-3'])
  // Who is late with its calls for a while is still a neighbour.
  for (const atMs of [14_000, 29_000]) for (const number of [1, 2]) one.call(member(number), key, atMs)
  expect(ids(one.call(member(1), key, 29_001)).sort()).toEqual(['node-2', 'node-3'])
  expect(ids(one.call(member(1), key, 31_001))).toEqual(['node-2'])
  expect(one.has('node-3')).toBe(false)
})

test('who left is a neighbour no more, and another one takes its place', () => {
  const one = tracker()
  for (let number = 0; number < 30; number += 1) one.call(member(number, { rack: 'r' }), key, 0)
  const before = ids(one.call(member(0, { rack: 'r' }), key, 1))
  expect(before.length).toBeGreaterThanOrEqual(8)
  one.leave(before[0] ?? '')
  const after = ids(one.call(member(0, { rack: 'r' }), key, 2))
  expect(after).not.toContain(before[0])
  expect(after.length).toBeGreaterThanOrEqual(8)
})

test('a node that starts again is another member: its old key is gone', () => {
  const one = tracker()
  const first = one.call(member(1), key, 0)?.self.key
  expect(one.call(member(1), key, 1)?.self.key).toEqual(first)
  expect(one.call(member(1, { generation: 2 }), key, 2)?.self.key).not.toEqual(first)
})

test('two accusers do not cost a node its neighbours, three do; the accuser itself never meets it again', () => {
  const one = tracker()
  const call = (number: number, bad: string[] = []) => one.call(member(number, { rack: 'r', bad }), key, 0)
  for (let number = 0; number < 8; number += 1) call(number)
  for (let number = 0; number < 8; number += 1) call(number)
  expect(ids(call(1, ['node-0']))).not.toContain('node-0')
  expect(ids(call(1))).not.toContain('node-0')
  call(2, ['node-0'])
  expect([3, 4, 5, 6, 7].some((number) => ids(call(number)).includes('node-0'))).toBe(true)
  call(3, ['node-0'])
  expect([4, 5, 6, 7].some((number) => ids(call(number)).includes('node-0'))).toBe(false)
})

test('beyond the limit of members a node is served by the image server alone', () => {
  const one = tracker(10)
  for (let number = 0; number < 10_000; number += 1) {
    const said = one.call(member(number, { imageId: number % 2 ? IMAGE : OTHER }), key, 0)
    expect(said === undefined).toBe(number >= 10)
  }
  expect(one.size).toBe(10)
})

test('a clock that is set back makes nobody silent', () => {
  const one = tracker()
  for (const number of [1, 2, 3]) one.call(member(number), key, 1e9)
  expect(ids(one.call(member(1), key, 5)).sort()).toEqual(['node-2', 'node-3'])
})

test('whoever comes and goes: neighbours are members of the same image, each other’s, and at most sixteen; parts of the image server differ', () => {
  const step = fc.record({
    number: fc.nat({ max: 40 }),
    goes: fc.boolean(),
    rack: fc.nat({ max: 3 }),
    other: fc.boolean(),
    afterMs: fc.nat({ max: 3_000 }),
  })
  fc.assert(
    fc.property(fc.array(step, { maxLength: 150 }), fc.integer(), (steps, seed) => {
      const one = new Tracker({ fromNodes: 3, members: 30 }, numbers(seed))
      const inside = new Map<string, string>()
      let nowMs = 0
      for (const { number, goes, rack, other, afterMs } of steps) {
        nowMs += afterMs
        const id = `node-${number}`
        if (goes) {
          one.leave(id)
          inside.delete(id)
          continue
        }
        const imageId = other ? OTHER : IMAGE
        const said = one.call(member(number, { imageId, rack: String(rack) }), key, nowMs)
        expect(one.size).toBeLessThanOrEqual(30)
        if (!said) continue
        inside.set(id, imageId)
        expect(said.neighbours.length).toBeLessThanOrEqual(16)
        expect(said.isOn || said.neighbours.length === 0).toBe(true)
        for (const { member: neighbour } of said.neighbours) {
          expect(neighbour.nodeUuid).not.toBe(id)
          expect(inside.get(neighbour.nodeUuid)).toBe(imageId)
          expect(neighbour.neighbours.has(id)).toBe(true)
        }
        if (said.seed) expect(said.seed.index).toBeLessThan(said.seed.of)
      }
    }),
    { numRuns: 150 },
  )
})
