/** What hosts announce beside their heartbeats: crash dumps, a planned leave, that they are short of memory. */
import { createSocket } from 'node:dgram'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { memoryFull } from '../../host-agent/guard/pressure.ts'
import { hostAt, isKdump, listenKdump } from '../../host-agent/probe/kdump.ts'
import type { MemberRecord } from '../../host-agent/protocol/records.ts'
import { assess, type LeaderContext } from '../../host-agent/verdict/assess.ts'
import { EvidenceStore } from '../../host-agent/verdict/evidence-store.ts'
import { planeFinding } from '../../host-agent/verdict/conditions.ts'
import { findCut } from '../../host-agent/verdict/cut.ts'
import { viewOf, type View } from '../../host-agent/verdict/view.ts'
import type { Heartbeat, Member, SelfReport } from '../../host-agent/protocol/heartbeat.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'
import { until } from '../../kit/clock.ts'

const SELF: SelfReport = {
  state: 'member',
  lagMs: 0,
  storageLost: false,
  guests: 1,
  consents: false,
  gate: 'open',
  watchdogMs: null,
}
const member = (name: string, role: 'host' | 'arbiter'): Member => ({
  name,
  role,
  rack: name,
  planes: ['management'],
  writesStorageHeartbeat: false,
})
const MEMBERS = [
  ...['h1', 'h2', 'h3', 'h4'].map((name) => member(name, 'host')),
  ...['a1', 'a2', 'a3'].map((name) => member(name, 'arbiter')),
]
const MESSAGE = Buffer.from('402a301b01000000', 'hex')

/** h1 has been silent for ten seconds for everybody; `self`: what its last word was; `others`: what its observers say
 *  of themselves. */
function silentHost(
  self: Partial<SelfReport> = {},
  others: Partial<SelfReport> = {},
): { view: View; evidence: EvidenceStore } {
  const evidence = new EvidenceStore('a1')
  const nowMs = 100_000
  const heartbeat = (from: string, about: Partial<SelfReport>): Heartbeat => ({
    from,
    bootId: `boot ${from}`,
    seq: 1,
    self: { ...SELF, ...about },
    peers: Object.fromEntries(
      MEMBERS.filter(({ name }) => name !== from).map(({ name }) => [
        name,
        {
          planes: { management: name === 'h1' ? { replyAgeMs: 10_000, misses: 40 } : { replyAgeMs: 100, misses: 0 } },
          kernelAgeMs: null,
        },
      ]),
    ),
    ...(from.startsWith('a') ? { heard: { h1: 10_000 }, settled: true } : {}),
  })
  evidence.take(heartbeat('h1', self), nowMs - 10_000)
  for (const { name } of MEMBERS) if (name !== 'h1') evidence.take(heartbeat(name, others), nowMs - 100)
  const view = viewOf({
    nowMs,
    evidence,
    members: MEMBERS,
    arbiters: ['a1', 'a2', 'a3'],
    limits: LIMITS,
    uptimeMs: 90_000,
    gone: new Set(),
  })
  return { view, evidence }
}
const contextOf = (view: View): LeaderContext => ({
  lease: { leftMs: 10_000, ageMs: 60_000, storeOkAgeMs: 500 },
  hold: undefined,
  disarmed: undefined,
  spent: undefined,
  capacity: { fits: true, says: '' },
  cut: findCut([{ host: 'h1', rack: 'h1', sinceMs: view.nowMs - 9_000, provenOff: false }], {
    nowMs: view.nowMs,
    hosts: 4,
    limits: LIMITS,
    cutAtMs: undefined,
  }),
  provenOff: false,
  factor: 1,
  softSinceMs: undefined,
  storageSick: false,
  reach: { heard: 3, of: 3 },
})
const verdict = (view: View) => assess(MEMBERS[0] as Member, view, contextOf(view))

describe('crash dumps', () => {
  test('the message of fence_kdump is known in both orders of bytes, and nothing else is', () => {
    expect(isKdump(MESSAGE)).toBe(true)
    expect(isKdump(Buffer.from('1b302a4000000001', 'hex'))).toBe(true)
    for (let length = 0; length < MESSAGE.length; length += 1) expect(isKdump(MESSAGE.subarray(0, length))).toBe(false)
    fc.assert(fc.property(fc.uint8Array({ maxLength: 20 }), (bytes) => isKdump(Buffer.from(bytes)) === false))
  })
  test('one that comes from a host’s address is taken for that host', async () => {
    const seen: string[] = []
    const stop = await listenKdump({ address: '127.0.0.1', port: 17_410 }, (address) => seen.push(address))
    const socket = createSocket('udp4')
    for (const bytes of [Buffer.from('noise'), MESSAGE]) socket.send(bytes, 17_410, '127.0.0.1')
    await until(() => seen.length > 0, { what: 'the message', timeoutMs: 20_000 })
    socket.close()
    stop()
    expect(seen).toEqual(['127.0.0.1'])
    const record = (name: string, role: 'host' | 'arbiter', address: string) =>
      ({ name, role, planes: { tenant: { address, port: 1 } } }) as MemberRecord
    expect(hostAt('10.0.0.2', [record('a1', 'arbiter', '10.0.0.2'), record('h1', 'host', '10.0.0.2')])).toBe('h1')
    expect(hostAt('10.0.0.9', [record('h1', 'host', '10.0.0.2')])).toBeUndefined()
  })
  test('a silent host that writes a dump is not fenced while it does, nor for ever', () => {
    const { view, evidence } = silentHost()
    expect(verdict(view).state).toBe('confirmed')
    evidence.sawCrashDump('h1', view.nowMs - 2_000)
    expect(verdict(view)).toMatchObject({ state: 'held', says: expect.stringMatching(/crash dump/) })
    expect(evidence.isDumping('h1', view.nowMs + LIMITS.dumpSilentMs, LIMITS)).toBe(false)
    for (let atMs = 0; atMs < LIMITS.dumpMs + 60_000; atMs += 5_000) evidence.sawCrashDump('h1', view.nowMs + atMs)
    expect(evidence.isDumping('h1', view.nowMs + LIMITS.dumpMs + 60_000, LIMITS)).toBe(false)
  })
})

test('a host that said that it leaves is not fenced', () => {
  expect(verdict(silentHost({ state: 'leaving' }).view)).toMatchObject({
    state: 'held',
    says: expect.stringMatching(/it leaves/),
  })
})

test('observers that are short of memory are no witnesses', () => {
  const { view } = silentHost({}, { strained: true })
  expect(planeFinding(MEMBERS[0] as Member, 'management', view).silent).toEqual([])
  expect(verdict(view).state).toBe('suspect')
})

test.each([
  ['some avg10=50.00 avg60=1.00 avg300=0.00 total=1\nfull avg10=31.25 avg60=0.10 avg300=0.00 total=1\n', 31.25],
  ['some avg10=50.00 avg60=1.00 avg300=0.00 total=1\n', 0],
  ['', 0],
])('pressure %j is %d', (text, share) => expect(memoryFull(text)).toBe(share))
