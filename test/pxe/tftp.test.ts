/** The transfer as a pure machine under loss, duplication and reordering; the packets; and the real server against real clients. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createSocket, type Socket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { WireError } from '../../pxe/bytes.ts'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../pxe/tftp/packet.ts'
import { TftpServer, type TftpEvent, type TftpLimits } from '../../pxe/tftp/server.ts'
import { beginTransfer, onPacket, onSilence, type Outcome, type Transfer } from '../../pxe/tftp/transfer.ts'

const limits = { maxBlockBytes: 1468, timeoutMs: 1000, maxTimeoutMs: 5000 }
const serverLimits = { transfers: 2000, transfersPerAddress: 8, maxTimeoutMs: 5000 }

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
    for (const packet of outcome.send) {
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
      send: [],
    })
    if (outcome.state === 'going' && outcome.send.length === 0) outcome = onSilence(outcome.transfer)
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
          else expect(result).toMatch(/fell silent|never answered/)
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
    expect(onPacket(second.transfer, { op: 'ack', block: 1 })).toMatchObject({ send: [] })
    expect(onPacket(second.transfer, { op: 'ack', block: 900 })).toMatchObject({ send: [] })
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

describe('the server, asked by real clients', () => {
  const file = randomBytes(3 * 1024 * 1024 + 17)
  const events: TftpEvent[] = []
  const server = new TftpServer({
    owner: { file: (name) => (name === 'loader.efi' ? file : undefined), event: (event) => void events.push(event) },
    clock: systemClock,
    limits: serverLimits,
  })
  let port = 0
  let dir = ''
  beforeAll(async () => {
    port = await server.listen({ ip: '127.0.0.1', port: 0 })
    dir = await mkdtemp(join(tmpdir(), 'rackward-tftp-'))
  })
  afterAll(async () => {
    server.stop()
    await rm(dir, { recursive: true })
  })
  const tftpHpa = (name: string) =>
    run(['tftp', '-4', '-m', 'binary', '127.0.0.1', String(port), '-c', 'get', name, join(dir, 'hpa')], {
      timeoutMs: 60_000,
    })

  test('tftp-hpa gets the file, byte for byte', async () => {
    await tftpHpa('loader.efi')
    expect((await readFile(join(dir, 'hpa'))).equals(file)).toBe(true)
    await until(() => events.some((event) => event.kind === 'sent'), { what: 'the event', timeoutMs: 2000 })
  })
  test('curl gets it with a block size that it chose', async () => {
    const out = join(dir, 'curl')
    const { code } = await run(
      ['curl', '-s', '-o', out, '--tftp-blksize', '1200', `tftp://127.0.0.1:${port}/loader.efi`],
      { timeoutMs: 60_000 },
    )
    expect([code, (await readFile(out)).equals(file)]).toEqual([0, true])
  })
  test.each(['missing', '../etc/passwd', '/etc/passwd', 'loader.efi\x00x', '..\\..\\x'])(
    '%j is refused with an error, and nothing of a file system is touched',
    async (name) => {
      const answer = await exchange(port, encodeTftp({ op: 'rrq', file: name, mode: 'octet', options: new Map() }))
      const packet = decodeTftp(answer)
      // A zero byte ends the name: what follows it is another field, and its mode is not octet.
      expect(packet.op).toBe('error')
    },
  )
  test('writing is refused', async () => {
    expect(
      decodeTftp(
        await exchange(port, encodeTftp({ op: 'wrq', file: 'loader.efi', mode: 'octet', options: new Map() })),
      ),
    ).toMatchObject({
      op: 'error',
      code: 2,
    })
  })
  test('rubbish of every length is survived', async () => {
    const socket = createSocket('udp4')
    for (let length = 0; length < 300; length += 1) socket.send(randomBytes(length), port, '127.0.0.1')
    const answer = await exchange(
      port,
      encodeTftp({ op: 'rrq', file: 'loader.efi', mode: 'octet', options: new Map([['tsize', '0']]) }),
    )
    socket.close()
    expect(decodeTftp(answer)).toEqual({ op: 'oack', options: new Map([['tsize', String(file.length)]]) })
  })
})

describe('a server under attack', () => {
  const file = randomBytes(100_000)
  const events: TftpEvent[] = []
  const sockets: Socket[] = []
  let server: TftpServer | undefined
  afterEach(() => {
    for (const socket of sockets.splice(0)) socket.close()
    server?.stop()
    events.length = 0
  })
  const listen = (
    tighter: Partial<TftpLimits> = {},
    read: (name: string) => Buffer | undefined = () => file,
  ): Promise<number> => {
    server = new TftpServer({
      owner: { file: read, event: (event) => void events.push(event) },
      clock: systemClock,
      limits: { ...serverLimits, ...tighter },
    })
    return server.listen({ ip: '127.0.0.1', port: 0 })
  }
  /** One request from an address, and never a word more. */
  async function askAndKeepSilent(port: number, address: string): Promise<void> {
    const socket = createSocket('udp4')
    sockets.push(socket)
    await new Promise<void>((resolve) => socket.bind(0, address, resolve))
    const datagram = encodeTftp({
      op: 'rrq',
      file: 'loader.efi',
      mode: 'octet',
      options: new Map([['timeout', '255']]),
    })
    await new Promise((resolve) => socket.send(datagram, port, '127.0.0.1', resolve))
  }
  async function honestDownload(port: number): Promise<Buffer> {
    const out = join(await mkdtemp(join(tmpdir(), 'rackward-tftp-')), 'out')
    try {
      await run(['curl', '-s', '-o', out, '--interface', '127.0.0.50', `tftp://127.0.0.1:${port}/loader.efi`], {
        timeoutMs: 30_000,
      })
      return await readFile(out)
    } finally {
      await rm(dirname(out), { recursive: true })
    }
  }

  test('2,100 requests of three addresses that are never acknowledged take eight places of each; a client beside them is served', async () => {
    const port = await listen()
    for (let n = 0; n < 2100; n += 1) await askAndKeepSilent(port, `127.0.0.${2 + (n % 3)}`)
    expect((await honestDownload(port)).equals(file)).toBe(true)
    expect(server?.transfers).toBeLessThanOrEqual(24)
    // The places are free again within seconds, not half an hour.
    await until(() => server?.transfers === 0, { what: 'the transfers to end', timeoutMs: 20_000 })
  })
  test('with every place taken by clients that never answered, the next one gets the oldest', async () => {
    const port = await listen({ transfers: 20 })
    for (let n = 0; n < 100; n += 1) await askAndKeepSilent(port, `127.0.1.${1 + n}`)
    expect((await honestDownload(port)).equals(file)).toBe(true)
    expect(server?.transfers).toBeLessThanOrEqual(20)
  })
  test('a place that a client has answered from is not taken away', async () => {
    const port = await listen({ transfers: 1 })
    const socket = createSocket('udp4')
    sockets.push(socket)
    const answers: TftpPacket[] = []
    socket.on('message', (datagram, from) => {
      answers.push(decodeTftp(datagram))
      if (answers.length === 1) socket.send(encodeTftp({ op: 'ack', block: 1 }), from.port, from.address)
    })
    socket.send(encodeTftp({ op: 'rrq', file: 'loader.efi', mode: 'octet', options: new Map() }), port, '127.0.0.1')
    await until(() => answers.length === 2, { what: 'the second block', timeoutMs: 5000 })
    await askAndKeepSilent(port, '127.0.0.2')
    await until(() => events.some((event) => event.kind === 'refused'), { what: 'the refusal', timeoutMs: 5000 })
    expect(events.at(-1)).toEqual({ kind: 'refused', ip: '127.0.0.2', file: 'loader.efi', why: 'too many transfers' })
  })
  test('a fault in a handler is an event, and the next request is answered', async () => {
    let faults = 1
    const port = await listen({}, () => {
      if (faults-- > 0) throw new Error('a bug')
      return file
    })
    await askAndKeepSilent(port, '127.0.0.2')
    await until(() => events.length > 0, { what: 'the event', timeoutMs: 5000 })
    expect(events).toEqual([{ kind: 'fault', ip: '127.0.0.2', why: 'Error: a bug' }])
    expect((await honestDownload(port)).equals(file)).toBe(true)
  })
  test('a file name is cleaned before anybody sees it', async () => {
    const port = await listen({}, () => undefined)
    const socket = createSocket('udp4')
    sockets.push(socket)
    socket.send(
      encodeTftp({ op: 'rrq', file: `\x1b]0;owned\x07${'x'.repeat(400)}`, mode: 'octet', options: new Map() }),
      port,
      '127.0.0.1',
    )
    await until(() => events.length > 0, { what: 'the event', timeoutMs: 5000 })
    expect(events[0]).toMatchObject({ kind: 'refused', file: `?]0;owned?${'x'.repeat(189)}…` })
  })
})

function exchange(port: number, datagram: Buffer): Promise<Buffer> {
  const socket = createSocket('udp4')
  return new Promise<Buffer>((resolve, reject) => {
    const cancel = systemClock.after(5000, () => reject(new Error('no answer')))
    socket.on('message', (answer) => {
      cancel()
      resolve(answer)
    })
    socket.send(datagram, port, '127.0.0.1')
  }).finally(() => socket.close())
}
