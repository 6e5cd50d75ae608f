/** Objects of the lesser resources as rows: what is secret in their bodies is sealed apart. */
import { parseObject } from './damage.ts'
import type { ObjectRecord } from './port.ts'
import type { Seal, Sealed } from './secrets.ts'

export interface ObjectRow {
  kind: string
  uuid: string
  name: string | null
  node_uuid: string | null
  unique_key: string | null
  created_at: number
  updated_at: number | null
  version: number
  sealed: string | null
  body: string
}

export const OBJECT_COLUMNS = 'kind, uuid, name, node_uuid, unique_key, created_at, updated_at, version, sealed, body'

/** Fields of the body that lists filter and sort by. */
export const OBJECT_FIELDS =
  'address description state resource_class owner type connector_id volume_type volume_id boot_index priority phase mode public physical_network'.split(
    ' ',
  )

/** Parts of bodies that may hold secrets, by kind. */
export const SECRET_PARTS: Readonly<Record<string, readonly string[]>> = {
  'volume target': ['properties'],
  rollout: ['secrets'],
  'rollout turn': ['secret_item'],
}
const mayHoldSecrets = (kind: string): boolean => Object.hasOwn(SECRET_PARTS, kind)
const placeOf = (object: { readonly kind: string; readonly uuid: string }) => `${object.kind} ${object.uuid}`

export function sealBody({ kind, uuid, body }: ObjectRecord, seal: Seal): { sealed: string | null; body: string } {
  if (!mayHoldSecrets(kind)) return { sealed: null, body: JSON.stringify(body) }
  const parts = Object.fromEntries((SECRET_PARTS[kind] ?? []).map((part) => [part, body[part]]))
  const { rest, sealed } = seal.take(parts, placeOf({ kind, uuid }))
  return { sealed: JSON.stringify(sealed), body: JSON.stringify({ ...body, ...rest }) }
}

function openBody(row: ObjectRow, seal: Seal): ObjectRecord['body'] {
  const body = parseObject(row.body)
  if (row.sealed === null) return body
  const parts = Object.fromEntries((SECRET_PARTS[row.kind] ?? []).map((part) => [part, body[part]]))
  return { ...body, ...seal.restore(parts, parseObject(row.sealed) as Sealed, placeOf(row)) }
}

/** Every column but those of the fields, which each database has in its own form. */
export const objectColumns = (object: ObjectRecord, seal: Seal) => ({
  kind: object.kind,
  uuid: object.uuid,
  name: object.name,
  node_uuid: object.nodeUuid,
  unique_key: object.uniqueKey,
  created_at: object.createdAtMs,
  updated_at: object.updatedAtMs,
  version: object.version,
  ...sealBody(object, seal),
})

/** The fields as one small document. */
export const fieldsOf = (body: ObjectRecord['body']): string =>
  JSON.stringify(
    Object.fromEntries(OBJECT_FIELDS.flatMap((field) => (body[field] === undefined ? [] : [[field, body[field]]]))),
  )

const NUMBER_FIELDS = ['boot_index', 'priority', 'public']

/** The fields as columns. */
export const fieldColumns = (body: ObjectRecord['body']): Record<string, string | number | null> =>
  Object.fromEntries(OBJECT_FIELDS.map((field) => [field, fieldValue(field, body[field])]))

function fieldValue(field: string, value: unknown): string | number | null {
  if (NUMBER_FIELDS.includes(field)) return Number.isInteger(Number(value ?? NaN)) ? Number(value) : null
  if (value === undefined || value === null) return null
  return typeof value === 'string' ? value : JSON.stringify(value)
}

export const readObject = (row: ObjectRow, seal: Seal): ObjectRecord => ({
  kind: row.kind,
  uuid: row.uuid,
  name: row.name,
  nodeUuid: row.node_uuid,
  uniqueKey: row.unique_key,
  createdAtMs: row.created_at,
  updatedAtMs: row.updated_at,
  version: row.version,
  body: openBody(row, seal),
})
