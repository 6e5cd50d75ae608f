/** Both stores keep to the same promises. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe } from 'vitest'
import { openPostgres } from '../../conductor/store/postgres/store.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { monotonicClock, systemClock } from '../../kit/clock.ts'
import { Postgres } from './postgres.ts'
import { belongingConformance } from './store-conformance/belongings.ts'
import { Bench, LIMITS, SEAL, type Opened } from './store-conformance/bench.ts'
import { journalConformance } from './store-conformance/journal.ts'
import { masakariConformance } from './store-conformance/masakari.ts'
import { nodeConformance } from './store-conformance/nodes.ts'
import { releaseConformance } from './store-conformance/releases.ts'

function conformance(open: () => Promise<Opened>): void {
  const bench = new Bench(open)
  nodeConformance(bench)
  belongingConformance(bench)
  journalConformance(bench)
  masakariConformance(bench)
  releaseConformance(bench)
}

describe('SQLite', () => {
  let dir = ''
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-conformance-'))
  })
  afterAll(() => rm(dir, { recursive: true }))
  conformance(async () => {
    const store = new SqliteStore(join(dir, 'r.db'), SEAL, { limits: LIMITS })
    return { store, close: () => store.close() }
  })
})

describe('PostgreSQL', () => {
  let postgres: Postgres
  let url = ''
  beforeAll(async () => {
    postgres = await Postgres.start()
    url = postgres.urlOf(await postgres.database())
  }, 60_000)
  afterAll(() => postgres.stop())
  conformance(async () => {
    const clocks = { clock: systemClock, monotonic: monotonicClock }
    const store = await openPostgres({ url, connections: 8 }, { ...clocks, limits: LIMITS, seal: SEAL, conductor: 'a' })
    return { store, close: () => store.close() }
  })
})
