/** A change in PostgreSQL: one statement, and so one round trip and one transaction, with the events that tell of it,
 *  the operator's act, and the proof that this conductor still has the database. */
import { isFault } from '../../../kit/fault.ts'
import { currentHolding, type Holding } from '../../holding.ts'
import { currentAudit } from '../audit.ts'
import { durationsOf } from '../durations.ts'
import type { NewEvent } from '../port.ts'
import type { Connections, SqlValue } from './connect.ts'

export interface StoreChange {
  readonly what: string
  readonly nodeUuid?: string | null
  /** Prepared once per connection under this name. */
  readonly name: string
  /** Changes rows and returns one row for each. */
  readonly text: string
  readonly values: readonly SqlValue[]
  /** Further statements of the same moment, by name; they see the database as it was before. */
  readonly also?: Readonly<Record<string, string>>
  /** A value that is answered. */
  readonly answer?: string
  readonly events?: readonly NewEvent[]
  /** When no row is changed there are no events. */
  readonly mustChange?: boolean
}

export interface ChangeResult {
  readonly rows: number
  readonly answer: unknown
}

export interface ChangeParts {
  readonly connections: Connections
  /** Of a conductor that has the database alone; undefined: it shares it, or needs no proof. */
  readonly token: () => number | undefined
  /** Another conductor has the database now. */
  readonly onLost: () => void
  /** Events were committed. */
  readonly onEvents: () => void
}

export class Changes {
  private readonly parts: ChangeParts

  constructor(parts: ChangeParts) {
    this.parts = parts
  }

  async make(change: StoreChange): Promise<ChangeResult> {
    const { what, name, text, values, also = {}, answer = 'NULL', mustChange = false } = change
    const act = this.actOf(change)
    const events = [...(change.events ?? []), ...(act ? [act] : [])]
    const token = this.parts.token()
    const marks = new Marks(values)
    const parts = [`changed AS (${text})`]
    for (const [label, statement] of Object.entries(also)) parts.push(`${label} AS (${statement})`)
    const when = mustChange ? 'WHERE EXISTS (SELECT 1 FROM changed)' : ''
    const took = events.flatMap(durationsOf)
    if (events.length > 0) parts.push(`noted AS (${insertEvents(events, marks, when)})`)
    if (took.length > 0) parts.push(`took AS (${insertDurations(took, marks, when)})`)
    const holding = currentHolding()
    const held = token === undefined ? heldSlot(holding, marks) : `check_lease(${marks.add(token)}::bigint)`
    const proof = token === undefined ? (holding ? 's' : '') : 't'
    const form = `${events.length > 0 ? 'e' : ''}${took.length > 0 ? 'd' : ''}${proof}`
    const statement = {
      name: `${name} ${form}`,
      text: `WITH ${parts.join(', ')} SELECT (SELECT count(*)::int FROM changed) AS rows, ${answer} AS answer, ${held} AS held`,
      values: marks.values,
    }
    const answered = await this.parts.connections.query<ChangeResult>(statement, what).catch((error: unknown) => {
      if (isFault(error, 'store.locked')) (holding?.lost ?? this.parts.onLost)()
      if (isFault(error, 'store.broken')) this.parts.connections.changeFailed = error.detail
      throw error
    })
    this.parts.connections.changeFailed = undefined
    const [changed] = answered.rows
    const rows = changed?.rows ?? 0
    if (events.length > 0 && (rows > 0 || !mustChange)) {
      if (act) (currentAudit() as { recorded: boolean }).recorded = true
      this.parts.onEvents()
    }
    return { rows, answer: changed?.answer }
  }

  /** Of the operator, once. */
  private actOf({ nodeUuid }: StoreChange): NewEvent | undefined {
    const by = currentAudit()
    if (!by || by.recorded) return undefined
    const detail = { user: by.user, method: by.method, path: by.path, request_id: by.requestId }
    return { atMs: by.atMs, nodeUuid: nodeUuid ?? null, kind: 'act', detail }
  }
}

/** What is written outside of a node's own work proves nothing: it is compared with the version of its record. */
function heldSlot(holding: Holding | undefined, marks: Marks): string {
  if (!holding) return 'true'
  const { group, slot, token } = holding
  return `check_slot(${marks.add(group)}::text, ${marks.add(slot)}::int, ${marks.add(token)}::bigint)`
}

/** Values of a statement, and the marks that stand for them. */
class Marks {
  readonly values: SqlValue[]

  constructor(values: readonly SqlValue[]) {
    this.values = [...values]
  }

  add(value: SqlValue): string {
    this.values.push(value)
    return `$${this.values.length}`
  }
}

function insertEvents(events: readonly NewEvent[], marks: Marks, when: string): string {
  const columns = [
    `${marks.add(events.map((event) => event.atMs))}::bigint[]`,
    `${marks.add(events.map((event) => event.nodeUuid))}::text[]`,
    `${marks.add(events.map((event) => event.kind))}::text[]`,
    `${marks.add(events.map((event) => JSON.stringify(event.detail)))}::text[]`,
  ]
  return `INSERT INTO events (at, node_uuid, kind, detail) SELECT e.at, e.node_uuid, e.kind, e.detail
    FROM unnest(${columns.join()}) WITH ORDINALITY AS e (at, node_uuid, kind, detail, place) ${when} ORDER BY e.place`
}

function insertDurations(
  took: readonly { model: string; state: string; tookMs: number }[],
  marks: Marks,
  when: string,
): string {
  const columns = [
    `${marks.add(took.map(({ model }) => model))}::text[]`,
    `${marks.add(took.map(({ state }) => state))}::text[]`,
    `${marks.add(took.map(({ tookMs }) => Math.round(tookMs)))}::bigint[]`,
  ]
  return `INSERT INTO durations (model, state, took_ms) SELECT * FROM unnest(${columns.join()}) AS d ${when}`
}
