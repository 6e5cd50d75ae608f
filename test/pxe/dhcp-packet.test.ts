/** Golden packets of real firmware; every truncation and every corrupted byte of each; what fast-check makes up. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WireError } from '../../pxe/bytes.ts'
import { clientArchs, isIpxe, isNetboot, messageType, OPTION } from '../../pxe/dhcp/options.ts'
import { decodePacket, encodePacket, packetMac, type Packet } from '../../pxe/dhcp/packet.ts'
import { relayInfo, switchPortOf } from '../../pxe/dhcp/relay.ts'
import { ROOT } from '../lab/root.ts'

const GOLDEN = join(ROOT, 'test/golden/dhcp')
const golden = readdirSync(GOLDEN)
  .filter((file) => file.endsWith('.hex'))
  .map((file) => ({
    name: file.replace('.hex', ''),
    bytes: Buffer.from(readFileSync(join(GOLDEN, file), 'utf8').replace(/\s/g, ''), 'hex'),
    textFile: join(GOLDEN, file.replace('.hex', '.txt')),
  }))

/** A packet as a person reads it. */
export function describePacket(packet: Packet): string {
  const { options, chaddr: _, ...head } = packet
  const lines = Object.entries(head).map(([key, value]) => `${key} ${String(value)}`)
  return [
    ...lines,
    `mac ${packetMac(packet)}`,
    ...[...options].map(([code, value]) => `option ${code} ${value.toString('hex')}`),
    '',
  ].join('\n')
}

/** Decodes or throws WireError; any other error is what this whole file looks for. */
function decodeOrRefuse(bytes: Buffer): Packet | undefined {
  try {
    return decodePacket(bytes)
  } catch (error) {
    if (error instanceof WireError) return undefined
    throw error
  }
}

test('there are golden packets of EDK2, of iPXE and of Linux', () => {
  expect(golden.map(({ name }) => name).sort()).toEqual([
    'edk2-discover',
    'edk2-relayed-discover',
    'edk2-request',
    'ipxe-bios-discover',
    'ipxe-bios-request',
    'ipxe-efi-discover',
    'linux-discover',
  ])
})

describe.each(golden)('$name', ({ bytes, textFile }) => {
  test('decodes to its text (UPDATE=1 writes the text anew, and fails that run)', () => {
    const text = describePacket(decodePacket(bytes))
    const before = existsSync(textFile) ? readFileSync(textFile, 'utf8') : ''
    if (process.env.UPDATE === '1') writeFileSync(textFile, text)
    expect(text).toBe(before)
  })
  test('encodes to a packet that decodes to the same', () =>
    expect(describePacket(decodePacket(encodePacket(decodePacket(bytes))))).toBe(describePacket(decodePacket(bytes))))
  test('never throws anything but a refusal, however it is truncated', () => {
    for (let length = 0; length < bytes.length; length += 1) decodeOrRefuse(bytes.subarray(0, length))
    expect(decodeOrRefuse(bytes.subarray(0, 239))).toBeUndefined()
  })
  test('never throws anything but a refusal, whichever byte is corrupted', () => {
    for (let at = 0; at < bytes.length; at += 1) {
      for (const value of [0, 0x7f, 0xff, (bytes[at] as number) ^ 1]) {
        const broken = Buffer.from(bytes)
        broken[at] = value
        const packet = decodeOrRefuse(broken)
        if (packet) [messageType, clientArchs, isIpxe, isNetboot].forEach((read) => read(packet.options))
      }
    }
  })
})

test('what a real relay adds (ISC dhcrelay -a, with a packet of EDK2) is read: its address and the interface of the client', () => {
  const { bytes } = golden.find(({ name }) => name === 'edk2-relayed-discover')!
  const packet = decodePacket(bytes)
  expect(packet.hops).toBe(1)
  expect(switchPortOf(packet)).toEqual({ relay: packet.giaddr, circuitId: 'rack' })
  expect(relayInfo(packet)).toEqual({})
})

test('what real clients say is read: architecture, iPXE, network boot', () => {
  const read = (name: string) => decodePacket(golden.find((packet) => packet.name === name)?.bytes as Buffer).options
  expect([clientArchs(read('edk2-discover')), isIpxe(read('edk2-discover')), isNetboot(read('edk2-discover'))]).toEqual(
    [[7], false, true],
  )
  expect([
    isIpxe(read('ipxe-bios-discover')),
    isIpxe(read('ipxe-efi-discover')),
    isIpxe(read('linux-discover')),
  ]).toEqual([true, true, false])
  expect(isNetboot(read('linux-discover'))).toBe(false)
})

