/** The statements of conductors that share a database: who lives, which slots are whose. All times are the server's. */
import type { BmcSession } from '../../holding.ts'
import type { Connections } from './connect.ts'
import type { SlotSeen } from './share.ts'

const LEASE_S = 12
/** After the end of a lease, for what its owner had begun. */
const QUIET_S = 5
/** The lease of a database that one conductor has alone: those that share it have it together, so that a program that
 *  does not share waits. */
const TOGETHER = 'slots'
const FORGET_DAYS = 7
const END = `clock_timestamp() + interval '${LEASE_S} s'`
const IS_SHARED = `EXISTS (SELECT 1 FROM leases WHERE name = 'conductor' AND owner = '${TOGETHER}')`
const IS_FREE = `(owner IS NULL OR until + interval '${QUIET_S} s' < clock_timestamp())`

export interface Member {
  readonly owner: string
  readonly hostname: string
  readonly group: string
}

export interface Slot {
  readonly group: string
  readonly id: number
  readonly token: number
}

export interface LeasedSlot extends SlotSeen {
  readonly group: string
}

/** A session of whoever had a node before. */
export interface FormerSession {
  readonly node: string
  readonly place: string
  readonly name: string
  /** Of the slot, when a command was sent in it. */
  readonly token: number
  /** Until it is over by itself. */
  readonly leftMs: number
}

/** How long after the end of its last lease a conductor that shares with nobody is waited for. */
export const WAIT_MS = (LEASE_S + QUIET_S) * 1000

const columnsOf = (slots: readonly Slot[]) => [
  slots.map(({ group }) => group),
  slots.map(({ id }) => id),
  slots.map(({ token }) => token),
]

export class Members {
  private readonly connections: Connections

  constructor(connections: Connections) {
    this.connections = connections
  }

  /** False while a conductor that shares with nobody has the database. */
  async share(): Promise<boolean> {
    const { rowCount } = await this.connections.query({
      text: `UPDATE leases SET owner = $1, token = token + (owner IS DISTINCT FROM $1)::int, until = ${END}
        WHERE name = 'conductor' AND (owner = $1 OR until + interval '${QUIET_S} s' < clock_timestamp())`,
      values: [TOGETHER],
    })
    return rowCount === 1
  }

  /** Undefined, or the name of a living conductor that has this one's host name. */
  async join({ owner, hostname, group }: Member): Promise<string | undefined> {
    const [other] = await this.connections.rows<{ owner: string }>({
      text: 'SELECT owner FROM members WHERE hostname = $1 AND owner <> $2 AND until > clock_timestamp()',
      values: [hostname, owner],
    })
    if (other) return other.owner
    await this.connections.query({
      text: `DELETE FROM members WHERE until + interval '${FORGET_DAYS} d' < clock_timestamp()`,
    })
    await this.connections.query({
      text: `INSERT INTO members (owner, hostname, grp, until) VALUES ($1, $2, $3, ${END})
        ON CONFLICT (owner) DO UPDATE SET hostname = excluded.hostname, grp = excluded.grp, until = excluded.until`,
      values: [owner, hostname, group],
    })
    return undefined
  }

  async addSlots(group: string, count: number): Promise<void> {
    await this.connections.query({
      text: `INSERT INTO slots (grp, id) SELECT $1, id FROM generate_series(0, $2::int - 1) AS id ON CONFLICT DO NOTHING`,
      values: [group, count],
    })
  }

  /** Renews the membership and these slots, also past their end where nobody took them. Answers those that are still
   *  this conductor's; undefined: the database is shared no more. */
  async renew({ owner, hostname, group }: Member, slots: readonly Slot[]): Promise<Slot[] | undefined> {
    const [row] = await this.connections.rows<{ shared: boolean; renewed: Slot[] }>({
      name: 'slots renew',
      text: `WITH together AS (UPDATE leases SET until = ${END} WHERE name = 'conductor' AND owner = '${TOGETHER}' RETURNING 1),
        member AS (INSERT INTO members (owner, hostname, grp, until) VALUES ($1, $5, $6, ${END})
          ON CONFLICT (owner) DO UPDATE SET until = excluded.until),
        renewed AS (UPDATE slots SET until = ${END}
          FROM unnest($2::text[], $3::int[], $4::bigint[]) AS held (grp, id, token)
          WHERE slots.owner = $1 AND slots.grp = held.grp AND slots.id = held.id AND slots.token = held.token
            AND ${IS_SHARED} RETURNING slots.grp, slots.id, slots.token)
        SELECT EXISTS (SELECT 1 FROM together) AS shared,
          (SELECT coalesce(json_agg(json_build_object('group', grp, 'id', id, 'token', token)), '[]') FROM renewed) AS renewed`,
      values: [owner, ...columnsOf(slots), hostname, group],
    })
    return row?.shared ? row.renewed : undefined
  }

  living = (): Promise<Member[]> =>
    this.connections.rows<Member>({
      name: 'members living',
      text: 'SELECT owner, hostname, grp AS "group" FROM members WHERE until > clock_timestamp() ORDER BY owner',
    })

