/** URLs of a database with one server or several, and which of the servers is asked. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Connections, serversOf } from '../../conductor/store/postgres/connect.ts'
import { Servers } from '../../conductor/store/postgres/servers.ts'
import { Timelines } from '../../conductor/store/postgres/timeline.ts'
import { databaseUrl, urlFlaw } from '../../conductor/store/postgres/url.ts'
import { Postgres } from './postgres.ts'

test.each([
  ['postgresql://rackward@db1:5432,db2:5433/records?target_session_attrs=read-write', ['db1:5432', 'db2:5433']],
  ['postgresql://rackward@db1,[2001:db8::1]:6432/records', ['db1:', '2001:db8::1:6432']],
  ['postgresql:///records?host=/run/a,/run/b&port=5432&user=rackward', ['/run/a:5432', '/run/b:5432']],
  ['postgresql:///records?host=/run/a,/run/b&port=1,2&user=rackward', ['/run/a:1', '/run/b:2']],
  ['postgresql://rackward@db1:5432/records', ['db1:5432']],
])('%s names its servers', (text, wanted) => {
  expect(urlFlaw(text)).toBeUndefined()
  const { endpoints, user, database } = databaseUrl(text)
  expect(endpoints.map(({ host, port }) => `${host}:${port ?? ''}`)).toEqual(wanted)
  expect([user, database]).toEqual(['rackward', 'records'])
})

test.each([
  ['postgresql://a@h1,h2/d?host=/run', /two forms/],
  ['postgresql:///d?host=/a,/b&port=1,2,3', /as many ports as hosts/],
  ['postgresql:///d?host=/a&port=0', /port/],
  ['postgresql://a@h1,,h2/d', /not a URL/],
  ['postgresql://a@h1:99999,h2/d', /not a URL/],
  ['postgresql://a@h1,h2/d?target_session_attrs=any', /read-write/],
  ['postgresql://a@h1,h2/d?target_session_attrs=standby', /read-write/],
  ['postgresql://a:secret@h1,h2/d', /passwordFile/],
  ['postgresql://a@h1,h2/d?sslmode=disable', /sslmode/],
  ['postgresql://a@h1,h2/', /no database/],
  ['postgresql://%zz@h1/d', /%/],
  ['postgresql://a@h1/%e0', /%/],
  [`postgresql://a@${Array.from({ length: 17 }, (_, n) => `h${n}`).join()}/d`, /more than 16/],
])('%s is refused', (text, why) => {
  expect(urlFlaw(text)).toMatch(why)
})

test('whatever stands there is taken apart or refused, and nothing throws', () => {
  const text = fc.oneof(
    fc.string(),
    fc.string().map((one) => `postgresql://${one}/d`),
    fc.webUrl(),
  )
  fc.assert(
    fc.property(text, (one) => {
      if (urlFlaw(one) === undefined) expect(databaseUrl(one).endpoints.length).toBeGreaterThan(0)
    }),
  )
})

test('a failure that is told twice of one server passes over no other', () => {
  const servers = new Servers([{ host: 'a' }, { host: 'b' }, { host: 'c' }])
  servers.failed(0)
  servers.failed(0)
  expect(servers.endpoint).toEqual({ host: 'b' })
  servers.failed(1)
  servers.failed(2)
  expect(servers.endpoint).toEqual({ host: 'a' })
})

test('a server that does not tell its cluster is asked for the rest', async () => {
  const asked: string[] = []
  const query = (text: string) => {
    asked.push(text)
    if (text.includes('pg_control_system'))
      return Promise.reject(Object.assign(new Error('refused'), { code: '42501' }))
    return Promise.resolve({ rows: [{ isReadOnly: false, timeline: '00000002', system: null }] })
  }
  await new Servers([{}]).prove({ query } as never)
  expect(asked).toHaveLength(2)
})

test('a file that does not say which server was the primary is refused', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-timeline-'))
  const path = join(dir, 'timeline.json')
  try {
    for (const text of ['', '{}', '{"system":1,"number":2}', '{"system":"1","number":null}']) {
      await writeFile(path, text)
      await expect(Timelines.open(path)).rejects.toMatchObject({ code: 'config.invalid' })
    }
    const timelines = new Timelines(path)
    await timelines.take({ system: '7', number: 3 })
    await timelines.take({ system: '8', number: 1 })
    await expect(Timelines.open(path).then((again) => again.take({ system: '8', number: 0 }))).rejects.toMatchObject({
      code: 'store.broken',
      detail: expect.stringContaining(path) as string,
    })
    // What cannot be kept is known for now.
    await rm(dir, { recursive: true })
    await timelines.take({ system: '8', number: 4 })
    await expect(timelines.take({ system: '8', number: 3 })).rejects.toMatchObject({ code: 'store.broken' })
  } finally {
    await rm(dir, { recursive: true, force: true })
  }
})

let primary: Postgres
let standby: Postgres
beforeAll(async () => {
  primary = await Postgres.start()
  standby = await primary.standby()
}, 90_000)
afterAll(async () => {
  await standby.stop()
  await primary.stop()
})

test('the primary is found wherever it stands, also after a failover, and an old primary is refused', async () => {
  const of = (url: string) => new Connections({ url, connections: 2 })
  const dir = await mkdtemp(join(tmpdir(), 'rackward-timeline-'))
  const file = join(dir, 'timeline.json')
  /** As one that remembers, each time it starts. */
  const started = async (url: string) =>
    new Connections({ url, connections: 1 }, serversOf(url, await Timelines.open(file)))
  const data = async (connections: Connections) =>
    (await connections.rows<{ dir: string }>({ text: "SELECT current_setting('unix_socket_directories') AS dir" }))[0]
      ?.dir
  const [list, single] = [of(standby.urlOf('postgres', primary)), of(primary.urlOf('postgres'))]
  const onlyStandby = of(`postgresql:///postgres?host=${standby.dir},/nowhere&user=rackward`)
  try {
    expect(await data(list)).toBe(primary.dir)
    expect(await data(single)).toBe(primary.dir)
    await expect(onlyStandby.rows({ text: 'SELECT 1' })).rejects.toMatchObject({
      code: 'store.broken',
      detail: expect.stringMatching(/read-only standby.*nowhere.*no database server/) as string,
    })

    const before = await started(primary.urlOf('postgres'))
    expect(await data(before)).toBe(primary.dir)
    await before.close()
    await primary.kill('SIGKILL')
    await standby.promote()
    // The statement whose connection broke fails; its like are given to the new primary.
    await data(list).catch(() => undefined)
    expect(await data(list)).toBe(standby.dir)
    const heard = await list.alone(() => undefined)
    expect(list.isCurrent(heard)).toBe(true)
    await heard.end()

    // Comes back without having heard of the other one.
    await primary.run()
    const after = await started(standby.urlOf('postgres'))
    expect(await data(after)).toBe(standby.dir)
    await after.close()
    expect(JSON.parse(await readFile(file, 'utf8'))).toMatchObject({ number: 2 })
    const restarted = await started(primary.urlOf('postgres'))
    await expect(data(restarted)).rejects.toMatchObject({
      code: 'store.broken',
      detail: expect.stringContaining('a former primary') as string,
    })
    await restarted.close()
    const both = of(standby.urlOf('postgres', primary))
    expect(await data(both)).toBe(standby.dir)
    await standby.kill()
    await data(both).catch(() => undefined)
    await expect(data(both)).rejects.toMatchObject({ detail: expect.stringContaining('a former primary') as string })
    await both.close()
  } finally {
    for (const connections of [list, single, onlyStandby]) await connections.close()
    await rm(dir, { recursive: true, force: true })
  }
}, 60_000)
