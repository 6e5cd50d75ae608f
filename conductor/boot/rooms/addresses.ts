/** The addresses of servers that boot through rooms: each port has one, which is allotted once and kept in the store,
 *  so that every room of a segment gives the same. */
import { createHash } from 'node:crypto'
import { isFault } from '../../../kit/fault.ts'
import type { Random } from '../../../kit/random.ts'
import { ipToNumber, numberToIp } from '../../../pxe/addresses.ts'
import type { RoomSegment } from '../../config-rooms.ts'
import type { ObjectRecord, Store } from '../../store/port.ts'

export const ROOM_ADDRESS = 'boot room address'
/** Conductors that take the same free address at the same time. */
const MAX_ROUNDS = 50

export interface AddressParts {
  readonly objects: Pick<Store['objects'], 'add' | 'find' | 'every' | 'remove'>
  readonly random: Random
  readonly clock: { now(): number }
  /** True for the fixed address of any client. */
  readonly isFixed: (ip: string) => boolean
}

/** A port, or a bundle of ports, which has one address. */
export interface AddressHolder {
  readonly nodeUuid: string
  readonly key: string
}

export class RoomAddresses {
  private readonly parts: AddressParts
  /** Segment and key -> object. */
  private readonly byHolder = new Map<string, { readonly ip: string; readonly uuid: string }>()
  /** Segment and address. */
  private readonly taken = new Set<string>()

  constructor(parts: AddressParts) {
    this.parts = parts
  }

  async load(): Promise<void> {
    this.byHolder.clear()
    this.taken.clear()
    for (const object of await this.parts.objects.every(ROOM_ADDRESS)) this.enter(object)
  }

  /** Undefined: all addresses of the segment are taken. */
  async of(segment: RoomSegment, holder: AddressHolder): Promise<string | undefined> {
    const name = nameOf(segment.name, holder.key)
    for (let round = 0; round < MAX_ROUNDS; round += 1) {
      const known = this.byHolder.get(name)
      if (known) return known.ip
      const ip = this.free(segment)
      if (ip === undefined) return undefined
      const object = this.objectOf(segment, holder, ip)
      try {
        await this.parts.objects.add(object)
        this.enter(object)
        return ip
      } catch (error) {
        if (!isFault(error, 'object.conflict')) throw error
        // Another conductor was faster, for this port or for this address.
        await this.load()
      }
    }
    return undefined
  }

  /** The port, or the last of its bundle, is gone. */
  async forget(segment: string, key: string): Promise<void> {
    const name = nameOf(segment, key)
    const known = this.byHolder.get(name)
    if (!known) return
    await this.parts.objects.remove(ROOM_ADDRESS, known.uuid).catch((error: unknown) => {
      if (!isFault(error, 'object.missing')) throw error
    })
    this.byHolder.delete(name)
    this.taken.delete(`${segment} ${known.ip}`)
  }

  private enter({ uuid, name, body }: ObjectRecord): void {
    if (name === null || typeof body.address !== 'string') return
    this.byHolder.set(name, { ip: body.address, uuid })
    this.taken.add(`${String(body.segment)} ${body.address}`)
  }

  private free(segment: RoomSegment): string | undefined {
    const last = ipToNumber(segment.last)
    for (let at = ipToNumber(segment.first); at <= last; at += 1) {
      const ip = numberToIp(at)
      if (ip !== segment.router && !this.taken.has(`${segment.name} ${ip}`) && !this.parts.isFixed(ip)) return ip
    }
    return undefined
  }

  private objectOf({ name: segment }: RoomSegment, { nodeUuid, key }: AddressHolder, address: string): ObjectRecord {
    return {
      kind: ROOM_ADDRESS,
      uuid: this.parts.random.uuid(),
      version: 0,
      name: nameOf(segment, key),
      nodeUuid,
      uniqueKey: `${segment} ${address}`,
      createdAtMs: this.parts.clock.now(),
      updatedAtMs: null,
      body: { segment, address },
    }
  }
}

/** Names of objects are limited in their characters and length. */
const nameOf = (segment: string, key: string): string =>
  createHash('sha256').update(`${segment} ${key}`).digest('hex').slice(0, 32)
