/** The remembered planes of a host are the ones that a fresh look would find, whatever observers report and however
 *  late. */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { planeStates } from '../../host-agent/verdict/conditions.ts'
import { EvidenceStore } from '../../host-agent/verdict/evidence-store.ts'
import { PlaneCache } from '../../host-agent/verdict/plane-cache.ts'
import { viewOf, type View } from '../../host-agent/verdict/view.ts'
import { PLANES, type Heartbeat, type Member } from '../../host-agent/protocol/heartbeat.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'

const NAMES = ['h0', 'h1', 'h2', 'h3', 'h4']
const members: Member[] = NAMES.map((name) => ({
  name,
  role: 'host',
  rack: null,
  planes: PLANES,
  writesStorageHeartbeat: false,
}))
const observers = new Map(NAMES.map((name) => [name, NAMES.filter((other) => other !== name)]))
const NOBODY_GONE: ReadonlySet<string> = new Set()
const ONE_GONE: ReadonlySet<string> = new Set(['h4'])

const viewAt = (evidence: EvidenceStore, nowMs: number, gone: ReadonlySet<string>): View =>
  viewOf({ nowMs, evidence, members, observers, arbiters: [], limits: LIMITS, uptimeMs: nowMs, gone })

/** `misses` by target and plane; a negative number: the observer says nothing of it. */
const heartbeatOf = (from: string, seq: number, about: { misses: readonly number[]; lagMs: number }): Heartbeat => ({
  from,
  bootId: 'b',
  seq,
  self: {
    state: 'member',
    lagMs: about.lagMs,
    storageLost: false,
    guests: 0,
    consents: false,
    gate: 'open',
    watchdogMs: null,
  },
  peers: Object.fromEntries(
    NAMES.filter((name) => name !== from).map((name, i) => [
      name,
      {
        planes: Object.fromEntries(
          PLANES.flatMap((plane, j) => {
            const misses = about.misses[(i * PLANES.length + j) % about.misses.length] ?? 0
            return misses < 0 ? [] : [[plane, { replyAgeMs: 10, misses }]]
          }),
        ),
        kernelAgeMs: null,
      },
    ]),
  ),
})

const happens = fc.record({
  from: fc.constantFrom(...NAMES),
  afterMs: fc.constantFrom(0, 100, 400, 900, 1_300),
  misses: fc.oneof(fc.constant([0]), fc.array(fc.constantFrom(-1, 0, 0, 1, 3, 4, 9), { minLength: 1, maxLength: 12 })),
  lagMs: fc.constantFrom(1, 500),
  gone: fc.boolean(),
})

test('it finds what a fresh look finds', () => {
  fc.assert(
    fc.property(fc.array(happens, { maxLength: 60 }), (events) => {
      const evidence = new EvidenceStore('a1')
      const cache = new PlaneCache()
      let nowMs = 1_000
      for (const [seq, { from, afterMs, misses, lagMs, gone }] of events.entries()) {
        nowMs += afterMs
        evidence.take(heartbeatOf(from, seq + 1, { misses, lagMs }), nowMs)
        const view = viewAt(evidence, nowMs, gone ? ONE_GONE : NOBODY_GONE)
        for (const host of members) expect(cache.statesOf(host, view)).toEqual(planeStates(host, view))
      }
    }),
    { numRuns: 300 },
  )
})

test('a host that its observers reach is looked at anew only when a report grows old', () => {
  const evidence = new EvidenceStore('a1')
  const cache = new PlaneCache()
  for (const [seq, name] of NAMES.entries()) evidence.take(heartbeatOf(name, seq + 1, { misses: [0], lagMs: 1 }), 1_000)
  const host = members[0] as Member
  const states = cache.statesOf(host, viewAt(evidence, 1_000, NOBODY_GONE))
  expect(states).toEqual({ management: 'up', storage: 'up', tenant: 'up' })
  expect(cache.statesOf(host, viewAt(evidence, 1_000 + LIMITS.reportMs, NOBODY_GONE))).toBe(states)
  expect(cache.statesOf(host, viewAt(evidence, 1_001 + LIMITS.reportMs, NOBODY_GONE))).toEqual({
    management: 'unknown',
    storage: 'unknown',
    tenant: 'unknown',
  })
})
