/** What goes on is sent to those who watch: what changed, in bounded messages, to each what it may see; the rest, as it
 *  is then, to who did not read; and nothing is asked for when nobody watches. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { beforeEach, expect, test } from 'vitest'
import { LiveFeed, type Watcher } from '../../conductor/events/live.ts'
import { streamEvents, type LiveSource, type StreamParts } from '../../conductor/events/stream.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { systemClock, turn, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { HandClock } from '../kit/hand-clock.ts'

const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 0, helloAtMs: 0 }
const nodes = new Map<string, NodeRecord>()
let clock: HandClock
let sightings: Sightings
let asked = 0
let hosts: { name: string; state?: string; last_heard_seconds?: number; message?: string }[] = []
let incidents: object[] = []
let isCut = false
let feed: LiveFeed

const add = (uuid: string, owner = 'red') =>
  nodes.set(uuid, newNode({ uuid, driver: 'fake-hardware', owner, agent: AGENT, provisionState: 'deploying' }, 0))
const report = (uuid: string, doneBytes: number) =>
  void (sightings.of(uuid).progress = { phase: 'write', doneBytes, totalBytes: 1000 })

beforeEach(() => {
  nodes.clear()
  clock = new HandClock()
  sightings = new Sightings()
  asked = 0
  hosts = [{ name: 'h1', state: 'healthy', last_heard_seconds: 0.1 }]
  incidents = []
  isCut = false
  const link = {
    async request(_method: string, path: string) {
      asked += 1
      if (isCut) throw new Fault('mesh.leaderless', 'nobody leads')
      const body = path.endsWith('incidents') ? { incidents } : { leader: 'a1', hosts }
      return { status: 200, body, tag: undefined }
    },
  }
  feed = new LiveFeed({ store: { node: async (uuid) => nodes.get(uuid) }, sightings, link, clock, log: silentLog })
})

type Message = {
  progress?: { node: string; state: string; progress: { phase: string; part: number } | null }[]
  mesh?: {
    problem: string | null
    isFirst?: boolean
    hosts?: { name: string }[]
    gone?: string[]
    incidents?: string[]
  }
}

class Client implements Watcher {
  readonly got: Message[] = []
  reads = true
  sees: Watcher['sees'] = () => true
  seesMesh = false
  /** Messages that it takes until `left` is set again. */
  atOnce = Infinity
  left = 1
  send = (text: string): boolean => {
    if (this.atOnce !== Infinity && --this.left < 0) return false
    if (this.reads) this.got.push(JSON.parse(/^event: live\ndata: (.*)\n\n$/.exec(text)?.[1] as string) as Message)
    return this.reads
  }
  take = (): Message[] => this.got.splice(0)
  /** node -> part */
  progress = () =>
    this.take().flatMap(({ progress = [] }) => progress.map((one) => [one.node, one.progress?.part ?? null] as const))
}
async function pass(seconds: number): Promise<void> {
  for (let halves = 0; halves < 2 * seconds; halves += 1) {
    clock.pass(500)
    // What is asked for meanwhile is answered in a few turns, and each message takes one.
    for (let i = 0; i < 20; i += 1) await turn()
  }
}

test('each change is sent once, and to each what it may see', async () => {
  add('a')
  add('b', 'blue')
  const [all, blue] = [new Client(), new Client()]
  blue.sees = ({ owner }) => owner === 'blue'
  report('a', 100)
  feed.follow(all)
  feed.follow(blue)
  await pass(1)
  expect(all.progress()).toEqual([['a', 0.1]])
  report('b', 500)
  await pass(3)
  expect(all.progress()).toEqual([['b', 0.5]])
  expect(blue.progress()).toEqual([['b', 0.5]])
  sightings.of('a').progress = null
  await pass(1)
  expect(all.progress()).toEqual([['a', null]])
  expect(blue.take()).toEqual([])
})

test('an agent that the node does not have any more has no progress', async () => {
  add('a')
  const client = new Client()
  feed.follow(client)
  report('a', 1)
  await pass(2)
  nodes.set('a', { ...(nodes.get('a') as NodeRecord), agent: null })
  report('a', 2)
  await pass(2)
  expect(client.progress()).toEqual([
    ['a', 0.001],
    ['a', null],
  ])
})

test('of many that change at once, each has its turn, and no message is long', async () => {
  const uuids = Array.from({ length: 1_000 }, (_, i) => `n${i}`)
  for (const uuid of uuids) add(uuid)
  const client = new Client()
  feed.follow(client)
  const seen = new Set<string>()
  for (let second = 1; second <= 6; second += 1) {
    for (const uuid of uuids) report(uuid, second)
    await pass(1)
    for (const message of client.take()) {
      expect(message.progress?.length).toBeLessThanOrEqual(200)
      for (const { node } of message.progress ?? []) seen.add(node)
    }
  }
  expect(seen.size).toBe(1_000)
})

