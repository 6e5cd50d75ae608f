/** `rackward backup`: a whole copy of what a conductor knows, while it runs: its configuration, the keys without which
 *  its records cannot be read, and the database at one moment (SQLite's online backup). Records in PostgreSQL are
 *  backed up by its own tools. Images are not in it: they can be imported again. */
import { copyFile, chmod, mkdir, readdir } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { loadConfig } from '../conductor/config.ts'
import { DATABASE } from '../conductor/start/open-store.ts'
import { refuseMoved } from '../conductor/store/move/mark.ts'
import { markOf } from '../conductor/store/move/mark-of-sqlite.ts'
import { CliError } from './error.ts'

/** The name of the configuration in a backup. */
const CONFIG = 'conductor.yaml'
/** What is made anew at each start, and what says which conductor this is: no other one may say the same. */
const LEFT_OUT = /\.db(-wal|-shm|\.lock.*)?$|\.sock$|\.part$|^conductor\.id$/

export async function backup(options: { config: string; out: string }): Promise<void> {
  const { data, store } = await loadConfig(options.config)
  if (existsSync(options.out))
    throw new CliError(
      'usage',
      `${options.out} is there already: name a directory that is not, so that no backup is overwritten`,
    )
  const source = join(data, store === 'sqlite' ? DATABASE : 'secret.key')
  if (!existsSync(source)) throw new CliError('missing', `${source} is not there: has this conductor ever run?`)
  if (store === 'sqlite') refuseIfMoved(source)
  // Keys of all BMCs are in it.
  await mkdir(options.out, { recursive: true, mode: 0o700 })
  if (store === 'sqlite') await copyDatabase(source, join(options.out, DATABASE))
  for (const entry of await readdir(data, { withFileTypes: true }))
    if (entry.isFile() && !LEFT_OUT.test(entry.name))
      await copyFile(join(data, entry.name), join(options.out, entry.name))
  await copyFile(options.config, join(options.out, CONFIG))
  for (const name of await readdir(options.out)) await chmod(join(options.out, name), 0o600)
  const what = `${store === 'sqlite' ? 'the database, ' : ''}the configuration and the keys of ${data}`
  process.stdout.write(`${options.out}: ${what}; keep it as safe as the BMC passwords in it\n`)
  if (store !== 'sqlite')
    process.stdout.write(
      `the records are in PostgreSQL: pg_dump --format=custom --file=FILE '${store.postgres.url}'; keep them apart from the keys\n`,
    )
}

async function copyDatabase(from: string, to: string): Promise<void> {
  const database = new Database(from, { readonly: true, fileMustExist: true })
  try {
    await database.backup(to)
  } finally {
    database.close()
  }
}

/** A copy of what may no longer be used would be no backup. */
function refuseIfMoved(path: string): void {
  const database = new Database(path, { readonly: true, fileMustExist: true })
  try {
    refuseMoved(markOf(database))
  } finally {
    database.close()
  }
}
