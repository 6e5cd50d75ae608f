/** Boot rooms in the store: a name, the segments that a room serves, and the certificates that it may show. What is
 *  kept of a certificate is its digest. */
import * as z from 'zod'
import { selfSigned } from '../../../kit/certificate.ts'
import { certificatePin } from '../../agents/certificate.ts'
import { Fault } from '../../../kit/fault.ts'
import { untilFresh } from '../../store/again.ts'
import type { ObjectRecord, Store } from '../../store/port.ts'

export const ROOM = 'boot room'
export const ROOM_NAME = /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/
export const CERTIFICATE_DAYS = 365
const DAY_MS = 86_400_000
/** The present one, and the one that takes its place. */
const MAX_CERTIFICATES = 2

const Body = z.object({
  segments: z.array(z.string()),
  certificates: z.array(z.object({ pin: z.string(), expiresAtMs: z.number() })),
  /** What a conductor heard of it last; null: nothing yet. */
  heard: z
    .object({
      atMs: z.number(),
      by: z.string(),
      address: z.string(),
      port: z.number(),
      epoch: z.number(),
      seq: z.number(),
      connected: z.boolean(),
    })
    .nullable(),
  /** Reports that were taken of it, by the name of its queue. */
  queue: z.object({ name: z.string(), taken: z.number() }).nullable(),
})
export type RoomBody = z.infer<typeof Body>

export interface RoomRecord extends RoomBody {
  readonly name: string
  readonly uuid: string
  readonly createdAtMs: number
}

/** What a room is started with. It is shown once. */
export interface Bundle {
  readonly room: string
  /** SHA-256 of the certificates of the conductors. */
  readonly pins: readonly string[]
  readonly cert: string
  readonly key: string
  readonly expiresAt: string
}

export function roomOf(object: ObjectRecord): RoomRecord {
  const body = Body.safeParse(object.body)
  if (!body.success || object.name === null)
    throw new Fault('store.damaged', `the boot room ${object.uuid} cannot be read`)
  return { ...body.data, name: object.name, uuid: object.uuid, createdAtMs: object.createdAtMs }
}

/** When its newest certificate expires. */
export const certificateEndMs = ({ certificates }: Pick<RoomRecord, 'certificates'>): number =>
  Math.max(0, ...certificates.map(({ expiresAtMs }) => expiresAtMs))

type Objects = Pick<Store['objects'], 'add' | 'put' | 'find' | 'every' | 'remove'>

export class RoomRecords {
  private readonly objects: Objects

  constructor(objects: Objects) {
    this.objects = objects
  }

  async all(): Promise<RoomRecord[]> {
    return (await this.objects.every(ROOM)).map(roomOf).sort((a, b) => a.name.localeCompare(b.name))
  }

  async find(name: string): Promise<RoomRecord | undefined> {
    const found = await this.objects.find(ROOM, name)
    return found && roomOf(found)
  }

  /** Throws `object.missing`. */
  async get(name: string): Promise<RoomRecord> {
    const room = await this.find(name)
    if (!room) throw new Fault('object.missing', `there is no boot room ${JSON.stringify(name.slice(0, 64))}`)
    return room
  }

  /** Throws `object.conflict` for a name that is taken. */
  async add(room: Pick<RoomRecord, 'name' | 'uuid' | 'segments' | 'certificates'>, nowMs: number): Promise<void> {
    const { name, uuid, segments, certificates } = room
    await this.objects.add({
      kind: ROOM,
      uuid,
      version: 0,
      name,
      nodeUuid: null,
      uniqueKey: null,
      createdAtMs: nowMs,
      updatedAtMs: null,
      body: { segments, certificates, heard: null, queue: null } satisfies RoomBody,
    })
  }

  /** Throws `object.missing`. */
  change(name: string, nowMs: number, change: (room: RoomRecord) => Partial<RoomBody>): Promise<RoomRecord> {
    return untilFresh(async () => {
      const object = await this.objects.find(ROOM, name)
      if (!object) throw new Fault('object.missing', `there is no boot room ${JSON.stringify(name.slice(0, 64))}`)
      const { segments, certificates, heard, queue } = roomOf(object)
      const body = { segments, certificates, heard, queue, ...change(roomOf(object)) }
      return roomOf(await this.objects.put({ ...object, updatedAtMs: nowMs, body }))
    })
  }

  async remove(name: string): Promise<void> {
    await this.objects.remove(ROOM, (await this.get(name)).uuid)
  }
}

/** The newest first; one more than the present one. */
export const withCertificate = (
  room: Pick<RoomRecord, 'certificates'>,
  made: RoomBody['certificates'][number],
): Pick<RoomBody, 'certificates'> => ({ certificates: [made, ...room.certificates].slice(0, MAX_CERTIFICATES) })

/** A new certificate and its key, for this room alone. */
export async function newCertificate(
  name: string,
  { days, nowMs }: { readonly days: number; readonly nowMs: number },
): Promise<{ key: string; cert: string; pin: string; expiresAtMs: number }> {
  const { key, cert } = await selfSigned({ commonName: `rackward-room-${name}`, days })
  return { key, cert, pin: certificatePin(cert), expiresAtMs: nowMs + days * DAY_MS }
}
