/** Floods of events from the wire: what passes, what is counted, and that neither memory nor the connection to the conductor grows without end. */
import { EventEmitter, once } from 'node:events'
import { connect, createServer, type Socket } from 'node:net'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BootClients } from '../../conductor/boot/clients.ts'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { EventGate, TokenBucket } from '../../conductor/boot/gate.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { Outbox } from '../../conductor/boot/outbox.ts'
import { readLines, type BootEvent, type FromBoot } from '../../conductor/boot/wire.ts'
import { systemClock, until, type Clock } from '../../kit/clock.ts'
import type { Log } from '../../kit/log.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'

/** A clock that stands until it is moved; timers run when it passes them. */
class HandClock implements Clock {
  ms = 1_000_000
  private timers: { atMs: number; act: () => void }[] = []
  now = () => this.ms
  sleep = () => Promise.reject(new Error('nobody sleeps here'))
  after(ms: number, act: () => void) {
    const timer = { atMs: this.ms + ms, act }
    this.timers.push(timer)
    return () => void (this.timers = this.timers.filter((one) => one !== timer))
  }
  pass(ms: number) {
    this.ms += ms
    const due = this.timers.filter(({ atMs }) => atMs <= this.ms)
    this.timers = this.timers.filter(({ atMs }) => atMs > this.ms)
    for (const { act } of due) act()
  }
}

const client = (mac: string, fixedIp: string | null = null): BootClient => ({
  mac,
  nodeUuid: `node of ${mac}`,
  label: mac,
  order: { kind: 'nothing' },
  fixedIp,
  hostName: null,
})
const randomMac = (n: number) =>
  `02:${[24, 16, 8, 0].map((shift) => ((n >> shift) & 255).toString(16).padStart(2, '0')).join(':')}:aa`

function bench(perSecond = 20) {
  const clock = new HandClock()
  const events: BootEvent[] = []
  const lines: string[] = []
  const line = (...args: unknown[]) => void lines.push(String(args.at(-1)))
  const log = { info: line, warn: line, error: line, debug: () => undefined } as unknown as Log
  return {
    clock,
    events,
    lines,
    boot: new BootEvents({ perSecond, clock, log, emit: (event) => void events.push(event) }),
  }
}

describe('a token bucket', () => {
  test('lets at most its capacity pass at once, and as many more in each minute', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 50 }),
        fc.array(fc.nat(5000), { minLength: 1, maxLength: 200, size: 'max' }),
        (capacity, gaps) => {
          const bucket = new TokenBucket(capacity, 0)
          let nowMs = 0
          const passed = gaps.flatMap((gap) => {
            nowMs += gap
            return bucket.take(nowMs) ? [nowMs] : []
          })
          // For every first and last event that passed: how many more there are between them than the bucket holds and gains in that time.
          const excess = passed.flatMap((startMs, first) =>
            passed
              .slice(first)
              .map((endMs, between) => between + 1 - (capacity + ((endMs - startMs) * capacity) / 60_000)),
          )
          expect(Math.max(0, ...excess)).toBeLessThanOrEqual(1e-6)
          expect(passed.length).toBeGreaterThanOrEqual(Math.min(capacity, gaps.length))
        },
      ),
      { numRuns: 100 },
    )
  })
  test('gains nothing from a clock that is set back', () => {
    const bucket = new TokenBucket(1, 10_000)
    expect([bucket.take(10_000), bucket.take(0), bucket.take(1000)]).toEqual([true, false, false])
  })
})

describe('the gate', () => {
  test('tells or counts every event exactly once, and remembers no more sources than its limit', () => {
    const event = fc.record({
      kind: fc.constantFrom('a', 'b'),
      source: fc.option(fc.nat(40).map(String), { nil: undefined }),
      known: fc.boolean(),
      gap: fc.nat(2000),
      sum: fc.nat(30),
    })
    fc.assert(
      fc.property(fc.array(event, { maxLength: 500, size: 'max' }), (list) => {
        const gate = new EventGate({ perSecond: 3, sources: 10 })
        let [nowMs, passed, counted] = [0, 0, 0]
        const summarise = () => {
          const told = gate.summaries()
          for (const { count } of told) counted += count
          // Ten sources of each kind by name, and one line for all others.
          expect(told.length).toBeLessThanOrEqual(2 * 11)
        }
        for (const { kind, source, known, gap, sum } of list) {
          nowMs += gap
          if (gate.pass(kind, { ...(source === undefined ? {} : { source }), known }, nowMs)) passed += 1
          if (sum === 0) summarise()
          expect(gate.size).toBeLessThanOrEqual(10)
        }
        summarise()
        expect(passed + counted).toBe(list.length)
        expect(gate.holdsBack).toBe(false)
      }),
      { numRuns: 100 },
    )
  })
})

