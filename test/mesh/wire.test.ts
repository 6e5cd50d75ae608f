/** Datagrams: every truncation, every flipped bit, other people's codes; and a prober whose main loop is busy. */
import { join } from 'node:path'
import { inflateRawSync } from 'node:zlib'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decode, encode, senderOf, type Message } from '../../host-agent/protocol/datagram.ts'
import { newIdentity } from '../../host-agent/protocol/keys.ts'
import { Membership } from '../../host-agent/probe/membership.ts'
import type { MemberRecord } from '../../host-agent/protocol/records.ts'
import type { startProber as StartProber } from '../../host-agent/probe/prober-thread.ts'
import { EvidenceStore } from '../../host-agent/verdict/evidence-store.ts'
import type { Heartbeat, SelfReport } from '../../host-agent/protocol/heartbeat.ts'
import { until } from '../../kit/clock.ts'
import { ROOT } from '../lab/root.ts'

const SELF: SelfReport = {
  state: 'member',
  lagMs: 0,
  storageLost: false,
  guests: 2,
  consents: false,
  gate: 'open',
  watchdogMs: null,
}
const heartbeat = (more: Partial<Heartbeat> = {}): Heartbeat => ({
  from: 'h1',
  bootId: 'boot',
  seq: 7,
  self: SELF,
  peers: { h2: { planes: { management: { replyAgeMs: 12, misses: 0 } }, kernelAgeMs: null } },
  ...more,
})
const messages: readonly Message[] = [
  { type: 'probe', nonce: Buffer.alloc(9, 1).toString('base64url') },
  { type: 'reply', nonce: Buffer.alloc(9, 2).toString('base64url') },
  {
    type: 'heartbeat',
    heartbeat: heartbeat({
      heard: { h2: 3 },
      noGrant: ['h9'],
      settled: true,
      timestamp: 5,
      echoedTimestamps: { a2: 4 },
    }),
  },
  { type: 'ack', ack: { seq: 7, bootId: 'boot', grants: true, order: 'open gate' } },
]
const [alice, bob, eve] = [newIdentity('h1'), newIdentity('a1'), newIdentity('h9')]

