/** What becomes of a notification, by what the mesh found out itself: it is bound to an incident, follows it, and is
 *  ignored when the mesh finds no dead host. Nothing here asks the mesh for anything. Pure. */
import { uuidOf, type NotificationBody, type Status, type Task, type Vmove } from './records.ts'

/** An incident as the arbiters tell it (host-agent/api/views.ts). */
export interface MeshIncident {
  readonly id: string
  readonly host: string
  readonly state: string
  readonly time_line: readonly { readonly at: string; readonly about: string; readonly message: string }[]
  readonly instances: readonly {
    readonly id: string
    readonly name: string
    readonly state: string
    readonly target: string | null
    readonly because: string | null
    readonly requested_at: string | null
    readonly ended_at: string | null
  }[]
}

/** How long a notification about a host that the mesh finds alive waits for an incident. */
export const PATIENCE_MS = 60_000
/** In one record; the incident has all of them. */
const MOST_VMOVES = 1_000
const MOST_LINES = 50

const STATUS_OF: Readonly<Record<string, Status>> = {
  confirmed: 'running',
  fencing: 'running',
  fenced: 'running',
  evacuating: 'running',
  'fence failed': 'error',
  evacuated: 'finished',
  returning: 'finished',
  recovered: 'finished',
  cancelled: 'ignored',
}
const VMOVE_OF: Readonly<Record<string, Vmove['status']>> = {
  PENDING: 'pending',
  INTENT: 'ongoing',
  REQUESTED: 'ongoing',
  UNKNOWN: 'ongoing',
  CONFIRMED: 'succeeded',
  FAILED: 'failed',
  SKIPPED: 'ignored',
}

export function followed(body: NotificationBody, incident: MeshIncident): NotificationBody {
  const { state, instances, time_line: lines } = incident
  const status = STATUS_OF[state] ?? 'running'
  const failed = instances.some((instance) => instance.state === 'FAILED')
  return {
    ...body,
    incident: incident.id,
    state: status === 'finished' && failed ? 'failed' : status,
    message: lines.findLast(({ about }) => about !== 'instance')?.message ?? null,
    tasks: tasksOf(incident),
    vmoves: instances.slice(0, MOST_VMOVES).map((instance) => vmoveOf(incident.id, instance)),
  }
}

/** The next body of a COMPUTE_HOST notification that is open. The same object when nothing changed. */
export function settle(
  body: NotificationBody,
  at: { readonly createdAtMs: number; readonly nowMs: number; readonly incidents: readonly MeshIncident[] },
): NotificationBody {
  const { incidents, nowMs, createdAtMs } = at
  const bound =
    body.incident === null
      ? incidents.find(({ host, state }) => host === body.hostname && !isOver(state))
      : incidents.find(({ id }) => id === body.incident)
  if (bound) {
    const next = followed(body, bound)
    return JSON.stringify(next) === JSON.stringify(body) ? body : next
  }
  // The mesh forgets incidents that are long over.
  if (body.incident !== null) return { ...body, state: 'finished' }
  if (nowMs - createdAtMs < PATIENCE_MS) return body
  return { ...body, state: 'ignored', message: 'the mesh has no proof that the host is dead' }
}

/** As the leader of the mesh tells it (host-agent/evacuate/errands.ts). */
export interface MeshErrand {
  readonly state: string
  readonly message: string | null
}

/** How long the mesh is asked to act on a notification about a process or an instance. What is older says nothing about
 *  them any more. */
const ERRAND_MS = 600_000
const UNASKED = 'the mesh could not be asked in time'

/** What the leader is asked to do about it; nothing: it is about a host. A restart is asked for in two steps: that the
 *  instance was stopped is recorded before it is started, hence no change of leader stops it twice. */
