/** A real PostgreSQL of a test's own: a cluster in a temporary directory, on a unix socket, and a database for each
 *  store. */
import { execFile, spawn, type ChildProcess } from 'node:child_process'
import { chown, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import Database from 'better-sqlite3'
import pg from 'pg'
import type { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'

const execute = promisify(execFile)
const DEBIAN = '/usr/lib/postgresql'

/** PostgreSQL refuses to be started by root. */
export async function postgresUser(): Promise<{ uid: number; gid: number } | undefined> {
  if (process.getuid?.() !== 0) return undefined
  const id = async (flag: string) => Number((await execute('id', [flag, 'postgres'])).stdout)
  return { uid: await id('-u'), gid: await id('-g') }
}

export async function postgresProgram(name: string): Promise<string> {
  const versions = (await readdir(DEBIAN)).sort((a, b) => Number(b) - Number(a))
  return join(DEBIAN, versions[0] ?? '', 'bin', name)
}

export class Postgres {
  readonly dir: string
  private server: ChildProcess | undefined
  private readonly user: { uid: number; gid: number } | undefined
  private databases = 0
  private port = 5432

  private constructor(dir: string, user: Postgres['user']) {
    this.dir = dir
    this.user = user
  }

  /** `initdb` answers questions of trust by itself: the socket stands in a directory of mode 0700. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-pg-'))
    const user = await postgresUser()
    if (user) await chown(dir, user.uid, user.gid)
    const postgres = new Postgres(dir, user)
    try {
      await execute(
        await postgresProgram('initdb'),
        ['-D', join(dir, 'data'), '-U', 'rackward', '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync'],
        { ...user, cwd: dir },
      )
      await postgres.run(settings)
      return postgres
    } catch (error) {
      await postgres.stop()
      throw error
    }
  }

  /** A standby that has all of its commits: from now on each of them waits for it. */
  async standby(settings: Readonly<Record<string, string>> = {}): Promise<Postgres> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-pg-'))
    if (this.user) await chown(dir, this.user.uid, this.user.gid)
    const standby = new Postgres(dir, this.user)
    try {
      const from = `host=${this.dir} port=${this.port} user=rackward application_name=standby`
      await this.tool('pg_basebackup', ['-d', from, '-D', join(dir, 'data'), '-R', '-c', 'fast', '--no-sync'])
      await standby.run(settings)
      await this.sql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
      await this.sql('postgres', 'SELECT pg_reload_conf()')
      await until(
        async () =>
          (await this.sql('postgres', 'SELECT sync_state FROM pg_stat_replication'))[0]?.sync_state === 'sync',
        { what: 'the standby to be synchronous', timeoutMs: 30_000, everyMs: 50 },
      )
      return standby
    } catch (error) {
      await standby.stop()
      throw error
    }
  }

  promote = (): Promise<void> => this.tool('pg_ctl', ['promote', '-w', '-D', join(this.dir, 'data')])

  /** The server itself; also after `kill`. */
  async run(settings: Readonly<Record<string, string>> = {}): Promise<void> {
    const options = {
      listen_addresses: '',
      unix_socket_directories: this.dir,
      fsync: 'off',
      max_connections: '60',
      ...settings,
    }
    const argv = Object.entries(options).flatMap(([name, value]) => ['-c', `${name}=${value}`])
    const server = spawn(await postgresProgram('postgres'), ['-D', join(this.dir, 'data'), ...argv], {
      ...this.user,
      cwd: this.dir,
      stdio: 'ignore',
    })
    this.server = server
    this.port = Number(settings.port ?? 5432)
    await until(
      async () => {
        if (server.exitCode !== null) throw new Error(`PostgreSQL ended with ${server.exitCode}`)
        return this.sql('postgres', 'SELECT 1').then(
          () => true,
          () => undefined,
        )
      },
      { what: 'PostgreSQL to answer', timeoutMs: 30_000, everyMs: 50 },
    )
  }

  /** With the others: of whichever is the primary. */
  urlOf = (database: string, ...others: readonly Postgres[]): string =>
    `postgresql:///${database}?host=${[this, ...others].map(({ dir }) => dir).join()}&port=${this.port}&user=rackward`

  /** A file that the server can read, and nobody else. */
  async file(name: string, text: string): Promise<string> {
    const path = join(this.dir, name)
    await writeFile(path, text, { mode: 0o600 })
    if (this.user) await chown(path, this.user.uid, this.user.gid)
    return path
  }

  /** A program of PostgreSQL, as the user of the server. */
  async tool(name: string, argv: readonly string[]): Promise<void> {
    await execute(await postgresProgram(name), [...argv], { ...this.user, cwd: this.dir })
  }

  /** A folder of the server's own. */
  async folder(name: string): Promise<string> {
    const path = join(this.dir, name)
    await mkdir(path, { recursive: true, mode: 0o700 })
    if (this.user) await chown(path, this.user.uid, this.user.gid)
    return path
  }

  /** An empty database. */
  async database(options = ''): Promise<string> {
    this.databases += 1
    const name = `test_${this.databases}`
    await this.sql('postgres', `CREATE DATABASE ${name} ${options}`)
    return name
  }

  /** A dump of a database, to be restored by `replace`. */
  async dump(database: string): Promise<string> {
    const file = join(this.dir, `dump-${database}`)
    await this.tool('pg_dump', ['--format=custom', `--file=${file}`, this.urlOf(database)])
    return file
  }

  /** Restores a dump beside the present database, in whose place it comes then: so it goes under running conductors as
   *  well. */
  async replace(database: string, dump: string): Promise<void> {
    const beside = `${database}_restored`
    await this.sql('postgres', `CREATE DATABASE ${beside}`)
    await this.tool('pg_restore', ['--dbname', this.urlOf(beside), dump])
    await this.sql('postgres', `ALTER DATABASE ${database} WITH ALLOW_CONNECTIONS false`)
    await this.sql('postgres', 'SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1', [database])
    const isLeft = () =>
      this.sql('postgres', `ALTER DATABASE ${database} RENAME TO ${database}_lost_${(this.databases += 1)}`).then(
        () => true,
        () => false,
      )
    await until(isLeft, { what: 'the database to be left', timeoutMs: 90_000, everyMs: 50 })
    await this.sql('postgres', `ALTER DATABASE ${beside} RENAME TO ${database}`)
  }

  async sql(database: string, text: string, values: unknown[] = []): Promise<Record<string, unknown>[]> {
    const client = new pg.Client({ connectionString: this.urlOf(database) })
    client.on('error', () => undefined)
    try {
      await client.connect()
      return (await client.query(text, values)).rows as Record<string, unknown>[]
    } finally {
      await client.end()
    }
  }

  /** As a crash: SIGQUIT ends every process of the server at once. After SIGKILL they notice by themselves. */
  async kill(signal: 'SIGQUIT' | 'SIGKILL' = 'SIGQUIT'): Promise<void> {
    const { server } = this
    if (!server || server.exitCode !== null || server.signalCode !== null) return
    const ended = new Promise((resolve) => server.once('exit', resolve))
    server.kill(signal)
    await ended
  }

  async stop(): Promise<void> {
    await this.kill()
    await rm(this.dir, { recursive: true, force: true })
  }
}

/** The store that a test file runs on: SQLite, or with `npm run test:cluster` a PostgreSQL of its own. */
export class StoreBench {
  private postgres: Postgres | undefined
  private name = ''

  async store(): Promise<Config['store']> {
    if (process.env.RACKWARD_TEST_STORE !== 'postgres') return 'sqlite'
    this.postgres ??= await Postgres.start()
    this.name = await this.postgres.database()
    const url = this.postgres.urlOf(this.name)
    return { postgres: { url, tls: 'off', conductors: 'one', connections: 8 } }
  }

  /** A record as it is stored, secrets sealed. */
  async stored(dir: string, table: 'nodes' | 'objects', uuid: string): Promise<{ body: string; sealed: string }> {
    const select = `SELECT body, sealed FROM ${table} WHERE uuid = `
    if (this.postgres) return (await this.postgres.sql(this.name, `${select}$1`, [uuid]))[0] as never
    const db = new Database(join(dir, 'rackward.db'), { readonly: true })
    const row = db.prepare(`${select}?`).get(uuid)
    db.close()
    return row as never
  }

  stop = async (): Promise<void> => this.postgres?.stop()
}
