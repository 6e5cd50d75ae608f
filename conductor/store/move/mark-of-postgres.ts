/** The mark of a move in a PostgreSQL database, of whatever version its schema is. */
import type { Statement } from '../postgres/connect.ts'
import { MARK, readMark, type MoveMark } from './mark.ts'

export type MoveQuery = <R>(statement: Statement) => Promise<R[]>

export async function markIn(query: MoveQuery): Promise<MoveMark | undefined> {
  const [known] = await query<{ there: boolean }>({ text: "SELECT to_regclass('meta') IS NOT NULL AS there" })
  if (!known?.there) return undefined
  const [row] = await query<{ value: string }>({ text: 'SELECT value FROM meta WHERE name = $1', values: [MARK] })
  return readMark(row?.value)
}
