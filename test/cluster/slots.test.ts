/** Conductors that share one PostgreSQL by slots: who has which, what a lost slot may still write, and what the
 *  doorbells tell. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest'
import { agentIdentity } from '../../conductor/agents/certificate.ts'
import { shareIdentity } from '../../conductor/boot/shared-identity.ts'
import { newNode } from '../../conductor/node/record.ts'
import { mayAct } from '../../conductor/holding.ts'
import { openPostgres, type PostgresStore } from '../../conductor/store/postgres/store.ts'
import { SLOTS, slotOf } from '../../conductor/store/slot.ts'
import { monotonicClock, systemClock, until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { Postgres } from '../conductor/postgres.ts'
import { LIMITS, SEAL } from '../conductor/store-conformance/bench.ts'

let server: Postgres
let database = ''
let opened: PostgresStore[] = []
beforeAll(async () => {
  server = await Postgres.start()
}, 60_000)
afterAll(() => server.stop())
beforeEach(async () => {
  database = await server.database()
})
afterEach(async () => {
  for (const store of opened) await store.close().catch(() => undefined)
  opened = []
})

const open = async (name: string, more: { group?: string; hostname?: string; alone?: boolean } = {}) => {
  const { group = '', hostname = name, alone = false } = more
  const store = await openPostgres(
    { url: server.urlOf(database), connections: 4 },
    {
      clock: systemClock,
      monotonic: monotonicClock,
      limits: LIMITS,
      seal: SEAL,
      conductor: name,
      shared: alone ? undefined : { hostname, group },
    },
  )
  opened.push(store)
  return store
}
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
/** One node of each slot. */
const SAMPLE = Array.from({ length: SLOTS }, (_, slot) => {
  for (let n = 0; ; n += 1) if (slotOf(uuid(n)) === slot) return uuid(n)
})
const mine = (store: PostgresStore, group?: string) =>
  SAMPLE.filter((one) => store.owner.mine({ uuid: one, ...(group === undefined ? {} : { conductorGroup: group }) }))
const has = (store: PostgresStore, count: number, group?: string) =>
  until(() => mine(store, group).length === count, { what: `${count} slots`, timeoutMs: 40_000, everyMs: 50 })
const first = (store: PostgresStore) => mine(store)[0] as string

test('the column of the database is the slot that conductors compute, also of rows of the release before', async () => {
  const store = await open('a')
  for (const one of SAMPLE) await store.addNode(newNode({ uuid: one, driver: 'ipmi' }, 1))
  const rows = await server.sql(database, 'SELECT uuid, slot FROM nodes')
  expect(rows).toHaveLength(SLOTS)
  for (const row of rows) expect(row.slot).toBe(slotOf(String(row.uuid)))
})

test('a second one gets its half at once, a third one its third, and who leaves in order is replaced at once', async () => {
  const a = await open('a')
  expect(mine(a)).toHaveLength(SLOTS)
  const b = await open('b')
  await has(b, 32)
  const c = await open('c')
  await has(c, 21)
  await has(a, 22)
  await has(b, 21)
  const everything = [a, b, c].flatMap((store) => mine(store))
  expect(new Set(everything).size).toBe(SLOTS)

  const leftAtMs = monotonicClock.now()
  await b.close()
  await has(a, 32)
  await has(c, 32)
  // A lease and its quiet time would be 17 s.
  expect(monotonicClock.now() - leftAtMs).toBeLessThan(8_000)
})

test('each duty has one conductor', async () => {
  const stores = [await open('a'), await open('b'), await open('c')]
  const duties = ['allocations', 'housekeeping', 'webhooks'] as const
  const holders = () => stores.map((store) => duties.filter((duty) => store.owner.holds(duty)))
  await until(() => holders().every((held) => held.length === 1), { what: 'one duty each', timeoutMs: 20_000 })
  expect(holders().flat().sort()).toEqual([...duties])
})

test('groups do not share nodes, and a group without a living conductor is seen', async () => {
  const a = await open('a', { group: 'row-1' })
  const b = await open('b', { group: 'row-2' })
  await has(a, SLOTS, 'row-1')
  await has(b, SLOTS, 'row-2')
  expect([mine(a, 'row-2'), mine(a), mine(b, 'row-1')]).toEqual([[], [], []])
  // As who hands them on has them.
  const { holderOf: holder, elsewhere } = a.owner
  const holderOf = (conductorGroup: string) => holder({ uuid: uuid(1), conductorGroup })
  await until(() => holderOf('row-2')?.hostname === 'b', { what: 'the holder', timeoutMs: 20_000 })
  expect(holderOf('row-1')).toEqual({ hostname: 'a', living: 1 })
  expect(holderOf('row-3')).toEqual({ hostname: null, living: 0 })
  expect(elsewhere({ uuid: uuid(1), conductorGroup: 'row-2' })).toEqual(['b'])
})