describe('the events of the boot services', () => {
  test('a flood from one address is twenty lines and one that counts the others', () => {
    const { boot, events, lines, clock } = bench()
    for (let n = 0; n < 4000; n += 1)
      boot.trouble(
        'tftp',
        { nodeUuid: null, address: '10.0.0.9', known: false },
        'TFTP x to 10.0.0.9: there is no such file',
      )
    expect([events.length, lines.length]).toEqual([20, 20])
    clock.pass(10_000)
    const what = 'TFTP requests and transfers: ... and 3980 more of this kind from 10.0.0.9 in the last 10 s'
    expect([events.length, lines.at(-1)]).toEqual([21, what])
    expect(events.at(-1)).toEqual({ kind: 'trouble', atMs: clock.ms, nodeUuid: null, what, count: 3980 })
  })
  test('a flood from one source hides no trouble of another, nor other steps of a boot', () => {
    const { boot, events } = bench()
    for (let n = 0; n < 1000; n += 1) boot.seen(client('02:00:00:00:00:01'), 'dhcp', { detail: 'ack' })
    boot.seen(client('02:00:00:00:00:01'), 'script', { detail: '' })
    boot.seen(client('02:00:00:00:00:02'), 'dhcp', { detail: 'ack' })
    expect(events.slice(20)).toMatchObject([
      { mac: '02:00:00:00:00:01', step: 'script' },
      { mac: '02:00:00:00:00:02', step: 'dhcp' },
    ])
  })
  test('a rack of a thousand known nodes loses none of its milestones', () => {
    const { boot, events } = bench()
    for (const step of ['dhcp', 'loader', 'ipxe-dhcp', 'script', 'kernel', 'initrd'] as const)
      for (let n = 0; n < 1000; n += 1) boot.seen(client(randomMac(n)), step, { detail: '' })
    expect(events).toHaveLength(6000)
  })
  test('a million made-up MACs are some hundred events; those that were told before stay known', () => {
    const { boot, events, lines, clock } = bench()
    boot.unknownMac('02:00:00:00:00:01')
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 1_000_000; n += 1) {
      boot.unknownMac(randomMac(n))
      if (n % 20_000 === 19_999) clock.pass(1000)
    }
    expect(process.memoryUsage().heapUsed - before).toBeLessThan(64 * 1024 * 1024)
    // A hundred at once, a hundred in the minute, and few lines that count the others.
    expect(events.length).toBeLessThan(300)
    expect(lines).toHaveLength(events.length)
    clock.pass(10_000)
    const counted = events.reduce((sum, event) => sum + (event.kind === 'trouble' ? (event.count ?? 0) : 1), 0)
    expect(counted).toBe(1_000_001)
    boot.unknownMac('02:00:00:00:00:01')
    expect(events.filter((event) => event.kind === 'unknown-mac' && event.mac === '02:00:00:00:00:01')).toHaveLength(1)
    clock.pass(3_600_000)
    boot.unknownMac('02:00:00:00:00:01')
    expect(events.at(-1)).toMatchObject({ kind: 'unknown-mac', mac: '02:00:00:00:00:01' })
  })
})

