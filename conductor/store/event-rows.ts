/** Events as rows, the same in every database. */
import type { EventRecord, SeenEvent } from './port.ts'

export type EventRow = { seq: number; at: number; node_uuid: string | null; kind: string; detail: string }
export type SeenRow = EventRow & { owner: string | null; lessee: string | null }

export const readEvent = (row: EventRow): EventRecord => ({
  seq: row.seq,
  atMs: row.at,
  nodeUuid: row.node_uuid,
  kind: row.kind,
  detail: readDetail(row.detail),
})

export const readSeen = (row: SeenRow): SeenEvent => ({ ...readEvent(row), owner: row.owner, lessee: row.lessee })

/** A row that cannot be read is told as such; those before and after it do not wait for it. */
function readDetail(text: string): Record<string, unknown> {
  try {
    return JSON.parse(text) as Record<string, unknown>
  } catch {
    return { damaged: true }
  }
}