describe('datagrams', () => {
  test.each(messages)('$type: comes back as it was', (message) => {
    const bytes = encode('h1', 'storage', message)
    expect(senderOf(bytes)).toBe('h1')
    expect(decode(bytes)).toEqual({ plane: 'storage', message })
  })

  test.each(messages)('$type: no truncation and no flipped bit gets through the code', (message) => {
    const sealed = alice.seal(encode('h1', 'management', message), bob)
    expect(bob.open(sealed, alice)).toEqual(encode('h1', 'management', message))
    for (let length = 0; length < sealed.length; length += 1)
      expect(bob.open(sealed.subarray(0, length), alice)).toBeUndefined()
    for (let i = 0; i < sealed.length; i += 1) {
      const changed = Buffer.from(sealed)
      changed[i] = (changed[i] as number) ^ (1 << (i % 8))
      expect(bob.open(changed, alice)).toBeUndefined()
    }
  })

  test('a code is for one sender and one receiver: not for others, and not turned round', () => {
    const sealed = alice.seal(encode('h1', 'management', messages[0] as Message), bob)
    expect(eve.open(sealed, alice)).toBeUndefined()
    expect(bob.open(sealed, eve)).toBeUndefined()
    expect(alice.open(sealed, bob)).toBeUndefined()
  })

  test('the names on the wire are those of the versions before', () => {
    const bytes = encode('h1', 'storage', {
      type: 'heartbeat',
      heartbeat: heartbeat({ timestamp: 5, echoedTimestamps: { a2: 4 } }),
    })
    const body = JSON.parse(inflateRawSync(bytes.subarray(7 + 'h1'.length)).toString())
    expect(body).toMatchObject({ from: 'h1', seq: 7, mark: 5, echo: { a2: 4 } })
    expect(bytes[4]).toBe(2)
  })

  test('nobody speaks for another: a heartbeat must be its sender’s', () => {
    expect(decode(encode('h9', 'management', { type: 'heartbeat', heartbeat: heartbeat() }))).toBeUndefined()
  })

  test('any bytes are taken without a fault', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        senderOf(Buffer.from(bytes))
        decode(Buffer.concat([Buffer.from('RWM1'), Buffer.from(bytes)]))
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the evidence of an arbiter', () => {
  test('replays, older ones and boots that ended are no news (scenario 24)', () => {
    const evidence = new EvidenceStore('a1')
    expect(evidence.take(heartbeat({ seq: 5 }), 100)).toBe(true)
    expect(evidence.take(heartbeat({ seq: 5 }), 200)).toBe(false)
    expect(evidence.take(heartbeat({ seq: 4 }), 200)).toBe(false)
    expect(evidence.take(heartbeat({ bootId: 'next', seq: 1 }), 300)).toBe(true)
    expect(evidence.take(heartbeat({ seq: 99 }), 400)).toBe(false)
    expect(evidence.heardAgeMs('h1', 400)).toBe(100)
  })
})

describe('a member', () => {
  test('goes on petting while one channel lives, and stops when all are silent or one carries a poison pill (I12)', () => {
    const core = new Membership({ name: 'h1', bootId: 'b', self: SELF, nowMs: 0, firstSeq: 0 })
    expect(core.mayPet(5_999)).toBe(true)
    expect(core.mayPet(6_000)).toBe(false)
    const { seq } = core.heartbeat(10_000)
    core.onHeartbeatReply({ seq, bootId: 'b', grants: false, order: null })
    expect(core.mayPet(10_100)).toBe(false)
    core.onHeartbeatReply({ seq, bootId: 'b', grants: true, order: null })
    // From when it was sent, not from when it was answered.
    expect(core.mayPet(15_999)).toBe(true)
    expect(core.mayPet(16_000)).toBe(false)
    core.onSlot({ poisoned: false }, 17_000)
    expect(core.mayPet(22_999)).toBe(true)
    core.onSlot({ poisoned: true }, 18_000)
    expect(core.mayPet(18_001)).toBe(false)
  })
})

describe('a prober', () => {
  test(
    'goes on answering and reporting while the main loop is busy for seconds (scenario 9)',
    { timeout: 30_000 },
    async () => {
      // A thread runs compiled code.
      const { startProber } = (await import(join(ROOT, 'dist/host-agent/probe/prober-thread.js'))) as {
        startProber: typeof StartProber
      }
      const port = 30_000 + (process.pid % 20_000)
      const member = (name: string, role: 'host' | 'arbiter', publicKey: string, address: string): MemberRecord => ({
        name,
        role,
        rack: null,
        planes: { management: { address, port } },
        ticks: false,
        publicKey,
        systemUuid: null,
        node: null,
        reserved: false,
        api: null,
      })
      const [one, two] = [newIdentity('h1'), newIdentity('a1')]
      const members = [
        member('h1', 'host', one.publicKey, '127.71.0.1'),
        member('a1', 'arbiter', two.publicKey, '127.71.0.2'),
      ]
      const seen: number[] = []
      const setup = (name: 'h1' | 'a1') => ({
        name,
        pem: (name === 'h1' ? one : two).pem(),
        role: name === 'h1' ? ('host' as const) : ('arbiter' as const),
        bootId: 'b',
        planes: members.find((member2) => member2.name === name)?.planes as MemberRecord['planes'],
        watchdog: null,
        self: SELF,
      })
      const nothing = { onOrder: () => undefined, onFailure: () => undefined, onEnd: () => undefined }
      const host = await startProber(setup('h1') as never, { ...nothing, onHeartbeat: () => undefined })
      const arbiter = await startProber(setup('a1') as never, {
        ...nothing,
        onHeartbeat: (got) => got.from === 'h1' && seen.push(got.peers.a1?.planes.management?.misses ?? 99),
      })
      try {
        host.setMembers(members)
        arbiter.setMembers(members)
        await until(() => seen.length > 2 && seen.at(-1) === 0, {
          what: 'heartbeats with answered probes',
          timeoutMs: 30_000,
        })
        const before = seen.length
        const end = performance.now() + 3_000
        while (performance.now() < end) Math.sqrt(end)
        // What the threads sent meanwhile is waiting, and says that every probe was answered.
        await until(() => seen.length >= before + 5, { what: 'the heartbeats of the busy seconds', timeoutMs: 20_000 })
        expect(Math.max(...seen.slice(before))).toBeLessThan(4)
      } finally {
        await host.stop()
        await arbiter.stop()
      }
    },
  )
})
