/** Doorbells between conductors of one PostgreSQL: a connection that is silently dead is noticed and made anew, and
 *  what is too long for one notification spoils no other. */
import { mkdtemp, rm } from 'node:fs/promises'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { openPostgres, type PostgresStore } from '../../conductor/store/postgres/store.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { Postgres } from '../conductor/postgres.ts'
import { LIMITS, SEAL } from '../conductor/store-conformance/bench.ts'

const SOCKET = '.s.PGSQL.5432'

/** Passes on what comes, until what passed through a connection that listens is swallowed, both ways. */
class Way {
  readonly dir: string
  private readonly server: Server
  private readonly sockets = new Set<Socket>()
  private readonly listening = new Set<{ isDead: boolean }>()

  private constructor(dir: string, to: string) {
    this.dir = dir
    this.server = createServer((near) => {
      const far = connect(join(to, SOCKET))
      const pair = { isDead: false }
      near.on('data', (bytes) => {
        if (bytes.includes('LISTEN rackward_nodes')) this.listening.add(pair)
        if (!pair.isDead) far.write(bytes)
      })
      far.on('data', (bytes) => pair.isDead || near.write(bytes))
      for (const [one, other] of [
        [near, far],
        [far, near],
      ] as const) {
        this.sockets.add(one)
        one.on('error', () => undefined)
        one.on('close', () => {
          this.sockets.delete(one)
          if (!pair.isDead) other.destroy()
        })
      }
    })
  }

  static async make(to: string): Promise<Way> {
    const way = new Way(await mkdtemp(join(tmpdir(), 'rackward-way-')), to)
    await new Promise<void>((resolve) => way.server.listen(join(way.dir, SOCKET), resolve))
    return way
  }

  get listeners(): number {
    return this.listening.size
  }

  swallow(): void {
    for (const pair of this.listening) pair.isDead = true
  }

  async stop(): Promise<void> {
    this.sockets.forEach((socket) => socket.destroy())
    await new Promise((resolve) => this.server.close(resolve))
    await rm(this.dir, { recursive: true, force: true })
  }
}

let server: Postgres
const opened: PostgresStore[] = []
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterEach(async () => {
  for (const store of opened.splice(0)) await store.close().catch(() => undefined)
})
afterAll(() => server.stop())

async function open(name: string, url: string): Promise<PostgresStore> {
  const store = await openPostgres(
    { url, connections: 4 },
    {
      clock: systemClock,
      monotonic: monotonicClock,
      limits: LIMITS,
      seal: SEAL,
      conductor: name,
      shared: { hostname: name, group: '' },
    },
  )
  opened.push(store)
  return store
}

test('a connection that listens and is silently dead is made anew, and what may have rung meanwhile is looked for', async () => {
  const database = await server.database()
  const url = server.urlOf(database)
  const way = await Way.make(server.dir)
  try {
    const [a, b] = [await open('a', url.replace(server.dir, way.dir)), await open('b', url)]
    const heard: string[] = []
    let missed = 0
    a.owner.listen({ changed: ({ uuid }) => heard.push(uuid), missed: () => (missed += 1) })
    const rings = (uuid: string) =>
      until(
        () => {
          b.owner.ring(uuid)
          return heard.includes(uuid)
        },
        { what: `the doorbell of ${uuid}`, timeoutMs: 30_000, everyMs: 200 },
      )
    await rings('before')
    way.swallow()
    await rings('after')
    expect([missed, way.listeners]).toEqual([1, 2])
  } finally {
    for (const store of opened.splice(0)) await store.close().catch(() => undefined)
    await way.stop()
  }
})

test('a node with hundreds of addresses that are gone is heard of, and so are those that rang with it', async () => {
  const url = server.urlOf(await server.database())
  const [a, b] = [await open('a', url), await open('b', url)]
  const gone = new Set<string>()
  const heard = new Set<string>()
  a.owner.listen({
    changed: (bell) => {
      heard.add(bell.uuid)
      for (const address of bell.gone) gone.add(address)
    },
  })
  const addresses = Array.from({ length: 700 }, (_, i) => `52:54:00:00:${i.toString(16).padStart(4, '0')}`)
  await until(
    () => {
      b.owner.ring('long', addresses)
      b.owner.ring('short')
      void b.owner.tell(['x'.repeat(9_000)])
      return gone.size >= addresses.length && heard.has('short')
    },
    { what: 'the doorbells', timeoutMs: 20_000, everyMs: 200 },
  )
  expect([...gone].sort()).toEqual([...addresses].sort())
})
