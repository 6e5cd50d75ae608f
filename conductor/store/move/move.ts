/** Moves all records of one store into another one, which is empty: copied, compared, cut over. It can be killed at any
 *  moment and started again; until the cut-over only the source may be used, and afterwards only the destination. */
import { turn, type Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { Random } from '../../../kit/random.ts'
import { stageOf, type MoveMark, type MoveState } from './mark.ts'
import { planMove, type MovedTable, type StoreSchema } from './plan.ts'
import { Digest, refuseNul, type MovedRow } from './rows.ts'
import type { MoveSide } from './side.ts'

export interface TableReport {
  readonly name: string
  readonly rows: number
  /** SHA-256 over all rows. */
  readonly digest: string
}

export interface MoveReport {
  /** False: it had been done before. */
  readonly isNew: boolean
  /** What was compared; none when it was only finished. */
  readonly tables: readonly TableReport[]
}

export interface MoveParts {
  readonly from: MoveSide
  readonly to: MoveSide
  /** Which of the two schemas is that of SQLite. */
  readonly planOf: (from: StoreSchema, to: StoreSchema) => MovedTable[]
  readonly clock: Clock
  readonly random: Random
  /** Progress, a line each. */
  readonly say: (line: string) => void
}

/** The plans of the two directions. */
export const FROM_SQLITE = planMove
export const FROM_POSTGRES = (postgres: StoreSchema, sqlite: StoreSchema): MovedTable[] => planMove(sqlite, postgres)

const ID_BYTES = 16
/** Between two lines of progress within a table. */
const SAY_EVERY_MS = 2_000

/** Throws `store.migrated` when the records of `from` are elsewhere or `to` is not empty, `store.damaged` when what
 *  arrived is not what left, and what the stores throw. The source may be used as before then. */
export async function moveRecords(parts: MoveParts): Promise<MoveReport> {
  const { from, to, clock, random, say } = parts
  const left = await from.mark()
  const stage = stageOf(left, await to.mark())
  if (stage === 'done') return { isNew: false, tables: [] }
  if (stage === 'finish') {
    await to.setMark({ ...(left as MoveMark), state: 'arrived', other: from.name })
    return { isNew: true, tables: [] }
  }

  const id = stage === 'copy again' ? (left as MoveMark).id : random.bytes(ID_BYTES).toString('hex')
  const mark = (state: MoveState, other: MoveSide) => ({ id, state, other: other.name, atMs: clock.now() })
  if (stage === 'copy again') say('an unfinished move is begun anew')
  await from.prepare()
  if (stage === 'copy') await from.setMark(mark('leaving', to))
  await to.begin(mark('arriving', from), stage === 'copy again')

  const plan = parts.planOf(await from.schema(), await to.schema())
  for (const table of plan) await copyTable(parts, table)
  const counters = await from.counters()
  await to.complete(counters)

  say('comparing')
  const tables: TableReport[] = []
  for (const table of plan) tables.push(await compareTable(parts, table))
  const arrived = await to.counters()
  const differs = Object.entries(counters).find(([name, last]) => arrived[name] !== last)
  if (differs) throw new Fault('store.damaged', `the numbering of ${differs[0]} is not the same in both stores`)

  // Between these two neither may be used: whoever starts this again does the second one.
  await from.setMark(mark('moved', to))
  await to.setMark(mark('arrived', from))
  return { isNew: true, tables }
}

async function copyTable(parts: MoveParts, table: MovedTable): Promise<void> {
  const { from, to, clock, say } = parts
  const count = await from.count(table.name)
  let done = 0
  let saidAtMs = clock.now()
  for await (const rows of pagesOf(from, table)) {
    refuseNul(table, rows)
    await to.write(table, rows)
    done += rows.length
    if (clock.now() - saidAtMs < SAY_EVERY_MS) continue
    saidAtMs = clock.now()
    say(`${table.name}: ${done} of ${count}`)
  }
  say(`${table.name}: ${done} of ${count}`)
}

async function compareTable({ from, to }: MoveParts, table: MovedTable): Promise<TableReport> {
  const [left, came] = [await digestOf(from, table), await digestOf(to, table)]
  if (left.rows !== came.rows || String(left) !== String(came))
    throw new Fault(
      'store.damaged',
      `${table.name}: what arrived (${came.rows} rows) is not what left (${left.rows} rows): start again`,
    )
  return { name: table.name, rows: left.rows, digest: String(left) }
}

async function digestOf(side: MoveSide, table: MovedTable): Promise<Digest> {
  const digest = new Digest()
  for await (const rows of pagesOf(side, table)) for (const row of rows) digest.add(table, row)
  return digest
}

async function* pagesOf(side: MoveSide, table: MovedTable): AsyncGenerator<readonly MovedRow[]> {
  for (let last: MovedRow | undefined; ;) {
    const rows = await side.read(table, last)
    if (rows.length > 0) yield rows
    if (rows.length < table.atOnce) return
    last = rows.at(-1)
    // The lease of a database is renewed meanwhile.
    await turn()
  }
}
