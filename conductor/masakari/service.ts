/** Segments, hosts and notifications of Masakari's API, on the mesh: its members are the hosts, its holds are their
 *  maintenance. A notification is written down, and makes the mesh look; it decides nothing. */
import type { Clock } from '../../kit/clock.ts'
import { Fault, isFault } from '../../kit/fault.ts'
import type { Random } from '../../kit/random.ts'
import type { OnLimit } from '../../kit/limit-meter.ts'
import type { Limits } from '../limits.ts'
import type { MeshLink } from '../mesh/link.ts'
import type { ObjectRecord, Store } from '../store/port.ts'
import { firstState } from './first-state.ts'
import { mayReserve, MeshMembers, type HostChange, type HostView, type NewHost } from './members.ts'
import {
  duplicateKey,
  HOST,
  hostUuid,
  MESH_SEGMENT,
  meshSegment,
  NOTIFICATION,
  OPEN,
  SEGMENT,
  typed,
  untyped,
  type HostBody,
  type HostRecord,
  type NotificationBody,
  type NotificationRecord,
  type SegmentBody,
  type SegmentRecord,
} from './records.ts'

export interface MasakariParts {
  readonly store: Pick<Store, 'objects'>
  readonly link: Pick<MeshLink, 'registry' | 'request'>
  readonly clock: Clock
  readonly random: Random
  readonly limits: Limits['masakari']
  readonly onLimit: OnLimit
}

export type SentNotification = Pick<NotificationBody, 'type' | 'hostname' | 'payload' | 'generatedAtMs'>

export class Masakari {
  private readonly parts: MasakariParts
  private readonly members: MeshMembers

  constructor(parts: MasakariParts) {
    this.parts = parts
    this.members = new MeshMembers(parts.link)
  }

  /** The one of the mesh first. */
  async segments(): Promise<SegmentRecord[]> {
    const made = await this.parts.store.objects.every(SEGMENT)
    return [meshSegment, ...made.map(typed<SegmentBody>)]
  }

  async segment(uuid: string): Promise<SegmentRecord> {
    if (uuid === meshSegment.uuid) return meshSegment
    const found = await this.parts.store.objects.find(SEGMENT, uuid)
    if (!found || found.uuid !== uuid)
      throw new Fault('object.missing', `No failover segment with id ${uuid.slice(0, 64)}.`)
    return typed(found)
  }

  async addSegment(name: string, body: SegmentBody): Promise<SegmentRecord> {
    const { store, limits, onLimit } = this.parts
    if ((await store.objects.every(SEGMENT)).length >= limits.segments) {
      onLimit('masakari.segments')
      throw new Fault('access.limited', `there are ${limits.segments} segments already (limits.masakari.segments)`)
    }
    const record: SegmentRecord = { ...this.begun(SEGMENT, name), body }
    await this.named(name, () => store.objects.add(untyped(record)))
    return record
  }

  async changeSegment(uuid: string, change: Partial<SegmentBody> & { name?: string }): Promise<SegmentRecord> {
    const before = await this.segment(uuid)
    if (before === meshSegment)
      throw new Fault('object.conflict', `Failover segment ${uuid} can't be updated: it is the mesh itself.`)
    const { name = before.name ?? '', ...body } = change
    const next = { ...before, name, updatedAtMs: this.parts.clock.now(), body: { ...before.body, ...body } }
    return typed(await this.named(name, () => this.parts.store.objects.put(untyped(next))))
  }

  /** Its hosts are in the segment of the mesh from then on. */
  async removeSegment(uuid: string): Promise<void> {
    const { objects } = this.parts.store
    const { name } = await this.segment(uuid)
    if (name === MESH_SEGMENT)
      throw new Fault('object.conflict', `Failover segment (${uuid}) can't be deleted: it is the mesh itself.`)
    for (const host of await this.placed()) if (host.body.segment === uuid) await objects.remove(HOST, host.uuid)
    await objects.remove(SEGMENT, uuid)
  }

  async hosts(segmentUuid: string): Promise<HostView[]> {
    const segment = await this.segment(segmentUuid)
    return (await this.allHosts()).filter((host) => host.segment.uuid === segment.uuid)
  }

  async host(segmentUuid: string, uuid: string): Promise<HostView> {
    const found = (await this.hosts(segmentUuid)).find((host) => host.uuid === uuid)
    if (!found) throw new Fault('object.missing', `No host with id ${uuid.slice(0, 64)}.`)
    return found
  }

  async addHost(segmentUuid: string, input: NewHost, user: string): Promise<HostView> {
    const { name, ...change } = input
    const segment = await this.segment(segmentUuid)
    const member = await this.members.find(name)
    const exists = () => new Fault('object.conflict', `Host with name ${name} already exists.`)
    if (segment === meshSegment || (await this.placed()).some((host) => host.name === name)) throw exists()
    mayReserve(member, change)
    const { type, control_attributes: control } = change
    const record: HostRecord = {
      ...this.begun(HOST, name),
      uuid: hostUuid(name),
      body: { segment: segment.uuid, type, control_attributes: control },
    }
    await this.parts.store.objects.add(untyped(record)).catch((error: unknown) => {
      throw isFault(error, 'object.conflict') ? exists() : error
    })
    await this.members.hold(member, change.on_maintenance, user)
    return this.host(segment.uuid, record.uuid)
  }

