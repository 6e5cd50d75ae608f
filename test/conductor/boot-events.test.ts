/** What the boot services see becomes lines and events, and a flood of it becomes few: the bucket, the gate, the
 *  observer. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { EventGate, TokenBucket } from '../../conductor/boot/gate.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import { type BootEvent } from '../../conductor/boot/wire.ts'
import type { Log } from '../../kit/log.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import { HandClock } from '../kit/hand-clock.ts'
import { client, noLoaders, numberedMac } from './boot-clients.ts'

function bench(perSecond = 20) {
  const clock = new HandClock(1_000_000)
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
          // For every first and last event that passed: how many more there are between them than the bucket holds and
          // gains in that time.
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
      boot.warn(
        'tftp',
        { nodeUuid: null, address: '10.0.0.9', known: false },
        'TFTP x to 10.0.0.9: there is no such file',
      )
    expect([events.length, lines.length]).toEqual([20, 20])
    clock.pass(10_000)
    const what = 'TFTP requests and transfers: ... and 3980 more of this kind from 10.0.0.9 in the last 10 s'
    expect([events.length, lines.at(-1)]).toEqual([21, what])
    expect(events.at(-1)).toEqual({ kind: 'trouble', atMs: clock.nowMs, nodeUuid: null, what, count: 3980 })
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
      for (let n = 0; n < 1000; n += 1) boot.seen(client(numberedMac(n)), step, { detail: '' })
    expect(events).toHaveLength(6000)
  })
  test('a million made-up MACs are some hundred events; those that were told before stay known', () => {
    const { boot, events, lines, clock } = bench()
    boot.unknownMac('02:00:00:00:00:01')
    const before = process.memoryUsage().heapUsed
    for (let n = 0; n < 1_000_000; n += 1) {
      boot.unknownMac(numberedMac(n))
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

const troubles = (events: readonly BootEvent[]) => events.flatMap((one) => (one.kind === 'trouble' ? [one] : []))
const signs = (events: readonly BootEvent[]) =>
  events.flatMap((one) => (one.kind === 'sign' ? [`${one.nodeUuid} ${one.sign} ${one.detail}`] : []))

describe('what the servers of the wire report', () => {
  const observer = () => {
    const made = bench()
    const leases = new LeaseBook(
      {
        load: () => [{ mac: 'a', ip: '10.0.0.5', expiresAtMs: 1 }],
        save: () => undefined,
        remove: () => undefined,
        commit: () => undefined,
        waits: () => false,
      },
      { declinesPerMac: 3 },
    )
    const known = (mac: string) => (mac === 'a' ? client('a') : undefined)
    return {
      ...made,
      observer: new Observer({
        events: made.boot,
        counters: new BootCounters(),
        leases,
        client: known,
        loaders: noLoaders,
        media: { clientAt: (ip) => (ip === '10.0.0.7' ? { nodeUuid: 'node of an ISO', mac: 'c' } : undefined) },
      }),
    }
  }
  test('a broken socket, an answer that could not be sent and a fault are troubles; a malformed datagram is none', () => {
    const { observer: at, events } = observer()
    at.onDhcp({ kind: 'malformed', from: '10.0.0.9', why: 'cookie' })
    expect(events).toEqual([])
    at.onDhcp({ kind: 'malformed', from: '10.0.0.9', why: 'chaddr: hardware type 32', odd: true })
    at.onDhcp({ kind: 'socket', interface: 'eth0', why: 'ENETDOWN' })
    at.onDhcp({ kind: 'unsent', toIp: '10.0.0.5', why: 'ENETUNREACH' })
    at.onDhcp({ kind: 'fault', from: '10.0.0.9', why: 'Error: a bug' })
    at.onTftp({ kind: 'socket', why: 'ENETDOWN' })
    at.onTftp({ kind: 'fault', ip: '10.0.0.9', why: 'Error: a bug' })
    expect(events.map((one) => one.kind === 'trouble' && one.what)).toEqual([
      'DHCP: 10.0.0.9 asks in vain: chaddr: hardware type 32',
      'DHCP socket of eth0: ENETDOWN',
      'DHCP: the answer to 10.0.0.5 could not be sent: ENETUNREACH',
      'DHCP: a packet from 10.0.0.9 caused an error: Error: a bug',
      'TFTP socket: ENETDOWN',
      'TFTP: a packet from 10.0.0.9 caused an error: Error: a bug',
    ])
  })
  test('somebody who poses as a server is a trouble, and is counted', () => {
    const { observer: at, events } = observer()
    at.onDhcp({ kind: 'rogue', from: '10.0.0.66', server: '10.0.0.67' })
    at.onDhcp({ kind: 'refused', mac: 'a', why: 'the relay 10.9.0.66 is none of those that may ask' })
    expect(troubles(events).map((one) => [one.nodeUuid, one.what])).toEqual([
      [null, 'DHCP: 10.0.0.66 sent an answer of a DHCP server (server 10.0.0.67) to this one: it poses as a server'],
      ['node of a', 'DHCP a: the relay 10.9.0.66 is none of those that may ask'],
    ])
  })
  test('a file that loaders do without is no trouble; another one is, and names the node of the address', () => {
    const { observer: at, events } = observer()
    at.onTftp({ kind: 'refused', ip: '10.0.0.5', file: 'revocations_sbat.efi', why: 'there is no such file' })
    expect(events).toEqual([])
    at.onTftp({ kind: 'refused', ip: '10.0.0.5', file: 'pxelinux.0', why: 'there is no such file' })
    expect(troubles(events)).toMatchObject([{ kind: 'trouble', nodeUuid: 'node of a' }])
  })
  test('between two milestones, and where a boot breaks off, a known client leaves signs; a stranger leaves none', () => {
    const { observer: at, events } = observer()
    for (const mac of ['a', 'b']) {
      at.onDhcp({ kind: 'machine', mac, uuid: 'u-u-i-d' })
      at.onDhcp({ kind: 'reply', mac, type: 'offer', ip: '10.0.0.5', netboot: 'firmware' })
      at.onDhcp({ kind: 'trouble', mac, why: 'it takes another', about: 'rival' })
    }
    for (const ip of ['10.0.0.5', '10.0.0.99']) {
      at.onTftpAsked('snponly.efi', ip)
      at.onTftp({ kind: 'failed', ip, file: 'snponly.efi', why: 'the client did not answer' })
      at.onHttpAsked('/ramdisk/initrd', ip)
      at.onHttpLost('/ramdisk/initrd', ip, { whole: false, sentBytes: 5, totalBytes: 10, stalled: false })
      at.onHttpLost('/ramdisk/initrd', ip, { whole: false, sentBytes: 5, totalBytes: 0, stalled: true })
      at.onHttpRefused('/ramdisk/initrd', ip, 'there is no such file')
      at.onHttpRefused('/loader/revocations_sbat.efi', ip, 'there is no such file')
      at.onAgentSaid('unreached', ip)
    }
    expect(signs(events)).toEqual([
      'node of a machine u-u-i-d',
      'node of a offer 10.0.0.5',
      'node of a rival it takes another',
      'node of a tftp-ask snponly.efi',
      'node of a tftp-lost snponly.efi: the client did not answer',
      'node of a http-ask /ramdisk/initrd',
      'node of a http-left /ramdisk/initrd after 5 of 10 bytes',
      'node of a http-stalled /ramdisk/initrd after 5 bytes',
      'node of a http-refused /ramdisk/initrd: there is no such file',
      'node of a agent-unreached ',
    ])
  })
  test('an agent of a boot ISO has no lease, and is heard by the address of its record', () => {
    const { observer: at, events } = observer()
    at.onAgentSaid('unreached', '10.0.0.7')
    at.onAgentSaid('unreached', '10.0.0.8')
    expect(signs(events)).toEqual(['node of an ISO agent-unreached '])
  })
  test('shim and GRUB are milestones by TFTP as by HTTP; what GRUB reads between them is none', () => {
    const sent = (file: string) => ({ kind: 'sent', ip: '10.0.0.5', file, sizeBytes: 1 }) as const
    const steps = (all: readonly { kind: string }[]) => all.map((one) => ('step' in one ? one.step : one.kind))
    const tftp = observer()
    for (const file of ['bootx64.efi', 'grubx64.efi', 'grub/grub.cfg']) tftp.observer.onTftp(sent(file))
    expect(steps(tftp.events)).toEqual(['loader', 'grub'])
    const http = observer()
    for (const file of ['bootx64.efi', 'grubx64.efi']) http.observer.onFetched(`/loader/${file}`, '10.0.0.5')
    expect(steps(http.events)).toEqual(['loader', 'grub'])
  })
  test('a loader whose size was asked for alone was not fetched', () => {
    const { observer: at, events } = observer()
    at.onTftp({ kind: 'sent', ip: '10.0.0.5', file: 'snponly.efi', sizeBytes: 0 })
    expect(events).toEqual([])
  })
  test('an instance of an ISO image that comes to GRUB is a trouble, which names the remedy', () => {
    const { observer: at, events } = observer()
    const byIso = { ...client('a'), order: { kind: 'instance', boot: { kind: 'iso', iso: 'sha256-0' } } } as const
    at.onScript(byIso, 'ipxe')
    expect(events.map(({ kind }) => kind)).toEqual(['seen'])
    at.onScript(byIso, 'grub')
    expect(events).toContainEqual(
      expect.objectContaining({ kind: 'trouble', what: expect.stringContaining('use virtual media') as string }),
    )
  })
  test('only the address that a client leases is remembered as its own', () => {
    const { observer: at, events } = observer()
    at.onDhcp({ kind: 'reply', mac: 'a', type: 'ack', ip: '10.0.0.5', netboot: 'firmware' })
    at.onDhcp({ kind: 'reply', mac: 'a', type: 'nak', ip: '10.0.0.6', netboot: 'firmware' })
    expect(events.map((one) => one.kind === 'seen' && one.ip)).toEqual(['10.0.0.5', undefined])
  })
})