const ip = fc.ipV4()
const packets: fc.Arbitrary<Packet> = fc.record({
  op: fc.constantFrom(1 as const, 2 as const),
  htype: fc.nat(255),
  hlen: fc.nat(16),
  hops: fc.nat(255),
  xid: fc.nat(0xffffffff),
  secs: fc.nat(65535),
  flags: fc.nat(65535),
  ciaddr: ip,
  yiaddr: ip,
  siaddr: ip,
  giaddr: ip,
  chaddr: fc.uint8Array({ minLength: 16, maxLength: 16 }).map((bytes) => Buffer.from(bytes)),
  sname: fc.stringMatching(/^[a-z0-9.]{0,63}$/),
  file: fc.stringMatching(/^[a-z0-9./]{0,127}$/),
  options: fc
    .array(
      fc.tuple(
        fc.integer({ min: 1, max: 254 }).filter((code) => code !== OPTION.overload),
        fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes)),
      ),
    )
    .map((list) => new Map(list)),
})

test('any packet survives encoding and decoding, long options (RFC 3396) included', () => {
  fc.assert(
    fc.property(packets, (packet) => {
      fc.pre([...packet.options].reduce((sum, [, value]) => sum + value.length + 4, 0) < 8000)
      const decoded = decodePacket(encodePacket(packet))
      expect({ ...decoded, options: [...decoded.options] }).toEqual({ ...packet, options: [...packet.options] })
      for (const [code, value] of packet.options) expect(decoded.options.get(code)).toEqual(value)
    }),
  )
})

test.each([1, 2])('any bytes are decoded or refused (seed %i)', (seed) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 700 }), (bytes) => void decodeOrRefuse(Buffer.from(bytes))),
    { numRuns: 5000, seed },
  )
})

test('a packet whose options are any bytes is decoded or refused, and whatever is decoded is read without a fault', () => {
  const head = encodePacket(decodePacket(golden[0]?.bytes as Buffer)).subarray(0, 240)
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 400 }), fc.ipV4(), (bytes, giaddr) => {
      const packet = decodeOrRefuse(Buffer.concat([head, Buffer.from(bytes)]))
      if (!packet) return
      for (const read of [messageType, clientArchs, isIpxe, isNetboot]) read(packet.options)
      relayInfo({ ...packet, giaddr })
      switchPortOf({ ...packet, giaddr })
    }),
    { numRuns: 5000, seed: 3 },
  )
})

test('options that overflow into file and sname are read (RFC 2132 9.3)', () => {
  const bytes = encodePacket({
    ...decodePacket(golden[0]?.bytes as Buffer),
    options: new Map([
      [OPTION.overload, Buffer.from([3])],
      [OPTION.messageType, Buffer.from([1])],
    ]),
  })
  bytes.set([OPTION.hostName, 2, 0x61, 0x62, 255], 108)
  bytes.set([OPTION.hostName, 1, 0x63, 255], 44)
  expect(decodePacket(bytes).options.get(OPTION.hostName)?.toString()).toBe('abc')
})

test('options are read between padding, without an end, and joined where one comes twice', () => {
  const head = encodePacket(decodePacket(golden[0]?.bytes as Buffer)).subarray(0, 240)
  const part = fc.oneof(
    fc.constant({ code: 0, value: Buffer.alloc(0) }),
    fc.record({
      code: fc.integer({ min: 1, max: 20 }),
      value: fc.uint8Array({ maxLength: 20 }).map((bytes) => Buffer.from(bytes)),
    }),
  )
  fc.assert(
    fc.property(fc.array(part, { maxLength: 12 }), fc.boolean(), (parts, isEnded) => {
      const bytes = parts.map(({ code, value }) =>
        code === 0 ? Buffer.from([0]) : Buffer.concat([Buffer.from([code, value.length]), value]),
      )
      const { options } = decodePacket(Buffer.concat([head, ...bytes, Buffer.from(isEnded ? [255, 9, 99] : [])]))
      const expected = new Map<number, Buffer>()
      for (const { code, value } of parts)
        if (code !== 0) expected.set(code, Buffer.concat([expected.get(code) ?? Buffer.alloc(0), value]))
      expect([...options]).toEqual([...expected])
      for (let code = 1; code <= 20; code += 1)
        expect([options.get(code), options.has(code)]).toEqual([expected.get(code), expected.has(code)])
    }),
    { numRuns: 1000 },
  )
})