export function errandOf(uuid: string, { type, payload, step: recorded }: NotificationBody) {
  const step = recorded ?? 'stop'
  const reason = `Masakari notification ${uuid}`
  if (type === 'VM')
    return { kind: step, token: `${uuid} ${step}`, instance: String(payload.instance_uuid).toLowerCase(), reason }
  if (type === 'PROCESS')
    return { kind: 'disable', token: uuid, reason: `${String(payload.process_name).slice(0, 300)} stopped; ${reason}` }
  return undefined
}

/** What is recorded before the leader is asked: that it is. What may have been stopped is started however late it is;
 *  nothing else is begun late. The same object when nothing changes. */
export function beforeErrand(body: NotificationBody, { createdAtMs, nowMs }: ErrandAge): NotificationBody {
  if (body.step !== undefined) return body
  if (nowMs - createdAtMs <= ERRAND_MS) return body.state === 'running' ? body : { ...body, state: 'running' }
  const mayBeStopped = body.type === 'VM' && body.state === 'running'
  return mayBeStopped ? { ...body, step: 'start' } : { ...body, state: 'failed', message: UNASKED }
}

/** `errand`: undefined when no leader could be asked. */
export function ran(body: NotificationBody, errand: MeshErrand | undefined, at: ErrandAge): NotificationBody {
  const { state, message = null } = errand ?? {}
  if (state === 'done') {
    const isStopped = body.type === 'VM' && body.step === undefined
    return isStopped ? { ...body, state: 'running', step: 'start', message } : { ...body, state: 'finished', message }
  }
  if (state === 'failed') return { ...body, state, message }
  if (!errand) return at.nowMs - at.createdAtMs > ERRAND_MS ? { ...body, state: 'failed', message: UNASKED } : body
  return message === body.message ? body : { ...body, message }
}

interface ErrandAge {
  readonly createdAtMs: number
  readonly nowMs: number
}

export const isOver = (state: string): boolean => state === 'recovered' || state === 'cancelled'

/** One that nobody sent: the mesh found the host dead itself. */
export const ofIncident = (incident: MeshIncident): NotificationBody =>
  followed(
    {
      type: 'COMPUTE_HOST',
      hostname: incident.host,
      payload: { event: 'STOPPED', cluster_status: 'OFFLINE', host_status: 'NORMAL' },
      generatedAtMs: Date.parse(incident.time_line[0]?.at ?? '') || 0,
      state: 'running',
      incident: incident.id,
      message: null,
      tasks: [],
      vmoves: [],
    },
    incident,
  )

function vmoveOf(incident: string, instance: MeshIncident['instances'][number]): Vmove {
  return {
    uuid: uuidOf('masakari vmove', `${incident} ${instance.id}`),
    instance_uuid: instance.id,
    instance_name: instance.name,
    dest_host: instance.target,
    start_time: instance.requested_at,
    end_time: instance.ended_at,
    status: VMOVE_OF[instance.state] ?? 'ongoing',
    message: instance.because,
  }
}

/** Proving and fencing, then moving the instances. */
function tasksOf({ state, time_line: lines }: MeshIncident): Task[] {
  const status = STATUS_OF[state] ?? 'running'
  const isMoving = ['fenced', 'evacuating', 'evacuated', 'returning', 'recovered'].includes(state)
  const part = (name: string, of: typeof lines, ended: boolean): Task[] => {
    if (of.length === 0) return []
    const failed = status === 'error' || state === 'cancelled'
    return [
      {
        name,
        state: ended ? 'SUCCESS' : failed ? 'FAILURE' : 'RUNNING',
        progress: ended ? 1 : 0.5,
        progress_details: of
          .slice(-MOST_LINES)
          .map(({ at, message }) => ({ timestamp: at, message, progress: ended ? 1 : 0.5 })),
      },
    ]
  }
  const fence = lines.filter(({ about }) => about !== 'instance')
  const moves = lines.filter(({ about }) => about === 'instance')
  return [
    ...part('FenceHostTask', fence, isMoving),
    ...part('EvacuateInstancesTask', moves, status === 'finished' && isMoving),
  ]
}
