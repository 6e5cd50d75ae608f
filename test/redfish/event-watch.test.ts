/** What the watch over the events of BMCs does: which way it takes, when it tries again, and what an event causes. */
import { afterEach, expect, test } from 'vitest'
import { systemClock, until, type Clock } from '../../kit/clock.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import { Doorbell, type ReadEnd } from '../../conductor/node/run/bmc-events/doorbell.ts'
import { EventSource } from '../../conductor/node/run/bmc-events/source.ts'
import { EventWatch } from '../../conductor/node/run/bmc-events/watch.ts'
import { newNode } from '../../conductor/node/record.ts'
import { PowerSync } from '../../conductor/node/run/power-sync.ts'
import type { Worker } from '../../conductor/node/run/worker.ts'
import type { StepEvent } from '../../conductor/node/workflow/events.ts'
import type { Store } from '../../conductor/store/port.ts'
import type { BmcRegistry } from '../../conductor/bmc/registry.ts'
import type { Bmc } from '../../conductor/bmc/controller.ts'
import type { Events } from '../../conductor/bmc/parts/events.ts'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const LIMITS = { eventBytes: 65_536, eventsPerSecond: 20 }
const UUID = '30313233-3435-4637-b839-414243444546'
const opened: (() => unknown)[] = []
afterEach(async () => {
  for (const close of opened.splice(0)) await close()
})

test('an address that a BMC quotes in its refusal is a secret, and is not shown', async () => {
  const destination = `https://192.0.2.1/bmc-events/x/${'c'.repeat(64)}`
  const abort = new AbortController()
  const never = () => Promise.reject(new Error('not asked'))
  const source = new EventSource({
    clock: systemClock,
    signal: abort.signal,
    events: { offer: never, open: never, read: never, subscribe: never, isSubscribed: never, close: never },
    ask: () =>
      Promise.reject(new Fault('bmc.refused', `POST: the value ${destination} is wrong, and so is ${'c'.repeat(64)}`)),
    reader: { limits: LIMITS, clock: systemClock, onFlood: () => undefined },
    onEvents: () => undefined,
    onOpen: () => undefined,
    takeStream: () => undefined,
    streams: true,
    subscription: { destination, context: 'x' },
  })
  const running = source.run()
  await until(() => source.now().why?.startsWith('bmc.refused'), { what: 'the refusal', timeoutMs: 20_000 })
  expect(source.now().why).toBe('bmc.refused: POST: the value (its address) is wrong, and so is …')
  abort.abort(new Error('end'))
  await running
})

test('streams that fail after a minute each are not tried again and again: the pauses grow, and a subscription takes their place', async () => {
  const clock = fastClock()
  const abort = new AbortController()
  const opens: number[] = []
  const events: Events = {
    offer: async () => ({ stream: '/sse', subscriptions: '/subscriptions' }),
    async open() {
      opens.push(clock.at)
      clock.at += 60_000
      throw new Fault('bmc.timeout', 'no answer')
    },
    read: async () => undefined,
    subscribe: async () => undefined,
    isSubscribed: async () => true,
    close: async () => undefined,
  }
  const source = new EventSource({
    clock,
    signal: abort.signal,
    events,
    ask: (work) => work(events, abort.signal, abort.signal),
    reader: { limits: LIMITS, clock, onFlood: () => undefined },
    onEvents: () => undefined,
    onOpen: () => undefined,
    takeStream: () => () => undefined,
    streams: true,
    subscription: { destination: 'https://192.0.2.1/x', context: 'x' },
  })
  const running = source.run()
  await until(() => source.now().way === 'push' || opens.length > 10, { what: 'a subscription', timeoutMs: 20_000 })
  expect(source.now().way).toBe('push')
  expect(opens).toEqual([0, 61_000, 123_000])
  abort.abort(new Error('end'))
  await running
})

test('a node that is deleted while its poll is under way is not watched', async () => {
  const machine = await VirtualBmc.open({ machine: new SimulatedMachine() })
  const redfish = new Redfish(redfishInfo(machine.driverInfo()), systemClock)
  opened.push(async () => {
    await redfish.close()
    await machine.stop()
  })
  const { events } = redfish
  const bmc = { events } as unknown as Bmc
  const states = ['ready', 'gone'] as const
  const clock = systemClock
  const none = () => undefined
  for (const state of states) {
    const watch = new EventWatch({
      clock,
      log: silentLog,
      bmcQueue: new BmcQueue(clock),
      read: async () => 'same',
      stateOf: async () => state,
      streams: true,
      push: undefined,
      limits: { ...LIMITS, eventStreams: 4 },
      onLimit: none,
    })
    opened.unshift(() => watch.stop())
    watch.polled(UUID, { target: { key: 'x', bmc }, isChange: false, wasAway: false })
    const wanted = state === 'ready' ? 'stream' : undefined
    await until(() => watch.of(UUID)?.way === wanted, { what: state, timeoutMs: 20_000 })
  }
})

test('reads that events cause are no polls: a BMC that refuses them while its server starts is not lost', async () => {
  const clock = systemClock
  const dispatched: string[] = []
  const node = newNode({ uuid: UUID, driver: 'redfish', provisionState: 'manageable', powerState: 'power off' }, 0)
  let reads = 0
  const busy = async () => {
    reads += 1
    throw new Fault('bmc.unready', 'the server starts')
  }
  const sync = new PowerSync({
    store: { node: async () => node } as unknown as Store,
    worker: { dispatch: async (_: string, { type }: StepEvent) => void dispatched.push(type) } as unknown as Worker,
    bmcs: { target: () => ({ key: 'x', bmc: { poll: busy } }) } as unknown as BmcRegistry,
    bmcQueue: new BmcQueue(clock),
    clock,
    log: silentLog,
    everyMs: 0,
    lostAfter: 1,
  })
  for (const _ of [1, 2, 3]) expect(await sync.look(UUID)).toBe('same')
  expect([reads, dispatched, sync.of(UUID)]).toEqual([3, [], undefined])
})

/** A clock that moves by what is slept, at once. */
function fastClock(): Clock & { at: number } {
  return {
    at: 0,
    now() {
      return this.at
    },
    async sleep(ms, signal) {
      signal?.throwIfAborted()
      this.at += ms
      await new Promise((resolve) => setImmediate(resolve))
    },
    after: () => () => undefined,
  }
}

test('events that announce nothing cause fewer and fewer reads; the first change is followed at once again', async () => {
  const clock = fastClock()
  const abort = new AbortController()
  const readAt: number[] = []
  let found: ReadEnd = 'same'
  const bell = new Doorbell({
    clock,
    signal: abort.signal,
    async read() {
      readAt.push(clock.at)
      // More come while it is read.
      bell.ring()
      return found
    },
  })
  bell.ring()
  await until(() => clock.at > 120_000, { what: 'two minutes', timeoutMs: 20_000, everyMs: 1 })
  const [first, second] = readAt
  expect([first, second]).toEqual([0, 1_000])
  expect(readAt.filter((atMs) => atMs <= 120_000).length).toBeLessThan(25)

  found = 'change'
  const before = readAt.length
  await until(() => readAt.length > before + 2, { what: 'the change', timeoutMs: 20_000, everyMs: 1 })
  const [, one = 0, two = 0] = readAt.slice(before)
  expect(two - one).toBe(1_000)
  abort.abort(new Error('end'))
})