  slots = (): Promise<LeasedSlot[]> =>
    this.connections.rows<LeasedSlot>({
      name: 'slots seen',
      text: `SELECT grp AS "group", id, owner, ${IS_FREE} AS "isFree" FROM slots ORDER BY grp, id`,
    })

  /** Those of them that were free, with a new token. */
  async take(owner: string, group: string, ids: readonly number[]): Promise<Slot[]> {
    return this.connections.rows<Slot>({
      name: 'slots take',
      text: `UPDATE slots SET owner = $1, token = token + 1, until = ${END}
        WHERE (grp, id) IN (SELECT grp, id FROM slots WHERE grp = $2 AND id = ANY($3::int[])
          AND (owner = $1 OR ${IS_FREE}) FOR UPDATE SKIP LOCKED) AND ${IS_SHARED}
        RETURNING grp AS "group", id, token`,
      values: [owner, group, ids],
    })
  }

  /** Anybody may take them at once. */
  async give(owner: string, slots: readonly Slot[]): Promise<void> {
    await this.connections.query({
      name: 'slots give',
      text: `UPDATE slots SET owner = NULL, until = '-infinity'
        FROM unnest($2::text[], $3::int[], $4::bigint[]) AS held (grp, id, token)
        WHERE slots.owner = $1 AND slots.grp = held.grp AND slots.id = held.id AND slots.token = held.token`,
      values: [owner, ...columnsOf(slots)],
    })
  }

  /** The last one leaves the database to whoever comes. */
  async leave(owner: string): Promise<void> {
    await this.connections.query({
      text: `WITH gone AS (DELETE FROM members WHERE owner = $1)
        UPDATE leases SET until = '-infinity' WHERE name = 'conductor' AND owner = '${TOGETHER}'
          AND NOT EXISTS (SELECT 1 FROM members WHERE owner <> $1 AND until > clock_timestamp())`,
      values: [owner],
    })
  }

  /** Throws `store.locked` through the function when the slot is another one's; false: its time is over. */
  async isHeld({ group, id, token }: Slot): Promise<boolean> {
    const [row] = await this.connections.rows<{ held: boolean }>({
      name: 'slot held',
      text: `SELECT check_slot($1, $2, $3) AND until > clock_timestamp() AS held FROM slots WHERE grp = $1 AND id = $2`,
      values: [group, id, token],
    })
    return row?.held ?? false
  }

  /** The same, and keeps in which session the command will be sent. Whoever takes the slot waits for this statement, or
   *  this one for him: either he sees the session, or false is answered. */
  async isHeldFor({ group, id, token }: Slot, node: string, { place, name, lastsMs }: BmcSession): Promise<boolean> {
    const [row] = await this.connections.rows<{ held: boolean }>({
      name: 'slot held for',
      text: `WITH slot AS (SELECT 1 FROM slots WHERE grp = $1 AND id = $2 AND token = $3 AND until > clock_timestamp()
            FOR SHARE),
          gone AS (DELETE FROM bmc_sessions WHERE ctid IN (SELECT ctid FROM bmc_sessions WHERE node_uuid = $4
            AND until < clock_timestamp() AND (place, name) <> ($5, $6) FOR UPDATE SKIP LOCKED)),
          kept AS (INSERT INTO bmc_sessions (node_uuid, place, name, grp, slot, token, until)
            SELECT $4, $5, $6, $1, $2, $3, clock_timestamp() + $7::bigint * interval '1 ms' FROM slot
            ON CONFLICT (node_uuid, place, name) DO UPDATE
              SET grp = excluded.grp, slot = excluded.slot, token = excluded.token, until = excluded.until)
        SELECT check_slot($1, $2, $3) AND EXISTS (SELECT 1 FROM slot) AS held`,
      values: [group, id, token, node, place, name, lastsMs],
    })
    return row?.held ?? false
  }

  /** Of slots that were just taken. */
  async formerSessions(slots: readonly Slot[]): Promise<FormerSession[]> {
    await this.connections.query({ text: 'DELETE FROM bmc_sessions WHERE until < clock_timestamp()' })
    return this.connections.rows<FormerSession>({
      name: 'former sessions',
      text: `SELECT node_uuid AS node, place, name, one.token,
          (extract(epoch FROM until - clock_timestamp()) * 1000)::float8 AS "leftMs"
        FROM bmc_sessions AS one
        JOIN unnest($1::text[], $2::int[], $3::bigint[]) AS held (grp, id, token)
          ON one.grp = held.grp AND one.slot = held.id AND one.token < held.token
        ORDER BY node_uuid, place, name`,
      values: columnsOf(slots),
    })
  }

  /** Not the one of the same name that the BMC gave to somebody later. */
  async forgetSession({ node, place, name, token }: Omit<FormerSession, 'leftMs'>): Promise<void> {
    await this.connections.query({
      name: 'session forget',
      text: 'DELETE FROM bmc_sessions WHERE node_uuid = $1 AND place = $2 AND name = $3 AND token = $4',
      values: [node, place, name, token],
    })
  }
}
