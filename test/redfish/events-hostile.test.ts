/** Events of a BMC that floods, never ends an event, or is somebody else: what they cost is bounded. */
import { request } from 'node:https'
import { afterEach, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { selfSigned } from '../../kit/certificate.ts'
import { EventServer } from '../../conductor/bmc-events/server.ts'
import { EventCounter } from '../../conductor/bmc/redfish/event-stream.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import type { FaultName } from './faults.ts'
import { SSE, SUBSCRIPTIONS } from './families/events.ts'
import { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const LIMITS = { eventBytes: 65_536, eventsPerSecond: 20, eventConnections: 64 }
const opened: (() => unknown)[] = []
afterEach(async () => {
  for (const close of opened.splice(0)) await close()
})

const bytes = (text: string) => Buffer.from(text)

test('events are counted by their blank line, whichever line ends are used and however they are cut', () => {
  for (const end of ['\n', '\r\n', '\r']) {
    const text = [': hello', '', 'id: 1', 'data: {}', 'data: {}', '', 'event: x', '', 'data: {}', '', ''].join(end)
    const whole = new EventCounter(1_000)
    expect(whole.count(bytes(text))).toBe(2)
    const cut = new EventCounter(1_000)
    expect([...bytes(text)].reduce((sum, byte) => sum + cut.count(Uint8Array.of(byte)), 0)).toBe(2)
  }
})

test('comments that keep a stream alive never add up to an event that is too big', () => {
  const counter = new EventCounter(100)
  for (let i = 0; i < 1_000; i += 1) expect(counter.count(bytes(': still here\n'))).toBe(0)
  expect(() => counter.count(bytes(`data: ${'x'.repeat(200)}`))).toThrow(/more than 100 bytes/)
})

async function whole(...faults: readonly FaultName[]) {
  const bmc = await VirtualBmc.open({ machine: new SimulatedMachine(), faults })
  const redfish = new Redfish(redfishInfo(bmc.driverInfo()), systemClock)
  opened.push(async () => {
    await redfish.close()
    await bmc.stop()
  })
  return { events: redfish.events, bmc }
}
const client = async (...faults: readonly FaultName[]) => (await whole(...faults)).events

test('a stream that floods is read at the rate of its limit', async () => {
  const events = await client('the event stream floods')
  const abort = new AbortController()
  opened.unshift(() => abort.abort())
  let [came, floods] = [0, 0]
  const reader = {
    limits: LIMITS,
    clock: systemClock,
    onEvents: () => void (came += 1),
    onFlood: () => void (floods += 1),
  }
  const stream = await events.open(SSE, abort.signal)
  const reading = events.read(stream, reader, abort.signal).catch((error: unknown) => error)
  await until(() => floods >= 2, { what: 'two pauses', timeoutMs: 20_000 })
  // Each pause comes after one chunk of the flood: hundreds of thousands of events were sent.
  expect(came).toBeLessThan(20)
  abort.abort(new Error('enough'))
  expect(await reading).toMatchObject({ message: 'enough' })
})

test('an event without an end ends the stream with a fault', async () => {
  const events = await client('an event has no end')
  const nothing = () => undefined
  const reader = { limits: LIMITS, clock: systemClock, onEvents: nothing, onFlood: nothing }
  const signal = AbortSignal.timeout(20_000)
  const reading = events.read(await events.open(SSE, signal), reader, signal)
  await expect(reading).rejects.toMatchObject({ code: 'bmc.refused', message: expect.stringContaining('65536 bytes') })
})

const SUBSCRIPTION = { at: SUBSCRIPTIONS, destination: 'https://192.0.2.1/bmc-events/x', context: 'rackward x' }

test('a subscription that works is kept, one that the BMC has disabled is made anew, and a closed client asks nothing', async () => {
  const { events, bmc } = await whole()
  const { subscriptions } = bmc.families.events
  const signal = AbortSignal.timeout(20_000)
  await events.subscribe(SUBSCRIPTION, signal)
  const [first] = subscriptions.keys()
  await events.subscribe(SUBSCRIPTION, signal)
  expect([...subscriptions.keys()]).toEqual([first])
  expect(await events.isSubscribed(signal)).toBe(true)

  for (const one of subscriptions.values()) one.state = 'Disabled'
  expect(await events.isSubscribed(signal)).toBe(false)
  await events.subscribe(SUBSCRIPTION, signal)
  expect([...subscriptions.keys()]).not.toContain(first)
  expect(subscriptions.size).toBe(1)

  await events.close(signal)
  expect(subscriptions.size).toBe(0)
  await expect(events.subscribe(SUBSCRIPTION, signal)).rejects.toMatchObject({ code: 'bmc.unreachable' })
  await expect(events.offer(signal)).rejects.toMatchObject({ code: 'bmc.unreachable' })
  expect(subscriptions.size).toBe(0)
})

const UUID = '30313233-3435-4637-b839-414243444546'
const SECRET = 'a'.repeat(64)

async function server(limits = LIMITS) {
  const heard: string[] = []
  const limited: string[] = []
  const events = new EventServer({
    at: { address: '127.0.0.1', port: 0 },
    tls: pems(await selfSigned({ commonName: 'x', days: 1 })),
    onEvent: (uuid, secret) => secret === SECRET && heard.push(uuid) > 0,
    clock: systemClock,
    limits,
    onLimit: (limit) => void limited.push(limit),
  })
  const base = await events.open()
  opened.push(() => events.close())
  return { base, heard, limited }
}
const pems = ({ cert, key }: { cert: string; key: string }) => ({ cert: Buffer.from(cert), key: Buffer.from(key) })

const post = (url: string, body: string, method = 'POST'): Promise<number> =>
  new Promise((resolve) => {
    const sent = request(url, { method, rejectUnauthorized: false, agent: false }, (response) => {
      response.resume()
      resolve(response.statusCode ?? 0)
    })
    sent.on('error', () => resolve(0))
    sent.end(body)
  })

test('pushes: a path that is not known, another method and a body that is too big are refused', async () => {
  const { base, heard, limited } = await server()
  const path = `${base}/bmc-events/${UUID}`
  expect(await post(`${path}/${SECRET}`, '{"Events": []}')).toBe(204)
  expect(await post(`${path}/${'b'.repeat(64)}`, '{}')).toBe(404)
  expect(await post(`${path}/${SECRET}/..`, '{}')).toBe(404)
  expect(await post(`${path}/${SECRET}`, '', 'GET')).toBe(404)
  expect(heard).toEqual([UUID])
  // The answer may be lost where the sender still writes when the connection ends.
  expect([413, 0]).toContain(await post(`${path}/${SECRET}`, 'x'.repeat(300_000)))
  expect(limited).toContain('bmc.eventBytes')
})

test('pushes that come too fast are answered late, all of them', async () => {
  const { base, limited } = await server({ ...LIMITS, eventsPerSecond: 1 })
  const url = `${base}/bmc-events/${UUID}/${SECRET}`
  const statuses = await Promise.all(Array.from({ length: 8 }, () => post(url, '{}')))
  expect(statuses).toEqual(Array.from({ length: 8 }, () => 204))
  expect(new Set(limited)).toEqual(new Set(['bmc.eventsPerSecond']))
})
