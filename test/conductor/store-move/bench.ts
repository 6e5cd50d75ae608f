/** Two stores and the move between them: a data directory, a PostgreSQL, and random records in whatever form a store
 *  may hold. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { devConfig, type Config } from '../../../conductor/config.ts'
import { moveStore } from '../../../conductor/start/move-store.ts'
import { openPostgresOf } from '../../../conductor/start/open-store.ts'
import type { MoveSide } from '../../../conductor/store/move/side.ts'
import { SqliteStore } from '../../../conductor/store/sqlite.ts'
import type { Store } from '../../../conductor/store/port.ts'
import { monotonicClock, systemClock } from '../../../kit/clock.ts'
import { systemRandom } from '../../../kit/random.ts'
import type { Postgres } from '../postgres.ts'
import { LIMITS, SEAL } from '../store-conformance/bench.ts'

const CLOCKS = { clock: systemClock, monotonic: monotonicClock }

export class MoveBench {
  readonly dir: string
  readonly file: string
  readonly config: Config
  readonly lines: string[] = []
  readonly database: string

  private constructor(dir: string, config: Config, database: string) {
    this.dir = dir
    this.file = join(config.data, 'rackward.db')
    this.config = config
    this.database = database
  }

  static async make(postgres: Postgres): Promise<MoveBench> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-move-'))
    const data = join(dir, 'data')
    await mkdir(data, { mode: 0o700 })
    // The key of SEAL.
    await writeFile(join(data, 'secret.key'), `${Buffer.alloc(32, 1).toString('hex')}\n`, { mode: 0o600 })
    const database = await postgres.database()
    const store = {
      postgres: { url: postgres.urlOf(database), tls: 'off', conductors: 'one', connections: 4 },
    } as const
    return new MoveBench(dir, { ...devConfig({ port: 0, data }), store }, database)
  }

  move = (from: 'sqlite' | 'postgres', wrap?: (side: MoveSide) => MoveSide) =>
    moveStore({
      config: this.config,
      from,
      ...CLOCKS,
      random: systemRandom,
      say: (line) => this.lines.push(line),
      ...(wrap ? { wrap } : {}),
    })

  sqlite = async <T>(work: (store: Store) => Promise<T>): Promise<T> => {
    const store = new SqliteStore(this.file, SEAL, { limits: LIMITS })
    try {
      return await work(store)
    } finally {
      await store.close()
    }
  }

  postgres = async <T>(work: (store: Store) => Promise<T>): Promise<T> => {
    if (this.config.store === 'sqlite') throw new Error('it is PostgreSQL')
    const open = openPostgresOf(this.config.store.postgres, {
      monotonic: monotonicClock,
      random: systemRandom,
      hostname: 'test',
      group: '',
    })
    const { store, close } = await open(this.file, SEAL, { clock: systemClock, limits: LIMITS })
    try {
      return await work(store)
    } finally {
      await close()
    }
  }

  /** Everything in the file but the mark, by table. */
  dump(file = this.file): Record<string, unknown[]> {
    const db = new Database(file, { readonly: true })
    const names = db.prepare("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").all() as {
      name: string
    }[]
    const dumped = Object.fromEntries(
      names.map(({ name }) => {
        const rows = db.prepare(`SELECT * FROM ${name} ${name === 'meta' ? "WHERE name <> 'move'" : ''}`).all()
        return [name, rows.map((row) => JSON.stringify(row)).sort()]
      }),
    )
    db.close()
    return dumped
  }

  close = (): Promise<void> => rm(this.dir, { recursive: true, force: true })
}
