/** Backups: of records in PostgreSQL with its own tools, and the keys and the configuration with ours; not the name of
 *  this conductor, and not records that were moved. */
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { backup } from '../../cli/backup.ts'
import { newNode } from '../../conductor/node/record.ts'
import { openPostgresOf } from '../../conductor/start/open-store.ts'
import type { Store } from '../../conductor/store/port.ts'
import { loadSeal } from '../../conductor/store/secrets.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { Postgres } from '../conductor/postgres.ts'
import { LIMITS, uuid } from '../conductor/store-conformance/bench.ts'
import { MoveBench } from '../conductor/store-move/bench.ts'

let dir = ''
let server: Postgres
beforeAll(async () => {
  server = await Postgres.start()
  dir = await mkdtemp(join(tmpdir(), 'rackward-backup-'))
}, 60_000)
afterAll(async () => {
  await rm(dir, { recursive: true })
  await server.stop()
})

test('the keys are copied, and what another conductor must not have is not', async () => {
  const data = join(dir, 'data')
  await mkdir(data)
  for (const name of ['secret.key', 'boot.key', 'conductor.id', 'rackward.db.lock'])
    await writeFile(join(data, name), 'x')
  const config = join(dir, 'conductor.yaml')
  const store = { postgres: { url: 'postgresql://rackward@db.example/rackward' } }
  const text = { data, images: { store: join(dir, 'images') }, api: { auth: { strategy: 'noauth' } }, store }
  await writeFile(config, JSON.stringify(text))
  const out = join(dir, 'out')
  await backup({ config, out })
  expect((await readdir(out)).sort()).toEqual(['boot.key', 'conductor.yaml', 'secret.key'])
  expect(await readFile(join(out, 'conductor.yaml'), 'utf8')).toBe(await readFile(config, 'utf8'))
  for (const name of await readdir(out)) expect((await stat(join(out, name))).mode & 0o077).toBe(0)
  await rm(join(data, 'secret.key'))
  await expect(backup({ config, out: join(dir, 'other') })).rejects.toThrow('has this conductor ever run')
})

const yamlOf = ({ config }: MoveBench, store: unknown = config.store) =>
  stringify({ data: config.data, images: { store: config.images.store }, api: { auth: { strategy: 'noauth' } }, store })

test('pg_dump of a living conductor and our backup, restored elsewhere: every record, secret and number', async () => {
  const bench = await MoveBench.make(server)
  try {
    await writeFile(join(bench.dir, 'conductor.yaml'), yamlOf(bench))
    const out = join(bench.dir, 'out')
    const dump = join(server.dir, 'dump')
    const secret = { driverInfo: { ipmi_address: '192.0.2.1', ipmi_password: 'correct horse' } }
    await bench.postgres(async (store) => {
      await store.addNode({ ...newNode({ uuid: uuid(1), driver: 'ipmi' }, 1), ...secret, vifs: { v: {} as never } })
      const writing = addMany(store)
      await backup({ config: join(bench.dir, 'conductor.yaml'), out })
      await server.tool('pg_dump', ['--format=custom', `--file=${dump}`, server.urlOf(bench.database)])
      await writing
    })

    const restored = await server.database()
    await server.tool('pg_restore', ['--dbname', server.urlOf(restored), dump])
    // The dump knows a living conductor, whose lease would be waited for.
    await server.sql(restored, "UPDATE leases SET until = '-infinity'")
    const seal = await loadSeal(join(out, 'secret.key'), systemRandom)
    const open = openPostgresOf(
      { url: server.urlOf(restored), tls: 'off', conductors: 'one', connections: 4 },
      { monotonic: monotonicClock, random: systemRandom, hostname: 'test', group: '' },
    )
    const { store, close } = await open(join(out, 'rackward.db'), seal, { clock: systemClock, limits: LIMITS })
    expect((await store.node(uuid(1)))?.driverInfo).toEqual(secret.driverInfo)
    expect((await store.nodes({ vif: 'v' }, { limit: 5, sortKey: 'id', descending: false })).length).toBe(1)
    expect(await store.survey()).toEqual([])
    // One moment: each node with its event, and the numbers go on.
    const added = await store.journal.after(0, { kinds: ['node-added'] }, 1_000)
    expect(added.length).toBe((await store.everyNode()).length)
    const last = await store.journal.lastSeq()
    await store.addNode(newNode({ uuid: uuid(900), driver: 'ipmi' }, 1))
    expect(await store.journal.lastSeq()).toBe(last + 1)
    await close()
  } finally {
    await bench.close()
  }
})

async function addMany(store: Store): Promise<void> {
  for (let n = 2; n < 100; n += 1) await store.addNode(newNode({ uuid: uuid(n), driver: 'ipmi' }, n))
}

test('records that were moved are not backed up as if they were still used', async () => {
  const bench = await MoveBench.make(server)
  try {
    await bench.sqlite((store) => store.addNode(newNode({ uuid: uuid(1), driver: 'ipmi' }, 1)))
    await bench.move('sqlite')
    await writeFile(join(bench.dir, 'conductor.yaml'), yamlOf(bench, 'sqlite'))
    const backing = backup({ config: join(bench.dir, 'conductor.yaml'), out: join(bench.dir, 'out') })
    await expect(backing).rejects.toMatchObject({ code: 'store.migrated' })
    expect(await readdir(bench.dir)).not.toContain('out')
  } finally {
    await bench.close()
  }
})
