/** `rackward store migrate`: moves all records of a conductor between SQLite and PostgreSQL, and shows what was
 *  compared. */
import { stat } from 'node:fs/promises'
import { loadConfig } from '../conductor/config.ts'
import { moveStore } from '../conductor/start/move-store.ts'
import { monotonicClock, systemClock } from '../kit/clock.ts'
import { systemRandom } from '../kit/random.ts'
import { CliError } from './error.ts'
import { print, tableOf } from './show.ts'

const NEXT = {
  sqlite: 'set `store: sqlite` in the configuration, and start the conductor',
  postgres: 'keep `store.postgres` in the configuration, and start the conductor',
} as const

export async function migrateStore(options: { from: string; to: string; config: string }): Promise<void> {
  const { from, to } = options
  if (from === to || (from !== 'sqlite' && from !== 'postgres') || (to !== 'sqlite' && to !== 'postgres'))
    throw new CliError('usage', '--from and --to: one is sqlite, the other one postgres')
  const config = await loadConfig(options.config)
  await refuseOtherUser(config.data)
  const clocks = { clock: systemClock, monotonic: monotonicClock }
  const report = await moveStore({ config, from, ...clocks, random: systemRandom, say: print })
  if (!report.isNew) return print(`the records were moved before: ${NEXT[to]}`)
  if (report.tables.length > 0)
    print(
      tableOf(
        ['table', 'rows', 'digest in both'],
        report.tables.map(({ name, rows, digest }) => [name, String(rows), digest.slice(0, DIGITS)]),
      ),
    )
  print(`all records are in ${to}, and those in ${from} can no longer be used: ${NEXT[to]}`)
}

const DIGITS = 16

/** What root writes, the conductor could not. */
async function refuseOtherUser(data: string): Promise<void> {
  const owner = (await stat(data).catch(() => undefined))?.uid
  if (owner === undefined) throw new CliError('missing', `${data} is not there: has this conductor ever run?`)
  if (owner !== process.getuid?.())
    throw new CliError('usage', `${data} belongs to user ${owner}: run this as that user (sudo -u '#${owner}' ...)`)
}
