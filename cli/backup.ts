/** `rackward backup`: a whole copy of what a conductor knows, while it runs: the database at one moment (SQLite's
 *  online backup) and the keys without which it cannot be read; of a database in PostgreSQL the keys alone. Images are
 *  not in it: they can be imported again. */
import { copyFile, chmod, mkdir, readdir } from 'node:fs/promises'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { loadConfig } from '../conductor/config.ts'
import { CliError } from './error.ts'

const DATABASE = 'rackward.db'
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
  // Keys of all BMCs are in it.
  await mkdir(options.out, { recursive: true, mode: 0o700 })
  if (store === 'sqlite') await copyDatabase(source, join(options.out, DATABASE))
  for (const entry of await readdir(data, { withFileTypes: true }))
    if (entry.isFile() && !LEFT_OUT.test(entry.name))
      await copyFile(join(data, entry.name), join(options.out, entry.name))
  for (const name of await readdir(options.out)) await chmod(join(options.out, name), 0o600)
  process.stdout.write(
    store === 'sqlite'
      ? `${options.out}: the database and the keys of ${data}; keep it as safe as the BMC passwords in it\n`
      : `${options.out}: the keys of ${data}; the records are in PostgreSQL: back them up with its own tools, and keep both apart\n`,
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
