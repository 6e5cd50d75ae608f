/** BMCs that do not do quite what IPMI 2.0 says, and with which a session is opened and closed all the same, or which
 *  are told apart by what is said of them. */
import { createCipheriv } from 'node:crypto'
import { expect, test } from 'vitest'
import { uuidOfGuid } from '../../../conductor/bmc/boot-flags.ts'
import type { SessionMove } from '../../../conductor/bmc/rmcp/move.ts'
import { message, PAYLOAD, sessionless } from '../../../conductor/bmc/rmcp/packet.ts'
import { completionFailure } from '../../../conductor/bmc/rmcp/status.ts'
import { decrypt } from '../../../conductor/bmc/rmcp/suite.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { failure, machine, OFF, Passage, STATUS, WAITS_MS } from './peer.ts'

const typeOf = (bytes: Buffer) => (bytes[4] === 6 ? (bytes[5] as number) & 0x3f : -1)
const READY = { do: 'ready' }

test('one that names other algorithms than those that were asked for does not know the suite', () => {
  const bmc = new RmcpBmc()
  const session = machine()
  const other = (bytes: Buffer) => {
    if (typeOf(bytes) === PAYLOAD.openResponse) bytes[32] = 1
    return [bytes]
  }
  const passage = new Passage(session, bmc, { back: other })
  expect(failure(passage.follow(session.open()))).toMatchObject({ kind: 'suite' })
  expect(passage.waitedMs).toBe(0)
})

test('one that is silent about a suite that it does not know: the failure names the suite', () => {
  const session = machine()
  const drops = (bytes: Buffer) => (typeOf(bytes) === PAYLOAD.openRequest ? [] : [bytes])
  const passage = new Passage(session, new RmcpBmc(), { there: drops })
  expect(failure(passage.follow(session.open()))).toMatchObject({
    kind: 'silent',
    words: expect.stringContaining('cipher suite 17 (driver_info/ipmi_cipher_suite)') as string,
  })
})

test.each([PAYLOAD.rakp1, PAYLOAD.rakp3])(
  'one that takes message %i of a session only once, and whose answer was lost, is asked for a new session, once',
  (type) => {
    const bmc = new RmcpBmc()
    const taken = new Set<number>()
    const isAgain = (bytes: Buffer) => {
      const id = bytes.readUInt32LE(20)
      return taken.has(id) || !taken.add(id)
    }
    let lost = 0
    const once = {
      there: (bytes: Buffer) => (typeOf(bytes) === type && isAgain(bytes) ? [] : [bytes]),
      back: (bytes: Buffer) => (typeOf(bytes) === type + 1 && (lost += 1) === 1 ? [] : [bytes]),
    }
    const session = machine()
    const passage = new Passage(session, bmc, once)
    expect(passage.follow(session.open())).toEqual(READY)
    expect(passage.waitedMs).toBe(WAITS_MS.reduce((sum, ms) => sum + ms, 0))

    const never = machine()
    const deaf = new Passage(never, bmc, { there: (bytes) => (typeOf(bytes) === type ? [] : [bytes]) })
    expect(failure(deaf.follow(never.open()))).toMatchObject({ kind: 'silent' })
    expect(deaf.sent.filter(({ bytes }) => typeOf(bytes) === type)).toHaveLength(2 * WAITS_MS.length)
  },
)

test('one that does not answer in a session is told to close it, in a request of its own', () => {
  const bmc = new RmcpBmc()
  const session = machine()
  let isDeaf = false
  const passage = new Passage(session, bmc, { back: (bytes) => (isDeaf ? [] : [bytes]) })
  passage.follow(session.open())
  isDeaf = true
  const move = passage.follow(session.request(STATUS)) as SessionMove & { do: 'fail' }
  expect(move.failure.kind).toBe('silent')
  expect(bmc.sessions.size).toBe(1)
  bmc.respond(move.last ?? Buffer.alloc(0))
  expect(bmc.sessions.size).toBe(0)
})

test('one that answers in the form of IPMI 2.0 is asked for a session, whatever it says of the versions', () => {
  const session = machine()
  session.open()
  const data = Buffer.from([0, 1, 0x84, 4, 1, 0, 0, 0, 0])
  const answer = sessionless(message({ netFn: 7, command: 0x38, sequence: 0, data }))
  expect(session.received(answer)).toMatchObject({ do: 'send' })
})

test('one whose checksums inside of a signed datagram are wrong', () => {
  const bmc = new RmcpBmc()
  bmc.spoils = (bytes) => {
    bytes[2] = (bytes[2] as number) ^ 0x55
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 0xaa
    return bytes
  }
  const session = machine()
  const passage = new Passage(session, bmc)
  expect(passage.follow(session.open())).toEqual(READY)
  expect(passage.follow(session.request(OFF))).toMatchObject({ do: 'answer', code: 0 })
  expect(passage.follow(session.close())).toEqual({ do: 'closed' })
})

test('one that pads a whole block', () => {
  const [key, iv] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)]
  const clear = Buffer.concat([Buffer.alloc(15, 9), Buffer.from([...Array.from({ length: 16 }, (_, i) => i + 1), 16])])
  const cipher = createCipheriv('aes-128-cbc', key, iv).setAutoPadding(false)
  expect(decrypt(key, Buffer.concat([iv, cipher.update(clear), cipher.final()]))).toEqual(Buffer.alloc(15, 9))
})

test('codes that mean something else for each command have the words of their command', () => {
  const words = (code: number, netFn: number, command: number) => completionFailure(code, { netFn, command })
  expect(words(0x80, 0, 8)).toEqual({ kind: 'refused', words: 'boot option not supported (0x80)' })
  expect(words(0x81, 6, 0x3b).words).toContain('limit')
  expect(words(0x80, 0, 2).words).toBe('completion code (0x80)')
  expect(words(0xd4, 0, 8).words).toContain('privilege')
})

test('a GUID of zeros, of ones, or of another length, is none', () => {
  expect(uuidOfGuid(Array<number>(16).fill(0xff))).toBeNull()
  expect(uuidOfGuid(Array<number>(16).fill(0))).toBeNull()
  for (const length of [0, 15, 17]) expect(uuidOfGuid(Array<number>(length).fill(7))).toBeNull()
  expect(uuidOfGuid([...Array<number>(15).fill(0xff), 0])).toBe('00ffffff-ffff-ffff-ffff-ffffffffffff')
})
