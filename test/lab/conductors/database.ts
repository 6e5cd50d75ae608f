/** PostgreSQL of `npm run lab -- --conductors N`: a primary and a synchronous standby, with Debian's programs and
 *  nothing of Debian's own cluster. They speak by unix sockets alone, so that no server of the rack reaches them. */
import { chown, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../../kit/clock.ts'
import { run } from '../../../kit/run.ts'
import { postgresProgram, postgresUser } from '../../conductor/postgres.ts'
import { databaseDir, type Rack } from '../rack.ts'
import { sh } from '../shell.ts'

const NAME = 'rackward'
const START_MS = 60_000
const SETTINGS = { listen_addresses: '', max_connections: '100', synchronous_commit: 'on' }
/** PostgreSQL refuses to be started by root. */
const AS_POSTGRES = ['setpriv', '--reuid=postgres', '--regid=postgres', '--clear-groups']

export class Database {
  /** Not inside of the rack's, where another user than root may go nowhere. */
  readonly dir: string
  private readonly rack: Rack

  constructor(rack: Rack) {
    this.rack = rack
    this.dir = databaseDir(rack.dir)
  }

  get url(): string {
    const sockets = ['primary', 'standby'].map((name) => this.socketDir(name))
    return `postgresql:///${NAME}?host=${sockets.join()}&port=5432&user=${NAME}&target_session_attrs=read-write`
  }

  async up(): Promise<void> {
    await this.folder(this.dir)
    for (const name of ['primary', 'standby']) await this.folder(this.socketDir(name))
    const trusted = ['-U', NAME, '-A', 'trust', '-E', 'UTF8', '--no-locale', '--no-sync']
    await this.tool('initdb', ['-D', this.dataDir('primary'), ...trusted])
    await this.start('primary')
    await this.sql('postgres', `CREATE DATABASE ${NAME}`)
    const from = `host=${this.socketDir('primary')} user=${NAME} application_name=standby`
    await this.tool('pg_basebackup', ['-d', from, '-D', this.dataDir('standby'), '-R', '-c', 'fast', '--no-sync'])
    await this.start('standby')
    await this.sql('postgres', "ALTER SYSTEM SET synchronous_standby_names = 'standby'")
    await this.sql('postgres', 'SELECT pg_reload_conf()')
    await until(
      async () => (await this.sql('postgres', 'SELECT sync_state FROM pg_stat_replication')).trim() === 'sync',
      { what: 'the standby to be synchronous', timeoutMs: START_MS, everyMs: 200 },
    )
  }

  private dataDir = (name: string) => join(this.dir, `${name}-data`)
  private socketDir = (name: string) => join(this.dir, name)

  private async folder(path: string): Promise<void> {
    await mkdir(path, { mode: 0o700 })
    const user = await postgresUser()
    if (user) await chown(path, user.uid, user.gid)
  }

  /** Inside the rack's namespace, so that it ends with the rack. */
  private async start(name: string): Promise<void> {
    const options = Object.entries({ ...SETTINGS, unix_socket_directories: this.socketDir(name) })
    const words = options.flatMap(([key, value]) => ['-c', `${key}=${value}`])
    const server = [await postgresProgram('postgres'), '-D', this.dataDir(name), ...words]
    this.rack.launch(join(this.rack.dir, `postgres-${name}.log`), [...AS_POSTGRES, ...server])
    const ask = await this.psql(name, 'postgres', 'SELECT 1')
    await until(async () => (await run(ask, { timeoutMs: 5_000 })).code === 0, {
      what: `PostgreSQL (${this.rack.dir}/postgres-${name}.log)`,
      timeoutMs: START_MS,
      everyMs: 200,
    })
  }

  private tool = async (name: string, words: readonly string[]): Promise<string> =>
    sh([...AS_POSTGRES, await postgresProgram(name), ...words], START_MS)

  private psql = async (server: string, database: string, text: string): Promise<string[]> => {
    const at = ['-h', this.socketDir(server), '-U', NAME, '-d', database]
    return [...AS_POSTGRES, await postgresProgram('psql'), '-X', '-A', '-t', ...at, '-c', text]
  }

  private sql = async (database: string, text: string): Promise<string> =>
    sh(await this.psql('primary', database, text))
}
