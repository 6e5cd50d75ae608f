/** What a notification is taken for by what it says alone, as Masakari's engine does. Pure. */
import type { NotificationBody, SegmentRecord } from './records.ts'

export function firstState(
  { type, payload }: Pick<NotificationBody, 'type' | 'payload'>,
  segment: SegmentRecord,
): Pick<NotificationBody, 'state' | 'message'> {
  if (!segment.body.enabled) return { state: 'ignored', message: `segment ${segment.name} is disabled` }
  const { event, host_status: hostStatus, vir_domain_event: domainEvent } = payload
  if (type === 'VM')
    return event === 'QEMU_GUEST_AGENT_ERROR' ||
      (event === 'LIFECYCLE' && domainEvent === 'STOPPED_FAILED') ||
      (event === 'IO_ERROR' && domainEvent === 'IO_ERROR_REPORT')
      ? { state: 'new', message: null }
      : { state: 'ignored', message: 'nothing is done about this event' }
  if (event === 'STARTED') return { state: 'finished', message: 'its way back is decided by the mesh' }
  if (type === 'COMPUTE_HOST' && hostStatus === 'UNKNOWN')
    return { state: 'ignored', message: 'the state of the host is unknown to the monitor too' }
  return { state: 'new', message: null }
}
