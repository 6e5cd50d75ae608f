/** Records in PostgreSQL that nobody may change while they are moved, nor afterwards: not even a conductor that stood
 *  still before the move began and goes on later. */
import type pg from 'pg'
import type { Connections } from '../postgres/connect.ts'
import { faultOf } from '../postgres/server-faults.ts'
import type { MoveQuery } from './mark-of-postgres.ts'

/** A transaction in which the tables can be read by everybody, and written by nobody else: a change waits for it, and
 *  fails. It ends with the connection. */
export async function holdStill(connections: Connections, tables: readonly string[]): Promise<pg.Client> {
  const client = await connections.alone(() => undefined)
  try {
    await client.query('SET idle_in_transaction_session_timeout = 0')
    await client.query('BEGIN')
    await client.query(`LOCK TABLE ${tables.join()} IN SHARE MODE`)
    return client
  } catch (error) {
    await client.end().catch(() => undefined)
    throw faultOf(error, 'a record')
  }
}

/** In the transaction that was begun, which ends with it. */
export async function inTransactionOf(client: pg.Client, work: (query: MoveQuery) => Promise<void>): Promise<void> {
  try {
    await work(async ({ text, values = [] }) => (await client.query(text, [...values])).rows as never)
    await client.query('COMMIT')
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined)
    throw faultOf(error, 'a record')
  }
}

/** From then on each change of these tables is refused by the server itself. */
export const refuseWrites = (tables: readonly string[]): string => `
  CREATE FUNCTION refuse_moved() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN
    RAISE EXCEPTION 'the records of this database were moved' USING ERRCODE = 'RW002';
  END $$;
  ${tables
    .map((name) => `CREATE TRIGGER moved BEFORE INSERT OR UPDATE OR DELETE ON ${name} EXECUTE FUNCTION refuse_moved();`)
    .join('\n  ')}`
