/** The TFTP server over real sockets: against real clients, and under attack. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createSocket, type Socket } from 'node:dgram'
import { randomBytes } from 'node:crypto'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { decodeTftp, encodeTftp, type TftpPacket } from '../../pxe/tftp/packet.ts'
import { TftpServer, type TftpEvent, type TftpLimits } from '../../pxe/tftp/server.ts'

const serverLimits = { transfers: 2000, transfersPerAddress: 8, maxTimeoutMs: 5000 }

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
    await until(() => events.some((event) => event.kind === 'sent'), { what: 'the event', timeoutMs: 30_000 })
  })
  test('who asks for the size and breaks off was sent nothing', async () => {
    events.length = 0
    const socket = createSocket('udp4')
    const options = new Map([['tsize', '0']])
    socket.on('message', (_, { port: from }) =>
      socket.send(encodeTftp({ op: 'error', code: 8, message: 'aborted' }), from, '127.0.0.1'),
    )
    socket.send(encodeTftp({ op: 'rrq', file: 'loader.efi', mode: 'octet', options }), port, '127.0.0.1')
    await until(() => events.length > 0, { what: 'the event', timeoutMs: 20_000 })
    socket.close()
    expect(events).toEqual([{ kind: 'sent', ip: '127.0.0.1', file: 'loader.efi', sizeBytes: 0 }])
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

/** A client after RFC 7440, which answers the last block of each window. */
async function fetchInWindows(port: number, at: { address: string; blockBytes: number; window: number }) {
  const socket = createSocket('udp4')
  const options = new Map([
    ['blksize', String(at.blockBytes)],
    ['windowsize', String(at.window)],
  ])
  const got: Buffer[] = []
  const whole = new Promise<Buffer>((resolve) => {
    socket.on('message', (datagram, from) => {
      const packet = decodeTftp(datagram)
      if (packet.op === 'error') throw new Error(packet.message)
      if (packet.op === 'data' && packet.block !== got.length + 1) return
      if (packet.op === 'data') got.push(packet.bytes)
      const isLast = packet.op === 'data' && packet.bytes.length < at.blockBytes
      if (packet.op === 'oack' || isLast || got.length % at.window === 0)
        socket.send(encodeTftp({ op: 'ack', block: got.length }), from.port, from.address)
      if (isLast) resolve(Buffer.concat(got))
    })
  })
  try {
    await new Promise<void>((resolve) => socket.bind(0, at.address, resolve))
    socket.send(encodeTftp({ op: 'rrq', file: 'loader.efi', mode: 'octet', options }), port, '127.0.0.1')
    return await Promise.race([whole, systemClock.sleep(20_000)])
  } finally {
    socket.close()
  }
}

describe('a path that cuts no row of blocks into packets, for its frames are smaller than a block', () => {
  const address = '127.0.77.1'
  const route = (verb: string) =>
    run(['ip', 'route', verb, 'local', `${address}/32`, 'dev', 'lo', 'table', 'local', 'mtu', '1000'], {
      timeoutMs: 10_000,
    })
  beforeAll(() => route('replace'))
  afterAll(() => route('delete'))

  // 44 blocks of this size are one call; of a window of 45 a single one is left.
  test.each([44, 45, 64])(
    'a file goes there in windows of %i blocks, in fragments',
    async (window) => {
      const file = randomBytes(150 * 1468)
      const events: TftpEvent[] = []
      const server = new TftpServer({
        owner: { file: () => file, event: (event) => void events.push(event) },
        clock: systemClock,
        limits: serverLimits,
      })
      try {
        const port = await server.listen({ ip: '127.0.0.1', port: 0 })
        const got = await fetchInWindows(port, { address, blockBytes: 1468, window })
        expect(got?.equals(file)).toBe(true)
        await until(() => events.length > 0, { what: 'the event', timeoutMs: 20_000 })
        expect(events.map(({ kind }) => kind)).toEqual(['sent'])
      } finally {
        server.stop()
      }
    },
    30_000,
  )
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
    const limited = events.filter((event) => event.kind === 'limit')
    expect(limited.length).toBeGreaterThan(100)
    expect(new Set(limited.map(({ limit }) => limit))).toEqual(new Set(['tftpTransfersPerAddress']))
    // The places are free again within seconds, not half an hour.
    await until(() => server?.transfers === 0, { what: 'the transfers to end', timeoutMs: 20_000 })
  })
  test('with every place taken by clients that never answered, the next one gets the oldest', async () => {
    const port = await listen({ transfers: 20 })
    for (let n = 0; n < 100; n += 1) await askAndKeepSilent(port, `127.0.1.${1 + n}`)
    expect((await honestDownload(port)).equals(file)).toBe(true)
    expect(server?.transfers).toBeLessThanOrEqual(20)
    expect(events).toContainEqual({ kind: 'limit', limit: 'tftpTransfers' })
  })
  test('one file in eight block sizes is not held eight times', async () => {
    const big = randomBytes(16 * 1024 * 1024)
    const port = await listen({}, () => big)
    const before = process.memoryUsage().external
    const begun = Array.from({ length: 8 }, (_, n) => {
      const socket = createSocket('udp4')
      sockets.push(socket)
      const options = new Map([['blksize', String(1024 + n)]])
      socket.send(encodeTftp({ op: 'rrq', file: 'loader.efi', mode: 'octet', options }), port, '127.0.0.1')
      return new Promise<void>((resolve) =>
        socket.on('message', (datagram, from) => {
          if (decodeTftp(datagram).op === 'data') return resolve()
          socket.send(encodeTftp({ op: 'ack', block: 0 }), from.port, from.address)
        }),
      )
    })
    await Promise.all(begun)
    expect(process.memoryUsage().external - before).toBeLessThan(3 * big.length)
  }, 30_000)
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
    await until(() => answers.length === 2, { what: 'the second block', timeoutMs: 20_000 })
    await askAndKeepSilent(port, '127.0.0.2')
    await until(() => events.some((event) => event.kind === 'refused'), { what: 'the refusal', timeoutMs: 20_000 })
    expect(events.at(-1)).toEqual({ kind: 'refused', ip: '127.0.0.2', file: 'loader.efi', why: 'too many transfers' })
  })
  test('a fault in a handler is an event, and the next request is answered', async () => {
    let faults = 1
    const port = await listen({}, () => {
      if (faults-- > 0) throw new Error('a bug')
      return file
    })
    await askAndKeepSilent(port, '127.0.0.2')
    await until(() => events.length > 0, { what: 'the event', timeoutMs: 20_000 })
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
    await until(() => events.length > 0, { what: 'the event', timeoutMs: 20_000 })
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