  async changeHost(
    [segmentUuid, uuid]: readonly [segment: string, host: string],
    change: HostChange,
    user: string,
  ): Promise<HostView> {
    const view = await this.host(segmentUuid, uuid)
    // Another name is another host: it must be a member, and has a record of its own.
    const member = await this.members.find(change.name ?? view.name)
    if (member.name !== view.name)
      throw new Fault('object.conflict', `Host ${uuid} can't be updated: its name is that of the member of the mesh.`)
    mayReserve(member, change)
    const record = await this.parts.store.objects.find(HOST, uuid)
    const { type, control_attributes: control } = change
    if (type !== undefined || control !== undefined) {
      if (!record)
        throw new Fault('object.conflict', `Host ${uuid} can't be updated: place it in a segment of its own first.`)
      const { body } = typed<HostBody>(record)
      const next: HostBody = { ...body, ...(type ? { type } : {}), ...(control ? { control_attributes: control } : {}) }
      await this.parts.store.objects.put({ ...record, updatedAtMs: this.parts.clock.now(), body: { ...next } })
    }
    await this.members.hold(member, change.on_maintenance, user)
    return this.host(segmentUuid, uuid)
  }

  /** It stays a member of the mesh. */
  async removeHost(segmentUuid: string, uuid: string): Promise<void> {
    const { segment, name } = await this.host(segmentUuid, uuid)
    if (segment === meshSegment)
      throw new Fault('object.conflict', `Host ${name} can't be deleted: it is a member of the mesh.`)
    await this.parts.store.objects.remove(HOST, uuid)
  }

  async notifications(): Promise<NotificationRecord[]> {
    return (await this.parts.store.objects.every(NOTIFICATION)).map(typed<NotificationBody>)
  }

  async notification(uuid: string): Promise<NotificationRecord> {
    const found = await this.parts.store.objects.find(NOTIFICATION, uuid)
    if (!found) throw new Fault('object.missing', `No notification with id ${uuid.slice(0, 64)}.`)
    return typed(found)
  }

  /** Writes it down, then has the mesh look. Throws what real Masakari refuses with, and `mesh.leaderless`, after which
   *  monitors try again. */
  async notify(given: SentNotification, user: string): Promise<NotificationRecord> {
    const { store, link } = this.parts
    const { type, hostname } = given
    const hosts = await this.allHosts()
    const host = hosts.find(({ name }) => name === hostname)
    if (!host) throw new Fault('input.invalid', `Host with name ${hostname} could not be found.`)
    if (host.onMaintenance)
      throw new Fault(
        'object.conflict',
        `Notification received from host ${hostname} of type '${type}' is ignored as the host is already under maintenance.`,
      )
    await this.mustHaveRoom()
    const body: NotificationBody = {
      ...given,
      ...firstState(given, host.segment),
      incident: null,
      tasks: [],
      vmoves: [],
    }
    const begun = this.begun(NOTIFICATION, null)
    const record: NotificationRecord = {
      ...begun,
      uniqueKey: OPEN.includes(body.state) ? duplicateKey(given) : null,
      body,
    }
    await store.objects.add(untyped(record)).catch((error: unknown) => {
      if (!isFault(error, 'object.conflict')) throw error
      throw new Fault('object.conflict', `Notification received from host ${hostname} of  type '${type}' is duplicate.`)
    })
    if (body.type === 'COMPUTE_HOST' && body.state === 'new')
      // It is written down: should the hint be lost, the mesh sees by itself what there is to see.
      await link
        .request('POST', `/rackward/v1/mesh/hosts/${encodeURIComponent(hostname)}/hint`, {
          body: { reason: `Masakari notification ${record.uuid}` },
          onBehalfOf: user,
        })
        .catch(() => undefined)
    return record
  }

  /** Every host of the mesh, in the segment that it was placed in. */
  async allHosts(): Promise<HostView[]> {
    const [segments, placed, { hosts }] = await Promise.all([
      this.segments(),
      this.placed(),
      this.parts.link.registry(),
    ])
    const byUuid = new Map(segments.map((segment) => [segment.uuid, segment]))
    const byName = new Map(placed.map((record) => [record.name, record]))
    return hosts.map((member) => {
      const record = byName.get(member.name)
      return {
        name: member.name,
        uuid: hostUuid(member.name),
        segment: byUuid.get(record?.body.segment ?? '') ?? meshSegment,
        type: record?.body.type ?? 'COMPUTE',
        controlAttributes: record?.body.control_attributes ?? 'mesh',
        onMaintenance: member.hold !== null,
        reserved: member.reserved ?? false,
        createdAtMs: record?.createdAtMs ?? 0,
        updatedAtMs: record?.updatedAtMs ?? null,
      }
    })
  }

  private async placed(): Promise<HostRecord[]> {
    return (await this.parts.store.objects.every(HOST)).map(typed<HostBody>)
  }

  /** What is settled makes room; what is open does not. */
  private async mustHaveRoom(): Promise<void> {
    const { store, limits, onLimit } = this.parts
    const all = await this.notifications()
    if (all.length < limits.notifications) return
    const settled = all.filter(({ body }) => !OPEN.includes(body.state))
    const oldest = settled.sort((a, b) => a.createdAtMs - b.createdAtMs)[0]
    onLimit('masakari.notifications')
    if (!oldest)
      throw new Fault('access.limited', `${all.length} notifications are not settled (limits.masakari.notifications)`)
    await store.objects.remove(NOTIFICATION, oldest.uuid)
  }

  private begun(kind: string, name: string | null): Omit<ObjectRecord, 'body'> {
    const { random, clock } = this.parts
    const createdAtMs = clock.now()
    return {
      kind,
      uuid: random.uuid(),
      version: 0,
      name,
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs,
      updatedAtMs: null,
    }
  }

  private async named<T>(name: string, write: () => Promise<T>): Promise<T> {
    const exists = () => new Fault('object.conflict', `Failover segment with name ${name} already exists.`)
    if (name === MESH_SEGMENT) throw exists()
    return write().catch((error: unknown) => {
      throw isFault(error, 'object.conflict') ? exists() : error
    })
  }
}
