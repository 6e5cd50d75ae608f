/** The TFTP transfer as a pure machine under loss, duplication and reordering; and the packets. */
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { WireError } from '../../pxe/bytes.ts'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../pxe/tftp/packet.ts'
import { packetsOf } from './tftp-packets.ts'
import { beginTransfer, onPacket, onSilence, type Outcome, type Transfer } from '../../pxe/tftp/transfer.ts'

const limits = { maxBlockBytes: 1468, timeoutMs: 1000, maxTimeoutMs: 5000 }

/** A client after RFC 1350 and RFC 7440 on a line that loses what `lost` says. Answers what it received. */
function fetch(file: Buffer, options: Map<string, string>, lost: () => boolean): Buffer | string {
  let outcome: Outcome = beginTransfer(file, options, limits)
  const agreed = outcome.state === 'going' ? outcome.transfer.options : new Map<string, string>()
  const [block, window] = [Number(agreed.get('blksize') ?? 512), Number(agreed.get('windowsize') ?? 1)]
  const got: Buffer[] = []
  let finished = false
  for (let turn = 0; turn < 20_000; turn += 1) {
    if (outcome.state !== 'going') return outcome.state === 'done' ? Buffer.concat(got) : outcome.why
    const acks: TftpPacket[] = []
    let inWindow = 0
    for (const packet of outcome.send ? packetsOf(outcome.transfer, outcome.send) : []) {
      if (lost()) continue
      if (packet.op === 'oack') acks.push({ op: 'ack', block: 0 })
      if (packet.op !== 'data' || finished) {
        if (finished) acks.push({ op: 'ack', block: got.length % 65536 })
        continue
      }
      if (packet.block === (got.length + 1) % 65536) {
        got.push(packet.bytes)
        inWindow += 1
        finished = packet.bytes.length < block
        if (finished || inWindow === window) acks.push({ op: 'ack', block: got.length % 65536 })
      } else {
        acks.push({ op: 'ack', block: got.length % 65536 })
        break
      }
    }
    const transfer: Transfer = outcome.transfer
    const arrived = acks.filter(() => !lost())
    outcome = arrived.reduce<Outcome>((at, ack) => (at.state === 'going' ? onPacket(at.transfer, ack) : at), {
      state: 'going',
      transfer,
    })
    if (outcome.state === 'going' && outcome.send === undefined) outcome = onSilence(outcome.transfer)
    // A client that heard nothing at all repeats its last acknowledgement; six silences in a row end the transfer.
  }
  return 'endless'
}

