/** What goes on is sent to those who watch: what changed, in bounded messages, to each what it may see; everything anew
 *  to who did not read; and nothing is asked for when nobody watches. */
import { beforeEach, expect, test } from 'vitest'
import { LiveFeed, type Watcher } from '../../conductor/events/live.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { turn } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { HandClock } from '../kit/hand-clock.ts'

const AGENT = { sessionHash: 'x', generation: 1, tokenMs: 0, helloAtMs: 0 }
const nodes = new Map<string, NodeRecord>()
let clock: HandClock
let sightings: Sightings
let asked = 0
let hosts: object[] = []
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
  send = (text: string): boolean => {
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
    // What is asked for meanwhile is answered in a few turns.
    for (let i = 0; i < 5; i += 1) await turn()
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

test('who did not read is sent everything anew, and what waited for it is forgotten', async () => {
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
  await pass(1)
  report('a', 300)
  await pass(1)
  client.reads = true
  await pass(1)
  const got = client.take()
  expect(got.flatMap(({ progress = [] }) => progress.map((one) => [one.node, one.progress?.part]))).toEqual([
    ['b', 0.1],
    ['a', 0.3],
  ])
  expect(got.filter(({ mesh }) => mesh?.isFirst)).toHaveLength(1)
  expect(got.flatMap(({ mesh }) => mesh?.hosts ?? []).map(({ name }) => name)).toEqual(['h1'])
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
