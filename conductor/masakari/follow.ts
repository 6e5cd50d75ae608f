/** What becomes of notifications while time passes: those about hosts follow the incidents of the mesh, each incident
 *  without one gets one, hosts of disabled segments are held, and what is old is forgotten. One conductor does it for
 *  all. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Log } from '../../kit/log.ts'
import { Loop } from '../../kit/loop.ts'
import type { Limits } from '../limits.ts'
import type { MeshLink } from '../mesh/link.ts'
import type { Store } from '../store/port.ts'
import {
  NOTIFICATION,
  OPEN,
  typed,
  untyped,
  uuidOf,
  type NotificationBody,
  type NotificationRecord,
} from './records.ts'
import { MARK } from './members.ts'
import type { Masakari } from './service.ts'
import {
  beforeErrand,
  errandOf,
  isOver,
  ofIncident,
  ran,
  settle,
  type MeshErrand,
  type MeshIncident,
} from './settle.ts'

const EVERY_MS = 2_000
const DAY_MS = 86_400_000
const SEGMENT_MARK = `${MARK}its segment is disabled`

export interface FollowParts {
  readonly masakari: Masakari
  readonly store: Pick<Store, 'objects'>
  readonly link: Pick<MeshLink, 'request' | 'registry'>
  readonly clock: Clock
  readonly log: Log
  readonly limits: Limits['masakari']
  readonly onDuty: () => boolean
}

export class MasakariFollow {
  private readonly parts: FollowParts
  private loop: Loop | undefined

  constructor(parts: FollowParts) {
    this.parts = parts
  }

  start(): void {
    const { clock, log } = this.parts
    // A mesh without a leader is reported by who leads it.
    const onError = (error: unknown) =>
      isFault(error, 'mesh.leaderless')
        ? log.debug({ err: error }, 'the mesh cannot be asked for its incidents')
        : log.warn({ err: error }, 'notifications could not be followed; it is tried again')
    this.loop = new Loop({ clock, everyMs: EVERY_MS, onError }, () => this.round())
  }

  async stop(): Promise<void> {
    await this.loop?.stop()
  }

  async round(): Promise<void> {
    if (!this.parts.onDuty()) return
    const { masakari } = this.parts
    const all = await masakari.notifications()
    await this.forgetOld(all)
    const incidents = await this.incidents()
    const bound = new Set(all.map(({ body }) => body.incident))
    const open = all.filter(({ body }) => OPEN.includes(body.state))
    for (const record of open.filter(isAboutHost)) bound.add(await this.settle(record, incidents))
    let count = all.length
    for (const incident of incidents)
      if (!bound.has(incident.id) && !isOver(incident.state)) await this.addOf(incident, (count += 1))
    await this.holdDisabled()
    // Last: a leader that does not answer holds up nothing else.
    for (const record of open) if (!isAboutHost(record)) await this.runErrand(record)
  }

  /** Answers the incident that it is bound to. */
  private async settle(record: NotificationRecord, incidents: readonly MeshIncident[]): Promise<string | null> {
    const { body, createdAtMs } = record
    const next = settle(body, { createdAtMs, nowMs: this.parts.clock.now(), incidents })
    if (next !== body) await this.put(record, next)
    return next.incident
  }

  private async runErrand(record: NotificationRecord): Promise<void> {
    const at = { createdAtMs: record.createdAtMs, nowMs: this.parts.clock.now() }
    const body = beforeErrand(record.body, at)
    const recorded = body === record.body ? record : await this.put(record, body)
    const order = errandOf(record.uuid, body)
    if (!recorded || !order || !OPEN.includes(body.state)) return
    if (recorded !== record)
      this.parts.log.info({ host: body.hostname, ...order }, 'the mesh is asked to act on a notification')
    const next = ran(body, await this.ask(body.hostname, order), at)
    if (next === body) return
    const kept = await this.put(recorded, next)
    // What was stopped is not kept waiting.
    if (kept && next.step !== body.step) await this.runErrand(kept)
  }

  /** Asked again with the same token, the leader tells how far it came. */
  private async ask(host: string, order: object): Promise<MeshErrand | undefined> {
    const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(host)}/errands`
    const { status, body } = await this.parts.link.request('POST', path, { body: order })
    if (status === 404)
      return { state: 'failed', message: 'the mesh does not know the host, or is of an older version' }
    return status === 200 ? (body as MeshErrand) : undefined
  }

  private async incidents(): Promise<readonly MeshIncident[]> {
    const { status, body } = await this.parts.link.request('GET', '/rackward/v1/incidents', { any: true })
    if (status !== 200) throw new Fault('mesh.refused', `an arbiter answered ${status} for its incidents`)
    return (body as { incidents: readonly MeshIncident[] }).incidents
  }

  /** Undefined: somebody else changed it meanwhile; the next round looks again. */
  private async put(record: NotificationRecord, body: NotificationBody): Promise<NotificationRecord | undefined> {
    const { store, clock } = this.parts
    const uniqueKey = OPEN.includes(body.state) ? record.uniqueKey : null
    const next = untyped({ ...record, uniqueKey, updatedAtMs: clock.now(), body })
    const put = await store.objects.put(next).catch(unlessMoved)
    return put && typed<NotificationBody>(put)
  }

  private async addOf(incident: MeshIncident, count: number): Promise<void> {
    const { store, clock, limits } = this.parts
    if (count > limits.notifications) return
    const record: NotificationRecord = {
      kind: NOTIFICATION,
      uuid: uuidOf('masakari incident', incident.id),
      version: 0,
      name: null,
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: clock.now(),
      updatedAtMs: null,
      body: ofIncident(incident),
    }
    await store.objects.add(untyped(record)).catch((error: unknown) => {
      if (!isFault(error, 'object.conflict')) throw error
    })
  }

  private async forgetOld(all: readonly NotificationRecord[]): Promise<void> {
    const { store, clock, limits } = this.parts
    const beforeMs = clock.now() - limits.notificationDays * DAY_MS
    for (const { uuid, createdAtMs, body } of all)
      if (createdAtMs < beforeMs && !OPEN.includes(body.state)) await store.objects.remove(NOTIFICATION, uuid)
  }

  /** A disabled segment is a hold of each of its hosts, which ends when it is enabled. */
  private async holdDisabled(): Promise<void> {
    const { masakari, link } = this.parts
    const { hosts } = await link.registry()
    const held = new Map(hosts.map(({ name, hold }) => [name, hold]))
    for (const { name, segment } of await masakari.allHosts()) {
      const hold = held.get(name) ?? null
      const path = `/rackward/v1/mesh/hosts/${encodeURIComponent(name)}/hold`
      const body = { kind: 'maintenance', reason: SEGMENT_MARK, why: SEGMENT_MARK, seconds: null }
      if (!segment.body.enabled && hold === null) await link.request('PUT', path, { body })
      if (segment.body.enabled && hold?.reason === SEGMENT_MARK)
        await link.request('DELETE', path, { body: { reason: SEGMENT_MARK } })
    }
  }
}

const isAboutHost = ({ body }: NotificationRecord): boolean => body.type === 'COMPUTE_HOST'

function unlessMoved(error: unknown): undefined {
  if (isFault(error, 'store.moved') || isFault(error, 'object.missing')) return undefined
  throw error
}
