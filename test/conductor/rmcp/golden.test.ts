/** What ipmitool and ipmi_sim said to each other, read and made again by our own codecs byte for byte. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import * as handshake from '../../../conductor/bmc/rmcp/handshake.ts'
import {
  inSession,
  message,
  PAYLOAD,
  readDatagram,
  readMessage,
  sessionless,
  setup,
} from '../../../conductor/bmc/rmcp/packet.ts'
import type { SessionDatagram } from '../../../conductor/bmc/rmcp/packet.ts'
import { codeOf, decrypt, encrypt, isSame, keysOf, suiteOf, type Suite } from '../../../conductor/bmc/rmcp/suite.ts'
import { ROOT } from '../../lab/root.ts'

interface Exchange {
  readonly name: string
  readonly packets: readonly { readonly from: 'console' | 'bmc'; readonly hex: string }[]
}
const { exchanges } = JSON.parse(readFileSync(join(ROOT, 'test/golden/ipmi/ipmitool.json'), 'utf8')) as {
  exchanges: Exchange[]
}
const bytesOf = (name: string) =>
  (exchanges.find((one) => one.name === name)?.packets ?? []).map(({ hex }) => Buffer.from(hex, 'hex'))

const sha1 = suiteOf(3) as Suite
const who = { username: 'admin', password: 'secret', privilege: 4 }
const read = (bytes: Buffer | undefined) => readDatagram(bytes ?? Buffer.alloc(0), sha1.codeBytes) as SessionDatagram

/** What both sides know after RAKP 2, out of a recording. */
function negotiated(packets: readonly Buffer[]) {
  const [, , , opened, first, second] = packets
  const rakp2 = handshake.readRakp2(read(second).payload, sha1)
  const of: handshake.Negotiated = {
    consoleId: read(opened).payload.readUInt32LE(4),
    bmcId: handshake.readOpened(read(opened).payload, sha1)?.bmcId ?? 0,
    consoleNonce: read(first).payload.subarray(8, 24),
    bmcNonce: rakp2?.bmcNonce ?? Buffer.alloc(0),
    guid: rakp2?.guid ?? Buffer.alloc(0),
  }
  return { of, rakp2 }
}

test('the request for capabilities is the one of ipmitool', () => {
  const [asked = Buffer.alloc(0), answered] = bytesOf('power status')
  const data = Buffer.from([0x8e, 4])
  expect(sessionless(message({ netFn: 6, command: 0x38, sequence: 0, data }))).toEqual(asked)
  const answer = readDatagram(answered ?? asked, 0)
  expect(answer && readMessage(answer.payload)).toMatchObject({ netFn: 7, command: 0x38, sequence: 0 })
})

test.each(['power status', 'power off', 'boot device pxe'])('opening a session is as ipmitool does it: %s', (name) => {
  const packets = bytesOf(name)
  const [, , open, , first, , third, fourth] = packets
  const { of, rakp2 } = negotiated(packets)
  expect(setup(PAYLOAD.openRequest, handshake.openRequest(0, of.consoleId, sha1))).toEqual(open)
  expect(setup(PAYLOAD.rakp1, handshake.rakp1(0, of, who))).toEqual(first)
  expect(handshake.rakp2Code(sha1, of, who)).toEqual(rakp2?.code)
  const code = handshake.rakp3Code(sha1, of, who)
  expect(setup(PAYLOAD.rakp3, handshake.rakp3(0, of.bmcId, { status: 0, code }))).toEqual(third)
  const key = handshake.sessionKey(sha1, of, who)
  expect(handshake.rakp4Code(sha1, of, key)).toEqual(read(fourth).payload.subarray(8))
})

test.each([
  ['power status', '0 1 '],
  ['power off', '0 2 0'],
  ['boot device pxe', '0 8 5e004000000'],
])('datagrams of the session are proven, decrypted, and made again: %s', (name, wanted) => {
  const packets = bytesOf(name)
  const { of } = negotiated(packets)
  const keys = keysOf(sha1, handshake.sessionKey(sha1, of, who))
  const asked: string[] = []
  const session = packets.slice(8)
  expect(session.length).toBe(14)
  for (const bytes of session) {
    const datagram = read(bytes)
    expect(datagram).toMatchObject({ version: 2, type: PAYLOAD.ipmi, isEncrypted: true, isAuthenticated: true })
    expect(isSame(codeOf(sha1, keys.integrity, datagram.signed), datagram.code)).toBe(true)
    const clear = decrypt(keys.encryption, datagram.payload)
    const said = clear && readMessage(clear)
    if (!said) throw new Error('no message')
    if (said.netFn % 2 === 0) asked.push(`${said.netFn} ${said.command} ${said.data.toString('hex').replace(/^0/, '')}`)
    const payload = encrypt(keys.encryption, datagram.payload.subarray(0, 16), message(said))
    const { sessionId, sequence } = datagram
    expect(inSession({ sessionId, sequence }, payload, (signed) => codeOf(sha1, keys.integrity, signed))).toEqual(bytes)
  }
  expect(asked).toContain(wanted)
})

test('a wrong password does not prove RAKP 2', () => {
  const packets = bytesOf('wrong password')
  const { of, rakp2 } = negotiated(packets)
  const code = (password: string) => handshake.rakp2Code(sha1, of, { ...who, password })
  expect(code('secret')).toEqual(rakp2?.code)
  expect(isSame(code('wrong'), rakp2?.code ?? Buffer.alloc(0))).toBe(false)
})

test('a suite that the BMC does not know is refused with two bytes', () => {
  const packets = bytesOf('suite 17 refused')
  const sha256 = suiteOf(17) as Suite
  expect(setup(PAYLOAD.openRequest, handshake.openRequest(0, 0xa0a2a3a4, sha256))).toEqual(packets[2])
  expect(handshake.readSetupAnswer(read(packets[3]).payload)).toEqual({ tag: 0, status: 4, consoleId: 0 })
})