test('who did not read is sent what it lacks, as it is then, and nothing waits for it', async () => {
  for (const uuid of ['a', 'b']) add(uuid)
  const client = new Client()
  client.seesMesh = true
  feed.follow(client)
  report('a', 100)
  report('b', 100)
  await pass(3)
  client.take()
  client.reads = false
  report('a', 200)
  hosts = [...hosts, { name: 'h2', state: 'healthy' }, { name: 'h3', state: 'healthy' }]
  await pass(4)
  report('a', 300)
  hosts = hosts.filter((host) => !host.name.endsWith('2')).map((host) => ({ ...host, state: 'suspect' }))
  await pass(4)
  client.reads = true
  await pass(1)
  const got = client.take()
  expect(got.flatMap(({ progress = [] }) => progress.map((one) => [one.node, one.progress?.part]))).toEqual([
    ['a', 0.3],
  ])
  expect(got.filter(({ mesh }) => mesh?.isFirst)).toEqual([])
  expect(got.flatMap(({ mesh }) => mesh?.gone ?? [])).toEqual(['h2'])
  expect(got.flatMap(({ mesh }) => mesh?.hosts ?? [])).toEqual(hosts)
})

test('who can take one message at a time is sent all of many hosts and nodes in the end', async () => {
  hosts = Array.from({ length: 1_000 }, (_, i) => ({ name: `h${i}`, state: 'healthy' }))
  const uuids = Array.from({ length: 500 }, (_, i) => `n${i}`)
  for (const uuid of uuids) add(uuid)
  for (const uuid of uuids) report(uuid, 1)
  const client = new Client()
  client.seesMesh = true
  client.atOnce = 1
  feed.follow(client)
  const [seenNodes, seenHosts] = [new Set<string>(), new Set<string>()]
  let heads = 0
  for (let second = 1; second <= 16; second += 1) {
    await pass(1)
    client.left = client.atOnce
    for (const { progress = [], mesh } of client.take()) {
      for (const { node } of progress) seenNodes.add(node)
      for (const { name } of mesh?.hosts ?? []) seenHosts.add(name)
      heads += mesh?.isFirst ? 1 : 0
    }
  }
  expect([seenNodes.size, seenHosts.size, heads]).toEqual([500, 1_000, 1])
})

test('a browser that reads is sent a big mesh at once, over a real connection', async () => {
  hosts = Array.from({ length: 2_000 }, (_, i) => ({ name: `h${i}`, message: 'x'.repeat(300) }))
  const server = createServer((_, response) => {
    const journal = { lastSeq: async () => 0, scan: async () => ({ events: [], upToSeq: 0, end: true }) }
    const parts = { journal, hub: { follow: () => () => undefined, upToSeq: 0 }, clock: systemClock, batch: 10 }
    const live: LiveSource = (send) => feed.follow({ sees: () => true, seesMesh: true, send })
    const request = { afterSeq: 0, filter: {} }
    void streamEvents(response, request, { ...(parts as never as StreamParts), signal: ended.signal, live })
  })
  const ended = new AbortController()
  try {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as AddressInfo
    const answer = await fetch(`http://127.0.0.1:${port}`)
    let text = ''
    const into = new WritableStream<string>({ write: (piece) => void (text += piece) })
    void answer.body
      ?.pipeThrough(new TextDecoderStream())
      .pipeTo(into)
      .catch(() => undefined)
    await until(
      async () => {
        await pass(1)
        return text.includes('"h1999"')
      },
      { what: 'the last host', timeoutMs: 20_000, everyMs: 20 },
    )
    expect(text.split('"isFirst":true')).toHaveLength(2)
    expect(new Set(text.match(/"h\d+"/g)).size).toBe(2_000)
  } finally {
    ended.abort()
    server.closeAllConnections()
    server.close()
  }
})

test('of the mesh, hosts and incidents that changed are sent; silence that lasts is no change', async () => {
  const [client, confined] = [new Client(), new Client()]
  client.seesMesh = true
  feed.follow(client)
  feed.follow(confined)
  await pass(3)
  expect(client.take().flatMap(({ mesh }) => mesh?.hosts ?? [])).toEqual(hosts)
  hosts = [
    { name: 'h1', state: 'healthy', last_heard_seconds: 0.9 },
    { name: 'h2', state: 'suspect', last_heard_seconds: 60 },
  ]
  incidents = [{ id: 'i1', state: 'fencing' }]
  await pass(4)
  const told = client.take()
  expect(told.flatMap(({ mesh }) => mesh?.hosts ?? []).map(({ name }) => name)).toEqual(['h2'])
  expect(told.flatMap(({ mesh }) => mesh?.incidents ?? [])).toEqual(['i1'])
  hosts = [{ name: 'h2', state: 'suspect', last_heard_seconds: 64 }]
  await pass(4)
  const later = client.take()
  expect(later.flatMap(({ mesh }) => mesh?.hosts ?? [])).toEqual([])
  expect(later.flatMap(({ mesh }) => mesh?.gone ?? [])).toEqual(['h1'])
  isCut = true
  await pass(4)
  expect(client.take().at(-1)?.mesh).toEqual({ problem: 'nobody leads' })
  expect(confined.take()).toEqual([])
})

test('nothing is asked for when nobody watches, and who comes then is sent everything', async () => {
  const client = new Client()
  client.seesMesh = true
  const leave = feed.follow(client)
  await pass(3)
  leave()
  await pass(2)
  const before = asked
  await pass(30)
  expect(asked).toBe(before)
  client.take()
  feed.follow(client)
  await pass(3)
  expect(asked).toBeGreaterThan(before)
  expect(client.take().flatMap(({ mesh }) => mesh?.hosts ?? [])).toEqual(hosts)
})
