/** Events of the wire wait in a bounded queue and are written in batches; streams read what is past in pieces and get
 *  what happens from one reader of the journal. */
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { EventHub } from '../../conductor/events/hub.ts'
import { EventQueue } from '../../conductor/events/queue.ts'
import { StreamPlaces, streamEvents } from '../../conductor/events/stream.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { EventFilter, Journal } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'

const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const event = (n: number, nodeUuid: string | null = null) => ({ atMs: n, nodeUuid, kind: 'trouble', detail: { n } })
let dir = ''
let store: SqliteStore
let hub: EventHub
let scans = 0
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-streams-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  for (const n of [1, 2])
    await store.addNode(newNode({ uuid: uuid(n), driver: 'fake-hardware', owner: n === 1 ? 'red' : 'blue' }, 1))
  scans = 0
  const journal: Journal = { ...store.journal, scan: (...args) => ((scans += 1), store.journal.scan(...args)) }
  hub = new EventHub({ journal, log: silentLog, batch: 100 })
  await hub.start()
})
afterEach(async () => {
  await hub.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

/** A client; one that does not read holds what it is sent back. */
class Client extends EventEmitter {
  writableNeedDrain = false
  readonly ids: number[] = []
  reads: boolean
  constructor(reads = true) {
    super()
    this.reads = reads
  }
  writeHead() {}
  end() {}
  write(text: string) {
    const id = /^id: (\d+)/.exec(text)?.[1]
    if (id) this.ids.push(Number(id))
    this.writableNeedDrain = !this.reads && id !== undefined
  }
}

function open(client: Client, filter: EventFilter = {}, afterSeq = 0) {
  const abort = new AbortController()
  const parts = { journal: store.journal, hub, clock: systemClock, signal: abort.signal, batch: 100 }
  const done = streamEvents(client as unknown as ServerResponse, { afterSeq, filter }, parts)
  return async () => {
    abort.abort()
    await done
  }
}
const has = (client: Client, count: number) =>
  until(() => client.ids.length >= count, { what: `${count} events, not ${client.ids.length}`, timeoutMs: 20_000 })

test('what is past and what happens meanwhile comes once and in order, to each stream what it asked for', async () => {
  await store.journal.addAll(Array.from({ length: 12_000 }, (_, n) => event(n, n % 100 === 0 ? uuid(1) : uuid(2))))
  const [all, red, kinds] = [new Client(), new Client(), new Client()]
  const close = [open(all), open(red, { project: 'red' }), open(kinds, { kinds: ['node-added'] })]
  for (let n = 0; n < 50; n += 1) {
    await store.journal.add(event(n, uuid((n % 2) + 1)))
    await new Promise((resolve) => setImmediate(resolve))
  }
  await has(all, 12_052)
  await has(red, 120 + 25 + 1)
  expect([all, red, kinds].map(({ ids }) => ids.length)).toEqual([12_052, 146, 2])
  for (const { ids } of [all, red]) expect(ids).toEqual([...new Set(ids)].sort((a, b) => a - b))
  await Promise.all(close.map((end) => end()))
})

test('a thousand streams cost one reader: the journal is read by batches and not by streams', async () => {
  const clients = Array.from({ length: 1_000 }, () => new Client())
  const last = await store.journal.lastSeq()
  const close = clients.map((client) => open(client, { project: 'red' }, last))
  expect([hub.upToSeq, scans]).toEqual([last, 0])
  for (let n = 0; n < 50; n += 1) await store.journal.add(event(n, uuid(1)))
  for (const client of clients) await has(client, 50)
  expect(scans).toBeLessThanOrEqual(101)
  await Promise.all(close.map((end) => end()))
})

test('a reader of another project lets everybody else have their turns', async () => {
  await store.journal.addAll(Array.from({ length: 50_000 }, (_, n) => event(n, uuid(2))))
  const client = new Client()
  const close = open(client, { project: 'red' })
  let turns = 0
  const spin = (async () => {
    while (client.ids.length < 2) {
      turns += 1
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  await store.journal.add(event(1, uuid(1)))
  await has(client, 2)
  await spin
  expect(turns).toBeGreaterThanOrEqual(9)
  await close()
})

test('who does not read waits in the store, and goes on where it stopped', async () => {
  const slow = new Client(false)
  const close = open(slow)
  await has(slow, 1)
  await store.journal.addAll(Array.from({ length: 1_000 }, (_, n) => event(n)))
  const last = await store.journal.lastSeq()
  await until(() => hub.upToSeq >= last, { what: 'the reader to have handed out everything', timeoutMs: 20_000 })
  expect(slow.ids.length).toBeLessThanOrEqual(100)
  slow.reads = true
  slow.writableNeedDrain = false
  slow.emit('drain')
  await has(slow, 1_002)
  expect(slow.ids).toEqual([...new Set(slow.ids)].sort((a, b) => a - b))
  await close()
})

test('places are limited in all and for each user, and given back', () => {
  const places = new StreamPlaces({ eventStreams: 3, eventStreamsPerUser: 2 })
  const back = [places.take('user a'), places.take('user a')]
  expect(() => places.take('user a')).toThrow(/user a has 2 event streams/)
  back.push(places.take('user b'))
  expect(() => places.take(null)).toThrow(/3 event streams are open/)
  for (const give of back) give()
  expect(() => places.take('user a')).not.toThrow()
})

test('a flood of events is written in few transactions; what finds no place is counted and told once', async () => {
  const batches: number[] = []
  const addAll: Journal['addAll'] = async (events) => {
    batches.push(events.length)
    await store.journal.addAll(events)
  }
  const queue = new EventQueue({ journal: { addAll }, clock: systemClock, log: silentLog, queued: 1_000, batch: 300 })
  for (let n = 0; n < 50_000; n += 1) queue.add(event(n))
  await queue.stop()
  const kept = await store.journal.after(0, { kinds: ['trouble'] }, 10_000)
  expect([kept.length, queue.dropped, batches]).toEqual([1_001, 49_000, [301, 300, 300, 100]])
  expect(kept.filter(({ detail }) => detail.dropped !== undefined).map(({ detail }) => detail.dropped)).toEqual([
    49_000,
  ])
})

test('a store that cannot be written for a moment loses nothing of what waits', async () => {
  let broken = 1
  const addAll: Journal['addAll'] = async (events) => {
    if (broken-- > 0) throw new Error('disk full')
    await store.journal.addAll(events)
  }
  const queue = new EventQueue({ journal: { addAll }, clock: systemClock, log: silentLog, queued: 1_000, batch: 300 })
  for (let n = 0; n < 10; n += 1) queue.add(event(n))
  await until(async () => (await store.journal.after(0, { kinds: ['trouble'] }, 100)).length === 10, {
    what: 'the events',
    timeoutMs: 30_000,
  })
})
