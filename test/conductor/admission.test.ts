/** Who may load the ramdisk, and who waits for how long: in order, nobody for ever, and no place lost. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { Admission, type QueueTurn } from '../../conductor/boot/admission.ts'
import { numberedMac } from './boot-clients.ts'

const waits = (turn: QueueTurn) => (turn.kind === 'wait' ? turn : undefined)

test('as many as there are places go at once; the others wait in the order of their coming', () => {
  const admission = new Admission(2)
  const kinds = ['a', 'b', 'c', 'd'].map((mac) => admission.ask(mac, 0))
  expect(kinds.map((turn) => waits(turn)?.place)).toEqual([undefined, undefined, 1, 2])
  expect(waits(admission.ask('d', 100))).toMatchObject({ place: 2, of: 2, againSeconds: 2, isNew: false })
  admission.began('a')
  admission.ended('a', true, 4_000)
  // The one that came later asks first, and still waits.
  expect(waits(admission.ask('d', 4_100))?.place).toBe(2)
  expect(admission.ask('c', 4_200)).toEqual({ kind: 'go' })
  expect(waits(admission.ask('d', 4_300))?.place).toBe(1)
  expect(admission.ask('b', 4_400)).toEqual({ kind: 'go' })
})

test('a place is free again when its server vanished, and not while a transfer runs', () => {
  const admission = new Admission(1)
  admission.ask('a', 0)
  admission.began('a')
  for (let atMs = 0; atMs <= 600_000; atMs += 10_000) expect(admission.ask('b', atMs).kind).toBe('wait')
  admission.ended('a', false, 600_000)
  expect(admission.ask('b', 655_000).kind).toBe('wait')
  expect(admission.ask('b', 661_000).kind).toBe('go')
})

test('a server that waits no longer holds up nobody', () => {
  const admission = new Admission(1)
  for (const mac of ['a', 'b', 'c']) admission.ask(mac, 0)
  for (let atMs = 0; atMs <= 40_000; atMs += 2_000) admission.ask('c', atMs)
  admission.ended('a', true, 41_000)
  expect(admission.ask('c', 42_000)).toEqual({ kind: 'go' })
  expect(admission.size).toEqual({ loading: 1, waiting: 0 })
})

test('a clock that is set back by an hour keeps no place of a server that vanished', () => {
  const admission = new Admission(1)
  for (const mac of ['a', 'b', 'c']) admission.ask(mac, 3_600_000)
  // The server that loads, and the one that is next, are gone.
  for (let atMs = 0; atMs < 58_000; atMs += 2_000) expect(admission.ask('c', atMs).kind).toBe('wait')
  expect(admission.ask('c', 61_000)).toEqual({ kind: 'go' })
})

test('what is told of the time follows what loading takes, and of 900 the last ask seldom', () => {
  const admission = new Admission(10)
  const macs = Array.from({ length: 910 }, (_, n) => numberedMac(n))
  for (const mac of macs) admission.ask(mac, 0)
  for (const [n, mac] of macs.slice(0, 10).entries()) admission.ended(mac, true, 1_000 + n)
  const turn = waits(admission.ask(macs[909] as string, 2_000))
  expect(turn).toMatchObject({ place: 900, of: 900, againSeconds: 15 })
  // 900 times 1.0 to 10 s, ten at once.
  expect(turn?.aboutSeconds).toBeGreaterThan(90)
  expect(turn?.aboutSeconds).toBeLessThan(300)
})

test('whatever they do: never more than the places, places are used while somebody waits, and everybody who keeps asking gets one', () => {
  const step = fc.record({ mac: fc.nat(11), act: fc.constantFrom('ask', 'done', 'broken'), afterMs: fc.nat(5_000) })
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 4 }), fc.array(step, { maxLength: 80 }), (places, steps) => {
      const admission = new Admission(places)
      let nowMs = 0
      for (const { mac, act, afterMs } of steps) {
        nowMs += afterMs
        if (act === 'ask') admission.ask(String(mac), nowMs)
        else admission.ended(String(mac), act === 'done', nowMs)
        expect(admission.size.loading).toBeLessThanOrEqual(places)
      }
      const left = new Set(Array.from({ length: 12 }, (_, n) => String(n)))
      for (let round = 0; left.size > 0; round += 1) {
        expect(round).toBeLessThan(60)
        const loading = [...left].filter((mac) => admission.ask(mac, nowMs).kind === 'go')
        // Places of servers that vanished come back with time alone.
        for (const mac of loading) {
          admission.ended(mac, true, nowMs)
          left.delete(mac)
        }
        nowMs += 2_000
      }
    }),
  )
})
