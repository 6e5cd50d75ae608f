/** What a stranger or a reader may repeat as often as he likes stays cheap: refused logins by the hundred thousand, and
 *  the history of a node with thousands of events. */
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { basic, healthWatch, MAX_SILENCE_MS, Victim } from './victim.ts'

const USERS = { root: { role: 'admin' }, eye: { role: 'reader' } } as const
const MAX_GROWTH_BYTES = 120e6

let victim: Victim
beforeAll(async () => {
  victim = await Victim.start({ users: USERS })
}, 60_000)
afterAll(() => victim?.remove())

/** Sends one request many times on one connection, in portions; answers how often each status came. */
async function repeat(text: string, count: number): Promise<Readonly<Record<string, number>>> {
  const { hostname, port } = new URL(victim.base)
  const seen: Record<string, number> = {}
  const socket = connect(Number(port), hostname)
  socket.setEncoding('latin1')
  await once(socket, 'connect')
  let [answered, sent, tail] = [0, 0, '']
  const done = new Promise<void>((resolve, reject) => {
    socket.on('error', reject)
    socket.on('close', () => reject(new Error(`the connection ended after ${answered} answers`)))
    socket.on('data', (chunk: string) => {
      const whole = tail + chunk
      const found = [...whole.matchAll(/HTTP\/1\.1 (\d{3}) /g)]
      for (const [, status = ''] of found) seen[status] = (seen[status] ?? 0) + 1
      const last = found.at(-1)
      tail = last === undefined ? whole.slice(-20) : whole.slice(last.index + last[0].length).slice(-20)
      answered += found.length
      if (answered >= count) return resolve()
      if (answered === sent) more()
    })
  })
  const more = () => {
    const portion = Math.min(PIPELINED, count - sent)
    sent += portion
    socket.write(text.repeat(portion))
  }
  more()
  await done
  socket.removeAllListeners('close')
  socket.destroy()
  return seen
}
const PIPELINED = 500

test('a hundred thousand refused logins grow nothing, and /healthz answers meanwhile', async () => {
  const request = `GET /v1/nodes HTTP/1.1\r\nHost: x\r\nAuthorization: ${basic('eye', 'wrong')}\r\n\r\n`
  await repeat(request, 1_000)
  const before = await victim.rssBytes()

  const watch = healthWatch(victim)
  const startMs = performance.now()
  const seen = await repeat(request, 100_000)
  const minutes = Math.ceil((performance.now() - startMs) / 60_000)
  const silentMs = (await watch.stop()).at(-1) as number
  expect(Object.keys(seen).filter((status) => status !== '401' && status !== '429')).toEqual([])
  // Ten checks a minute; requests that come together with one password share its check, which counts once.
  expect(seen['401'] ?? 0).toBeLessThanOrEqual((1 + minutes) * 10 * PIPELINED)
  expect(seen['429']).toBeGreaterThanOrEqual(50_000)
  expect(silentMs).toBeLessThan(MAX_SILENCE_MS)
  expect((await victim.rssBytes()) - before).toBeLessThan(MAX_GROWTH_BYTES)
}, 120_000)

test('the history of a node with twenty thousand events costs a page at a time', async () => {
  const made = await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'n1' }, { user: 'root' })
  expect(made.status).toBe(201)
  await victim.end('SIGKILL')
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  const insert = db.prepare('INSERT INTO events (at, node_uuid, kind, detail) VALUES (?, ?, ?, ?)')
  db.transaction(() => {
    for (let n = 0; n < 20_000; n += 1)
      insert.run(Date.now(), made.body.uuid, 'error', JSON.stringify({ message: 'x'.repeat(200) }))
  })()
  db.close()
  await victim.restart()

  const watch = healthWatch(victim)
  const statuses = await Promise.all(
    Array.from(
      { length: 40 },
      async () => (await victim.call('GET', '/v1/nodes/n1/history', undefined, { user: 'eye' })).status,
    ),
  )
  const silentMs = (await watch.stop()).at(-1) as number
  expect([...new Set(statuses)]).toEqual([200])
  expect(silentMs).toBeLessThan(MAX_SILENCE_MS)
}, 120_000)