describe('the transfer', () => {
  const optionSets = [
    new Map<string, string>(),
    new Map([['blksize', '1428']]),
    new Map([
      ['blksize', '1428'],
      ['windowsize', '16'],
      ['tsize', '0'],
    ]),
    new Map([
      ['blksize', '8'],
      ['windowsize', '4'],
    ]),
  ]
  test('delivers every length exactly, block borders included', () => {
    for (const options of optionSets)
      for (const length of [0, 1, 7, 8, 9, 511, 512, 513, 1024, 1428, 1429, 2856, 22848, 50_000]) {
        const file = randomBytes(length)
        expect(fetch(file, options, () => false)).toEqual(file)
      }
  })
  test('wraps its block number: more than 65535 blocks', () => {
    const file = randomBytes(8 * 70_000)
    expect(
      fetch(
        file,
        new Map([
          ['blksize', '8'],
          ['windowsize', '64'],
        ]),
        () => false,
      ),
    ).toEqual(file)
  })
  test('delivers exactly or says why, whatever is lost', () => {
    fc.assert(
      fc.property(
        fc.nat(20_000),
        fc.constantFrom(...optionSets.slice(1)),
        fc.infiniteStream(fc.integer({ min: 0, max: 99 })),
        (length, options, dice) => {
          const file = randomBytes(length)
          const result = fetch(file, options, () => (dice.next().value as number) < 10)
          if (typeof result !== 'string') expect(result).toEqual(file)
          else expect(result).toMatch(/stopped answering|did not answer/)
        },
      ),
      { numRuns: 200 },
    )
  })
  test('a repeated acknowledgement makes no second stream (RFC 1123 4.2.3.1)', () => {
    const begun = beginTransfer(randomBytes(5000), new Map(), limits)
    if (begun.state !== 'going') throw new Error('not going')
    const second = onPacket(begun.transfer, { op: 'ack', block: 1 })
    if (second.state !== 'going') throw new Error('not going')
    expect(onPacket(second.transfer, { op: 'ack', block: 1 })).not.toHaveProperty('send')
    expect(onPacket(second.transfer, { op: 'ack', block: 900 })).not.toHaveProperty('send')
  })
  /** As `outcome`, of a transfer of 40 blocks in windows of 16 whose first window was sent. */
  const windowed = (): Transfer => {
    const options = new Map([
      ['blksize', '512'],
      ['windowsize', '16'],
    ])
    const begun = beginTransfer(randomBytes(39 * 512 + 1), options, limits)
    const first = begun.state === 'going' && onPacket(begun.transfer, { op: 'ack', block: 0 }, 10)
    if (!first || first.state !== 'going') throw new Error('not going')
    expect(first).toMatchObject({ send: { first: 1, count: 16 } })
    return first.transfer
  }
  const going = (outcome: Outcome): Transfer => {
    if (outcome.state !== 'going') throw new Error('not going')
    return outcome.transfer
  }
  test('a window whose first block got lost is sent again at once, and only once however often that is said', () => {
    const again = onPacket(windowed(), { op: 'ack', block: 0 })
    expect(again).toMatchObject({ send: { first: 1, count: 16 } })
    expect(onPacket(going(again), { op: 'ack', block: 0 })).not.toHaveProperty('send')
    const onwards = onPacket(going(again), { op: 'ack', block: 16 })
    expect(onwards).toMatchObject({ send: { first: 17, count: 16 } })
    expect(onPacket(going(onwards), { op: 'ack', block: 16 })).toMatchObject({ send: { first: 17, count: 16 } })
  })
  test('after a gap it goes on from there, and what the rest of the old window says of it changes nothing', () => {
    const after = onPacket(windowed(), { op: 'ack', block: 5 })
    expect(after).toMatchObject({ send: { first: 6, count: 16 } })
    for (let n = 0; n < 10; n += 1) expect(onPacket(going(after), { op: 'ack', block: 5 })).not.toHaveProperty('send')
  })
  test('it waits as the answers of the client take, longer after each silence, and for as long as before in all', () => {
    let at = windowed()
    expect(at.waitMs).toBe(50)
    const waits: number[] = []
    for (let outcome = onSilence(at); outcome.state === 'going'; outcome = onSilence(at)) {
      waits.push(at.waitMs)
      at = outcome.transfer
    }
    expect(waits).toEqual([50, 100, 200, 400, 800, ...Array.from({ length: 6 }, () => 1000)])
    // A slow client is waited for from then on; its answer to what was sent twice says nothing of its time.
    const slow = going(onSilence(going(onSilence(windowed()))))
    const answered = going(onPacket(slow, { op: 'ack', block: 16 }, 1))
    expect(answered.waitMs).toBe(200)
    expect(going(onPacket(answered, { op: 'ack', block: 32 }, 100)).waitMs).toBeLessThan(200)
  })
  test('options out of range are left out of the answer; blksize is cut to what fits a frame', () => {
    const options = (asked: [string, string][]) => {
      const begun = beginTransfer(Buffer.alloc(9), new Map(asked), limits)
      return begun.state === 'going' ? Object.fromEntries(begun.transfer.options) : {}
    }
    expect(
      options([
        ['blksize', '65464'],
        ['tsize', '0'],
        ['timeout', '3'],
        ['windowsize', '7'],
      ]),
    ).toEqual({ blksize: '1468', tsize: '9', timeout: '3', windowsize: '7' })
    expect(
      options([
        ['blksize', '7'],
        ['timeout', '0'],
        ['windowsize', '0'],
        ['multicast', ''],
      ]),
    ).toEqual({})
  })
  test('a time-out longer than the limit is not agreed to, and holds from the first answer on alone', () => {
    const begun = beginTransfer(Buffer.alloc(9), new Map([['timeout', '6']]), limits)
    expect(begun).toMatchObject({ state: 'going', transfer: { timeoutMs: 1000, waitingForOack: false } })
    const agreed = beginTransfer(Buffer.alloc(900), new Map([['timeout', '5']]), limits)
    expect(agreed).toMatchObject({ state: 'going', transfer: { timeoutMs: 1000, waitingForOack: true } })
    if (agreed.state !== 'going') throw new Error('not going')
    expect(onPacket(agreed.transfer, { op: 'ack', block: 0 })).toMatchObject({
      state: 'going',
      transfer: { timeoutMs: 5000 },
    })
  })
  test.each([
    ['an OACK', new Map([['tsize', '0']])],
    ['a first block', new Map<string, string>()],
  ])('%s that is never acknowledged is given up sooner than a transfer under way', (_, options) => {
    const silences = (outcome: Outcome) => {
      let [at, count] = [outcome, 0]
      for (; at.state === 'going'; count += 1) at = onSilence(at.transfer)
      return count
    }
    const begun = beginTransfer(Buffer.alloc(5000), options, limits)
    if (begun.state !== 'going') throw new Error('not going')
    expect(silences(begun)).toBe(4)
    expect(silences(onPacket(begun.transfer, { op: 'ack', block: options.size > 0 ? 0 : 1 }))).toBe(7)
  })
  test('a client that only asks for the size and breaks off is no failure', () => {
    const begun = beginTransfer(Buffer.alloc(9), new Map([['tsize', '0']]), limits)
    expect(begun.state === 'going' && onPacket(begun.transfer, { op: 'error', code: 8, message: 'aborted' })).toEqual({
      state: 'done',
      sizeOnly: true,
    })
  })
})

describe('packets', () => {
  const packets: TftpPacket[] = [
    {
      op: 'rrq',
      file: 'undionly.kpxe',
      mode: 'octet',
      options: new Map([
        ['tsize', '0'],
        ['blksize', '1432'],
      ]),
    },
    { op: 'data', block: 65535, bytes: Buffer.from('abc') },
    { op: 'ack', block: 7 },
    { op: 'error', code: 1, message: 'File not found' },
    { op: 'oack', options: new Map([['tsize', '12']]) },
  ]
  test.each(packets)(
    '$op survives encoding and decoding, and every truncation and corruption is decoded or refused',
    (packet) => {
      const bytes = encodeTftp(packet)
      expect(decodeTftp(bytes)).toEqual(packet)
      const tryIt = (broken: Buffer) => {
        try {
          decodeTftp(broken)
        } catch (error) {
          expect(error).toBeInstanceOf(WireError)
        }
      }
      for (let length = 0; length < bytes.length; length += 1) tryIt(bytes.subarray(0, length))
      for (let at = 0; at < bytes.length; at += 1)
        for (const value of [0, 0xff, 0x80]) tryIt(Buffer.from(bytes).fill(value, at, at + 1))
    },
  )
  test('option names are read without case (RFC 2347)', () => {
    expect(decodeTftp(Buffer.from('\0\x01a\0OCTET\0BLKSIZE\x001432\0'))).toEqual({
      op: 'rrq',
      file: 'a',
      mode: 'octet',
      options: new Map([['blksize', '1432']]),
    })
  })
})
