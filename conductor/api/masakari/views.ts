/** Segments, hosts, notifications and moves as clients of Masakari read them. */
import type { HostView } from '../../masakari/members.ts'
import { hostUuid, type NotificationRecord, type SegmentRecord, type Vmove } from '../../masakari/records.ts'

/** The versions that brought a field. */
const ENABLED = 2
const DETAILS = 1

/** As oslo.versionedobjects writes a time: without a zone, with microseconds. */
export const wireTime = (ms: number): string => `${new Date(ms).toISOString().slice(0, -1)}000`
const wireTimeOf = (iso: string | null): string | null => {
  const ms = Date.parse(iso ?? '')
  return Number.isNaN(ms) ? null : wireTime(ms)
}

/** Masakari numbers its rows; nothing is looked up by these numbers. */
const numberOf = (uuid: string): number => Number.parseInt(uuid.slice(0, 7), 16)

const times = (record: { readonly createdAtMs: number; readonly updatedAtMs: number | null }) => ({
  created_at: wireTime(record.createdAtMs),
  updated_at: record.updatedAtMs === null ? null : wireTime(record.updatedAtMs),
  deleted_at: null,
  deleted: false,
})

export const segmentView = (segment: SegmentRecord, minor: number) => ({
  id: numberOf(segment.uuid),
  uuid: segment.uuid,
  name: segment.name,
  description: segment.body.description,
  service_type: segment.body.service_type,
  recovery_method: segment.body.recovery_method,
  ...(minor >= ENABLED ? { enabled: segment.body.enabled } : {}),
  ...times(segment),
})

export const hostView = (host: HostView, minor: number) => ({
  id: numberOf(host.uuid),
  uuid: host.uuid,
  name: host.name,
  type: host.type,
  control_attributes: host.controlAttributes,
  reserved: host.reserved,
  on_maintenance: host.onMaintenance,
  failover_segment_id: host.segment.uuid,
  failover_segment: segmentView(host.segment, minor),
  ...times(host),
})

export const notificationView = ({ uuid, body, ...record }: NotificationRecord) => ({
  id: numberOf(uuid),
  notification_uuid: uuid,
  type: body.type,
  status: body.state,
  source_host_uuid: hostUuid(body.hostname),
  generated_time: wireTime(body.generatedAtMs),
  payload: body.payload,
  ...times(record),
})

/** With what was done about it. */
export const notificationDetails = (record: NotificationRecord, minor: number) => ({
  ...notificationView(record),
  ...(minor >= DETAILS ? { recovery_workflow_details: detailsOf(record) } : {}),
})

function detailsOf({ body, createdAtMs }: NotificationRecord) {
  if (body.tasks.length === 0 && body.message !== null) {
    const line = { timestamp: wireTime(createdAtMs), message: body.message, progress: 1 }
    return [{ name: 'MeshTask', state: 'SUCCESS', progress: 1, progress_details: [line] }]
  }
  return body.tasks.map((task) => ({
    ...task,
    progress_details: task.progress_details.map((line) => ({ ...line, timestamp: wireTimeOf(line.timestamp) })),
  }))
}

export const vmoveView = (move: Vmove, { uuid, body, ...record }: NotificationRecord) => ({
  id: numberOf(move.uuid),
  uuid: move.uuid,
  notification_uuid: uuid,
  instance_uuid: move.instance_uuid,
  instance_name: move.instance_name,
  source_host: body.hostname,
  dest_host: move.dest_host,
  start_time: wireTimeOf(move.start_time),
  end_time: wireTimeOf(move.end_time),
  type: 'evacuation',
  status: move.status,
  message: move.message,
  ...times(record),
})
