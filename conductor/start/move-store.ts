/** `rackward store migrate` inside: the two stores of a configuration, held as a conductor holds them, and the move
 *  between them. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import type { Config } from '../config.ts'
import { FROM_POSTGRES, FROM_SQLITE, moveRecords, type MoveReport } from '../store/move/move.ts'
import { PostgresSide } from '../store/move/postgres-side.ts'
import type { MoveSide } from '../store/move/side.ts'
import { SqliteSide } from '../store/move/sqlite-side.ts'
import { takeLock } from '../store/open.ts'
import { loadSeal } from '../store/secrets.ts'
import { hostnameOf } from './context.ts'
import { conductorId, DATABASE, optionsOf } from './open-store.ts'

export interface MoveStoreParts {
  readonly config: Config
  readonly from: 'sqlite' | 'postgres'
  readonly clock: Clock
  readonly monotonic: Clock
  readonly random: Random
  readonly say: (line: string) => void
  /** Something of a test around a side. */
  readonly wrap?: (side: MoveSide) => MoveSide
}

/** Throws `store.locked` while a conductor uses one of the two, and as `moveRecords` does. */
export async function moveStore(parts: MoveStoreParts): Promise<MoveReport> {
  const { config, from, clock, random, say, wrap = (side) => side } = parts
  if (config.store === 'sqlite')
    throw new Fault(
      'config.invalid',
      'store.postgres names no database: set it first, in both directions; the other store is the file in the data directory',
    )
  const keyPath = join(config.data, 'secret.key')
  if (!(await stat(keyPath).catch(() => undefined)))
    throw new Fault('secret.key', `${keyPath} is not there: the records cannot be read without it`)
  const file = join(config.data, DATABASE)
  const lock = takeLock(`${file}.lock`)
  const sides: MoveSide[] = []
  try {
    const seal = await loadSeal(keyPath, random)
    const owner = await conductorId(config.data, hostnameOf(config), random)
    const options = await optionsOf(config.store.postgres)
    const sqlite = new SqliteSide(file, seal)
    sides.push(sqlite)
    const postgres = await PostgresSide.open(options, { seal, clock, monotonic: parts.monotonic, owner })
    sides.push(postgres)
    const [left, right] = from === 'sqlite' ? [sqlite, postgres] : [postgres, sqlite]
    const planOf = from === 'sqlite' ? FROM_SQLITE : FROM_POSTGRES
    return await moveRecords({ from: wrap(left), to: wrap(right), planOf, clock, random, say })
  } finally {
    for (const side of sides) await side.close()
    lock.close()
  }
}
