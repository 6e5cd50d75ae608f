/** What Masakari's API has records of, as the store keeps them: segments, hosts that were placed in one, and
 *  notifications. Everything else about a host is the mesh's own. Pure. */
import { createHash } from 'node:crypto'
import type { ObjectRecord } from '../store/port.ts'

export const SEGMENT = 'masakari segment'
export const HOST = 'masakari host'
export const NOTIFICATION = 'masakari notification'

/** The segment of every host that was placed in no other. It is always there. */
export const MESH_SEGMENT = 'mesh'

/** How the mesh chooses targets: by priority, and hosts that are kept empty last. */
export const RECOVERY_METHODS = ['auto', 'auto_priority'] as const
export const TYPES = ['COMPUTE_HOST', 'PROCESS', 'VM'] as const
export type NotificationType = (typeof TYPES)[number]
export const STATUSES = ['new', 'running', 'error', 'failed', 'ignored', 'finished'] as const
export type Status = (typeof STATUSES)[number]
/** Something may still come of it. */
export const OPEN: readonly Status[] = ['new', 'running', 'error']

export interface SegmentBody {
  readonly description: string | null
  readonly recovery_method: (typeof RECOVERY_METHODS)[number]
  readonly service_type: string
  readonly enabled: boolean
}

export interface HostBody {
  readonly segment: string
  readonly type: string
  readonly control_attributes: string
}

export interface Vmove {
  readonly uuid: string
  readonly instance_uuid: string
  readonly instance_name: string
  readonly dest_host: string | null
  readonly start_time: string | null
  readonly end_time: string | null
  readonly status: 'pending' | 'ongoing' | 'succeeded' | 'failed' | 'ignored'
  readonly message: string | null
}

export interface Task {
  readonly name: string
  readonly state: 'SUCCESS' | 'RUNNING' | 'FAILURE'
  readonly progress: number
  readonly progress_details: readonly {
    readonly timestamp: string
    readonly message: string
    readonly progress: number
  }[]
}

export interface NotificationBody {
  readonly type: NotificationType
  readonly hostname: string
  readonly payload: Readonly<Record<string, unknown>>
  readonly generatedAtMs: number
  readonly state: Status
  /** Of the mesh, that it is bound to. */
  readonly incident: string | null
  /** Why it is in its state. */
  readonly message: string | null
  /** Of an instance that was stopped, and is to be started again. */
  readonly step?: 'start'
  readonly tasks: readonly Task[]
  readonly vmoves: readonly Vmove[]
}

/** A record whose body is known. */
export type Typed<Body> = Omit<ObjectRecord, 'body'> & { readonly body: Body }
export type SegmentRecord = Typed<SegmentBody>
export type HostRecord = Typed<HostBody>
export type NotificationRecord = Typed<NotificationBody>

/** Stored by this program alone, below these kinds. */
export const typed = <Body>(record: ObjectRecord): Typed<Body> => record as unknown as Typed<Body>
export const untyped = (record: Typed<object>): ObjectRecord => record as unknown as ObjectRecord

const NAMESPACE = Buffer.from('9f1d3c7a5e0b4b8f9a6c2d4e8f013b57', 'hex')

/** A UUID of version 5 (RFC 9562): the same name has the same one everywhere. */
export function uuidOf(kind: string, name: string): string {
  const bytes = createHash('sha1').update(NAMESPACE).update(`${kind} ${name}`).digest().subarray(0, 16)
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x50
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join('-')
}

export const hostUuid = (name: string): string => uuidOf(HOST, name)

export const meshSegment: SegmentRecord = {
  kind: SEGMENT,
  uuid: uuidOf(SEGMENT, MESH_SEGMENT),
  version: 0,
  name: MESH_SEGMENT,
  nodeUuid: null,
  uniqueKey: null,
  createdAtMs: 0,
  updatedAtMs: null,
  body: {
    description: 'every host of the mesh that is in no other segment',
    recovery_method: 'auto_priority',
    service_type: 'COMPUTE',
    enabled: true,
  },
}

/** Two that are not settled are one when these are equal. */
export const duplicateKey = ({ type, hostname, payload }: Pick<NotificationBody, 'type' | 'hostname' | 'payload'>) =>
  createHash('sha256')
    .update(JSON.stringify([type, hostname, sorted(payload)]))
    .digest('hex')

const sorted = (value: unknown): unknown =>
  value !== null && typeof value === 'object' && !Array.isArray(value)
    ? Object.entries(value)
        .sort(([a], [b]) => (a < b ? -1 : 1))
        .map(([key, inner]) => [key, sorted(inner)])
    : value
