/** Rows as they are moved: in the columns that both stores have. The columns that are made of a body, in the form of
 *  each store, and the digest of a table. */
import { createHash } from 'node:crypto'
import { Fault } from '../../../kit/fault.ts'
import { parsedOr } from '../../../kit/json.ts'
import { isObject } from '../damage.ts'
import { madeOfBody } from '../node-rows.ts'
import { fieldColumns, fieldsOf } from '../object-rows.ts'
import type { Value } from '../statements.ts'
import type { MovedTable } from './plan.ts'

export type MovedRow = Readonly<Record<string, Value>>

const bodyOf = ({ body }: MovedRow): Record<string, unknown> | undefined => {
  const parsed = parsedOr(String(body), undefined)
  return isObject(parsed) ? parsed : undefined
}

/** Of a record that cannot be read: nothing, because nobody acts on it. */
function madeOfNode({ uuid, version, body }: MovedRow): ReturnType<typeof madeOfBody> | undefined {
  try {
    return madeOfBody({ uuid: String(uuid), version: Number(version), body: String(body) })
  } catch {
    return undefined
  }
}

/** The columns of SQLite. */
export function rowForSqlite(table: string, row: MovedRow): MovedRow {
  if (table === 'objects') return { ...row, fields: fieldsOf(bodyOf(row) ?? {}) }
  if (table !== 'nodes') return row
  const made = madeOfNode(row)
  return { ...row, vifs: made?.vifs ?? null, due_at: made?.dueAtMs ?? null }
}

/** Where SQLite has NULL: the record of an older program that could not be read, and was not rewritten. PostgreSQL
 *  never had such programs. */
const UNREADABLE = ''

/** The columns of PostgreSQL. `bmc_claim` is filled when all nodes are there. */
export function rowForPostgres(table: string, row: MovedRow): MovedRow {
  if (table === 'events') return { ...row, raw: row.seq ?? null }
  if (table === 'objects') return { ...row, ...fieldColumns(bodyOf(row) ?? {}) }
  if (table !== 'nodes') return row
  const { owner_seq: owner = null, lessee_seq: lessee = null, ...kept } = row
  const made = madeOfNode(row)
  return {
    ...kept,
    vifs: made?.vifs ?? null,
    due_at: made?.isPending ? 0 : (made?.dueAtMs ?? null),
    sealed: row.sealed ?? UNREADABLE,
    owner_raw: owner,
    lessee_raw: lessee,
  }
}

/** The other way round: what a row of PostgreSQL is among those that are moved. */
export const rowOfPostgres = (table: string, row: MovedRow): MovedRow =>
  table === 'nodes' && row.sealed === UNREADABLE ? { ...row, sealed: null } : row

/** Throws `input.invalid` for a text that PostgreSQL cannot store. */
export function refuseNul({ name, key }: MovedTable, rows: readonly MovedRow[]): void {
  for (const row of rows)
    for (const [column, value] of Object.entries(row))
      if (typeof value === 'string' && value.includes('\0'))
        throw new Fault(
          'input.invalid',
          `${name} ${key.map((part) => String(row[part])).join(' ')}: ${column} holds the character NUL, which PostgreSQL cannot store: change it, and start again`,
        )
}

const MODULUS = 2n ** 256n

/** Of all rows of a table, in whatever order they come. */
export class Digest {
  rows = 0
  private sum = 0n

  add({ columns }: MovedTable, row: MovedRow): void {
    const values = columns.map((column) => {
      const value = row[column]
      return Buffer.isBuffer(value) ? value.toString('base64') : value
    })
    const hash = createHash('sha256').update(JSON.stringify(values)).digest('hex')
    this.sum = (this.sum + BigInt(`0x${hash}`)) % MODULUS
    this.rows += 1
  }

  toString = (): string => this.sum.toString(16).padStart(64, '0')
}
