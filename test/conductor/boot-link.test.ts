/** Between the boot services and the conductor: events that wait, and lines of JSON. */
import { EventEmitter, once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { describe, expect, test } from 'vitest'
import { Outbox } from '../../conductor/boot/outbox.ts'
import { readLines, type BootEvent, type FromBoot } from '../../conductor/boot/wire.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { numberedMac } from './boot-clients.ts'

/** A socket that takes so many lines and then says that it is full. */
class Valve extends EventEmitter {
  room = 0
  writes = 0
  readonly lines: FromBoot[] = []
  write(text: string): boolean {
    const lines = text.trimEnd().split('\n')
    this.lines.push(...lines.map((line) => JSON.parse(line) as FromBoot))
    this.writes += 1
    this.room -= lines.length
    return this.room > 0
  }
  open(room: number) {
    this.room = room
    this.emit('drain')
  }
  get events() {
    return this.lines.flatMap((line) => (line.t === 'event' ? [line.event] : []))
  }
}
const event = (n: number): BootEvent => ({ kind: 'unknown-mac', atMs: n, mac: numberedMac(n) })

describe('the way to the conductor', () => {
  test('events wait for a slow conductor up to the limit; the dropped ones are told when it reads on', () => {
    const clock = new HandClock(7)
    const outbox = new Outbox({ limit: 100, clock })
    const valve = new Valve()
    valve.room = 10
    outbox.attach(valve as unknown as Socket)
    for (let n = 0; n < 1000; n += 1) outbox.push(event(n))
    // A write of 64 lines found it full.
    expect([valve.events.length, outbox.size]).toEqual([64, 100])
    valve.open(50)
    expect([valve.events.length, outbox.size]).toEqual([128, 36])
    valve.open(1000)
    clock.pass(5)
    expect(valve.events.map(({ atMs }) => atMs)).toEqual([...Array.from({ length: 164 }, (_, n) => n), 7])
    expect(valve.events.at(-1)).toMatchObject({ kind: 'trouble', count: 836 })
  })
  test('what is told within a few milliseconds goes out in one write, and nothing waits longer', () => {
    const clock = new HandClock(0)
    const outbox = new Outbox({ limit: 100, clock })
    const valve = new Valve()
    valve.room = 1000
    outbox.attach(valve as unknown as Socket)
    for (let n = 0; n < 10; n += 1) outbox.push(event(n))
    clock.pass(5)
    outbox.push(event(10))
    clock.pass(5)
    expect([valve.writes, valve.events.map(({ atMs }) => atMs)]).toEqual([2, Array.from({ length: 11 }, (_, n) => n)])
  })
  test('they wait while nobody is connected, and a connection that ended is written to no more', () => {
    const outbox = new Outbox({ limit: 100, clock: { ...systemClock, now: () => 7 } })
    outbox.push(event(1))
    const [first, second] = [new Valve(), new Valve()]
    first.room = 1
    second.room = 100
    outbox.attach(first as unknown as Socket)
    outbox.push(event(2))
    outbox.attach(second as unknown as Socket)
    first.open(100)
    expect([first.events.map(({ atMs }) => atMs), second.events.map(({ atMs }) => atMs)]).toEqual([[1], [2]])
  })
})

describe('lines of JSON', () => {
  async function pipe(
    chunks: readonly (string | Buffer)[],
    maxLength?: number,
  ): Promise<{ got: unknown[]; ended: boolean }> {
    const got: unknown[] = []
    let ended = false
    const server = createServer((socket) => {
      readLines(socket, (message) => void got.push(message), maxLength)
      socket.on('close', () => (ended = true))
    }).listen(0, '127.0.0.1')
    await once(server, 'listening')
    const socket = connect((server.address() as { port: number }).port, '127.0.0.1')
    socket.on('error', () => undefined)
    socket.setNoDelay(true)
    socket.setMaxListeners(0)
    for (const chunk of chunks)
      if (!socket.write(chunk)) await Promise.race([once(socket, 'drain'), once(socket, 'close')])
    socket.end()
    await until(() => ended, { what: 'the end', timeoutMs: 20_000 })
    server.close()
    return { got, ended }
  }
  test('arrive whole, however they are cut', async () => {
    const bytes = Buffer.from(
      `${[{ a: 'ж😀' }, [1, 2], 'x'.repeat(1000)].map((one) => JSON.stringify(one)).join('\n')}\n`,
    )
    for (const size of [1, 3, 7, 5000]) {
      const { got } = await pipe(
        Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.subarray(i * size, (i + 1) * size)),
      )
      expect(got).toEqual([{ a: 'ж😀' }, [1, 2], 'x'.repeat(1000)])
    }
  })
  test('one of 48 MB is read in time that grows with its length', async () => {
    const { got } = await pipe([
      ...Array.from({ length: 768 }, () => 'x'.repeat(65_536)).map((part, i) => (i === 0 ? `"${part}` : part)),
      '"\n',
    ])
    expect((got[0] as string).length).toBe(768 * 65_536)
  })
  test.each([
    ['a line that is no JSON', ['1\n', 'no\n', '2\n']],
    ['a line that never ends', ['1\n', 'x'.repeat(2000)]],
    ['a long line with an end', ['1\n', `"${'x'.repeat(2000)}"\n`, '2\n']],
  ])('%s ends the connection', async (_, chunks) => expect((await pipe(chunks, 1000)).got).toEqual([1]))
})
