/** What is no answer to a session that waits for one: cut off, random, forged, another's. It changes nothing, and no
 *  decoder throws. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import * as handshake from '../../../conductor/bmc/rmcp/handshake.ts'
import type { SessionMove } from '../../../conductor/bmc/rmcp/move.ts'
import { message, PAYLOAD, readDatagram, readMessage, sessionless, setup } from '../../../conductor/bmc/rmcp/packet.ts'
import { decrypt, suiteOf, type Suite } from '../../../conductor/bmc/rmcp/suite.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { failure, machine, STATUS } from './peer.ts'

describe('what is no answer changes nothing', () => {
  /** A session that waits for its answer `count` (1 to 4 open it), and that answer. */
  const waiting = (count: number) => {
    const bmc = new RmcpBmc()
    const session = machine()
    let move = session.open()
    for (let n = 1; ; n += 1) {
      if (move.do === 'ready') move = session.request(STATUS)
      if (move.do !== 'send') throw new Error(move.do)
      const real = bmc.respond(move.bytes) as Buffer
      if (n === count) return { session, real }
      move = session.received(real) as SessionMove
    }
  }
  const ANSWERS = [1, 2, 3, 4, 5, 6]

  test.each(ANSWERS)('every truncation of answer %i is ignored, and the whole one is taken after them', (n) => {
    const { session, real } = waiting(n)
    for (let size = 0; size < real.length; size += 1)
      expect([size, session.received(real.subarray(0, size))]).toEqual([size, undefined])
    expect(session.received(real)).toBeDefined()
  })

  test.each(ANSWERS)('random bytes, and answer %i with random changes, are no answer', (n) => {
    const { session, real } = waiting(n)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => session.received(Buffer.from(bytes)) === undefined),
    )
    if (n > 4) {
      // What is signed: any bit.
      const flip = fc.tuple(fc.nat({ max: real.length - 1 }), fc.integer({ min: 1, max: 255 }))
      fc.assert(
        fc.property(flip, ([at, by]) => {
          const forged = Buffer.from(real)
          forged[at] = (forged[at] as number) ^ by
          // The reserved byte and the sequence number of RMCP are not signed.
          return at === 1 || at === 2 || session.received(forged) === undefined
        }),
      )
    }
    expect(session.received(real)).toBeDefined()
  })

  test('an answer for another session, one that is neither signed nor encrypted, one to another request', () => {
    const { session } = waiting(6)
    const { real: ofAnother } = waiting(6)
    expect(session.received(ofAnother)).toBeUndefined()
    const clear = message({ netFn: 1, command: 1, sequence: 2, data: Buffer.from([0, 0, 0, 0]) })
    expect(session.received(setup(PAYLOAD.ipmi, clear))).toBeUndefined()
    expect(session.received(sessionless(clear))).toBeUndefined()
    const tooLate = Buffer.alloc(8)
    expect(session.received(setup(PAYLOAD.rakp4, tooLate))).toBeUndefined()
  })

  test('a refusal with the tag of an earlier message is not for this one', () => {
    const { session, real } = waiting(3)
    const refusal = (tag: number) => setup(PAYLOAD.rakp2, Buffer.from([tag, 0x0d, 0, 0, 0, 0, 0, 0]))
    const tag = (readDatagram(real, 0) as { payload: Buffer }).payload[0] as number
    expect(session.received(refusal(tag - 1))).toBeUndefined()
    expect(failure(session.received(refusal(tag)) as SessionMove)).toMatchObject({ kind: 'password' })
  })

  test('no decoder throws, whatever comes', () => {
    const sha256 = suiteOf(17) as Suite
    const key = Buffer.alloc(16)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 120 }), (raw) => {
        const bytes = Buffer.from(raw)
        const headed = [
          bytes,
          Buffer.concat([Buffer.from([6, 0, 255, 7, 6]), bytes]),
          Buffer.concat([Buffer.from([6, 0, 255, 7, 0]), bytes]),
        ]
        for (const one of headed) for (const size of [0, 12, 16]) readDatagram(one, size)
        readMessage(bytes)
        decrypt(key, bytes)
        handshake.readSetupAnswer(bytes)
        handshake.readOpened(bytes, sha256)
        handshake.readRakp2(bytes, sha256)
      }),
      { numRuns: 2_000 },
    )
  })
})