describe('what the servers of the wire report', () => {
  const observer = () => {
    const made = bench()
    const leases = new LeaseBook(
      { load: () => [{ mac: 'a', ip: '10.0.0.5', expiresAtMs: 1 }], save: () => undefined, remove: () => undefined },
      { declinesPerMac: 3 },
    )
    const known = (mac: string) => (mac === 'a' ? client('a') : undefined)
    return {
      ...made,
      observer: new Observer({ events: made.boot, counters: new BootCounters(), leases, client: known }),
    }
  }
  test('a broken socket, an answer that could not be sent and a fault are troubles; a malformed datagram is none', () => {
    const { observer: at, events } = observer()
    at.onDhcp({ kind: 'malformed', from: '10.0.0.9', why: 'cookie' })
    expect(events).toEqual([])
    at.onDhcp({ kind: 'socket', interface: 'eth0', why: 'ENETDOWN' })
    at.onDhcp({ kind: 'unsent', toIp: '10.0.0.5', why: 'ENETUNREACH' })
    at.onDhcp({ kind: 'fault', from: '10.0.0.9', why: 'Error: a bug' })
    at.onTftp({ kind: 'socket', why: 'ENETDOWN' })
    at.onTftp({ kind: 'fault', ip: '10.0.0.9', why: 'Error: a bug' })
    expect(events.map((one) => one.kind === 'trouble' && one.what)).toEqual([
      'DHCP socket of eth0: ENETDOWN',
      'DHCP: the answer to 10.0.0.5 could not be sent: ENETUNREACH',
      'DHCP: a packet from 10.0.0.9 met a fault: Error: a bug',
      'TFTP socket: ENETDOWN',
      'TFTP: a packet from 10.0.0.9 met a fault: Error: a bug',
    ])
  })
  test('a file that loaders do without is no trouble; another one is, and names the node of the address', () => {
    const { observer: at, events } = observer()
    at.onTftp({ kind: 'refused', ip: '10.0.0.5', file: 'revocations_sbat.efi', why: 'there is no such file' })
    expect(events).toEqual([])
    at.onTftp({ kind: 'refused', ip: '10.0.0.5', file: 'pxelinux.0', why: 'there is no such file' })
    expect(events).toMatchObject([{ kind: 'trouble', nodeUuid: 'node of a' }])
  })
  test('only the address that a client leases is remembered as its own', () => {
    const { observer: at, events } = observer()
    at.onDhcp({ kind: 'reply', mac: 'a', type: 'ack', ip: '10.0.0.5', netboot: 'firmware' })
    at.onDhcp({ kind: 'reply', mac: 'a', type: 'nak', ip: '10.0.0.6', netboot: 'firmware' })
    expect(events.map((one) => one.kind === 'seen' && one.ip)).toEqual(['10.0.0.5', undefined])
  })
})

/** A socket that takes so many lines and then says that it is full. */
class Valve extends EventEmitter {
  room = 0
  readonly lines: FromBoot[] = []
  write(text: string): boolean {
    this.lines.push(JSON.parse(text) as FromBoot)
    this.room -= 1
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
const event = (n: number): BootEvent => ({ kind: 'unknown-mac', atMs: n, mac: randomMac(n) })

describe('the way to the conductor', () => {
  test('events wait for a slow conductor up to the limit; the dropped ones are told when it reads on', () => {
    const outbox = new Outbox({ limit: 100, now: () => 7 })
    const valve = new Valve()
    valve.room = 10
    outbox.attach(valve as unknown as Socket)
    for (let n = 0; n < 1000; n += 1) outbox.push(event(n))
    expect([valve.events.length, outbox.size]).toEqual([10, 100])
    valve.open(50)
    expect([valve.events.length, outbox.size]).toEqual([60, 50])
    valve.open(1000)
    expect(valve.events.map(({ atMs }) => atMs)).toEqual([...Array.from({ length: 110 }, (_, n) => n), 7])
    expect(valve.events.at(-1)).toMatchObject({ kind: 'trouble', count: 890 })
  })
  test('they wait while nobody is connected, and a connection that ended is written to no more', () => {
    const outbox = new Outbox({ limit: 100, now: () => 7 })
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

describe('the clients', () => {
  test('are there again after a restart, with every change; a fixed address is known while one client has it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-clients-'))
    const parts = {
      path: join(dir, 'snapshot.json'),
      clock: systemClock,
      onTrouble: (what: string) => expect.unreachable(what),
    }
    const clients = new BootClients(parts)
    await clients.load()
    clients.apply({
      t: 'clients',
      revision: 1,
      whole: true,
      set: [client('a', '10.0.0.5'), client('b', '10.0.0.5'), client('c')],
      gone: [],
    })
    clients.apply({ t: 'clients', revision: 2, whole: false, set: [client('b', '10.0.0.6')], gone: ['a', 'c'] })
    await clients.stop()
    const again = new BootClients(parts)
    await again.load()
    for (const one of [clients, again]) {
      expect(['a', 'b', 'c'].map((mac) => one.get(mac)?.fixedIp)).toEqual([undefined, '10.0.0.6', undefined])
      expect(['10.0.0.5', '10.0.0.6'].map(one.isFixed)).toEqual([false, true])
    }
    await rm(dir, { recursive: true })
  })
  test('a damaged snapshot is a trouble, not the end; the next one replaces it', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-clients-'))
    const path = join(dir, 'snapshot.json')
    const troubles: string[] = []
    await writeFile(path, '[{"mac": "a"')
    const clients = new BootClients({ path, clock: systemClock, onTrouble: (what) => void troubles.push(what) })
    await clients.load()
    expect(troubles).toEqual([expect.stringContaining('is damaged')])
    clients.apply({ t: 'clients', revision: 1, whole: true, set: [client('a')], gone: [] })
    await clients.stop()
    expect(JSON.parse(await readFile(path, 'utf8'))).toEqual([client('a')])
    await rm(dir, { recursive: true })
  })
})