test('what a lost slot still writes is refused and changes nothing, and so is its next command to a BMC', async () => {
  const a = await open('a')
  const one = first(a)
  await a.addNode(newNode({ uuid: one, driver: 'ipmi' }, 1))
  const node = await a.node(one)
  await a.owner.holding({ uuid: one }, async () => {
    await mayAct()
    const before = await a.putNode({ ...node!, extra: { owner: true } })
    await server.sql(
      database,
      "UPDATE slots SET owner = 'z', token = token + 1, until = clock_timestamp() + interval '1 h'",
    )
    await expect(mayAct()).rejects.toMatchObject({ code: 'store.locked' })
    await expect(a.putNode({ ...before, extra: { late: true } })).rejects.toMatchObject({ code: 'store.locked' })
    await expect(a.journal.add({ atMs: 1, nodeUuid: one, kind: 'late', detail: {} })).rejects.toMatchObject({
      code: 'store.locked',
    })
  })
  // At once, and not with the next renewal.
  expect(a.owner.mine({ uuid: one })).toBe(false)
  await expect(a.owner.holding({ uuid: one }, async () => 1)).rejects.toMatchObject({ code: 'store.locked' })
  const now = await a.node(one)
  expect(now?.extra).toEqual({ owner: true })
  expect(await a.journal.after(0, { kinds: ['late'] }, 10)).toEqual([])
  // A change that a user asked for compares the version, and needs no slot.
  expect((await a.putNode({ ...now!, extra: { user: true } })).extra).toEqual({ user: true })
})

test('slots of a conductor that died are taken when their lease and the quiet time are over, with another token', async () => {
  await (await open('a')).close()
  await server.sql(
    database,
    "UPDATE slots SET owner = 'dead', token = 7, until = clock_timestamp() + interval '2 s' WHERE grp = '' AND id < 40",
  )
  const endMs = monotonicClock.now() + 7_000
  const a = await open('a')
  expect(mine(a)).toEqual(SAMPLE.slice(40))
  await has(a, SLOTS)
  expect(monotonicClock.now()).toBeGreaterThan(endMs - 200)
  expect(monotonicClock.now()).toBeLessThan(endMs + 10_000)
  const tokens = await server.sql(database, "SELECT DISTINCT token::int FROM slots WHERE grp = '' AND id < 40")
  expect(tokens).toEqual([{ token: 8 }])
})

test('one that works alone and those that share wait for each other', async () => {
  const alone = await open('alone', { alone: true })
  const waiting = open('a')
  const early = await Promise.race([waiting.then(() => 'open'), systemClock.sleep(1_500).then(() => 'waits')])
  expect(early).toBe('waits')
  await alone.close()
  const a = await waiting
  await has(a, SLOTS)
  const second = open('alone', { alone: true })
  const still = await Promise.race([second.then(() => 'open'), systemClock.sleep(1_500).then(() => 'waits')])
  expect(still).toBe('waits')
  await a.close()
  await second
})

test('two of one host name do not work together', async () => {
  await open('a', { hostname: 'rack' })
  await expect(open('b', { hostname: 'rack' })).rejects.toMatchObject({
    code: 'store.locked',
    detail: expect.stringContaining('rack') as string,
  })
})

test('a change is heard by the others, with the addresses that are gone, and not by who made it', async () => {
  const [a, b] = [await open('a'), await open('b')]
  const heard: string[] = []
  for (const [name, store] of [
    ['a', a],
    ['b', b],
  ] as const)
    store.owner.listen({ changed: ({ uuid: of, gone }) => heard.push(`${name} ${of} ${gone.join()}`) })
  await until(
    () => {
      a.owner.ring(uuid(1), ['52:54:00:00:00:01'])
      a.owner.ring(uuid(1), ['52:54:00:00:00:02'])
      return heard.length > 0
    },
    { what: 'the doorbell', timeoutMs: 20_000, everyMs: 200 },
  )
  expect(new Set(heard)).toEqual(new Set([`b ${uuid(1)} 52:54:00:00:00:01,52:54:00:00:00:02`]))
})

test('the first secret of a name is kept for all, sealed', async () => {
  const [a, b] = [await open('a'), await open('b')]
  const kept = await Promise.all([
    a.keepSecret?.('pin', Buffer.from('first')),
    b.keepSecret?.('pin', Buffer.from('second')),
  ])
  expect(kept[0]).toEqual(kept[1])
  expect(await b.keepSecret?.('pin', Buffer.from('third'))).toEqual(kept[0])
  const [row] = await server.sql(database, 'SELECT meta::text AS whole FROM meta WHERE name LIKE $1', ['%pin'])
  expect(row?.whole).not.toMatch(/first|second/)
})

test('conductors of one database have the agent certificate and the boot key of the first one', async () => {
  const [a, b] = [await open('a'), await open('b')]
  const dirs = await Promise.all([0, 1].map(() => mkdtemp(join(tmpdir(), 'rackward-identity-'))))
  const [first = '', second = ''] = dirs
  try {
    await shareIdentity({ data: first, random: systemRandom }, a.keepSecret)
    await shareIdentity({ data: second, random: systemRandom }, b.keepSecret)
    for (const name of ['boot.key', 'agent.key', 'agent.crt'])
      expect(await readFile(join(second, name))).toEqual(await readFile(join(first, name)))
    expect((await agentIdentity(second)).pin).toBe((await agentIdentity(first)).pin)
    expect((await stat(join(second, 'agent.key'))).mode & 0o777).toBe(0o600)
  } finally {
    for (const dir of dirs) await rm(dir, { recursive: true })
  }
})
