/** Boot rooms, where they are configured: their records, the port that they dial, and what they are told. */
import { Fault } from '../../kit/fault.ts'
import { closed, listen } from '../../kit/listen.ts'
import type { Identity } from '../agents/certificate.ts'
import { RoomAddresses } from '../boot/rooms/addresses.ts'
import { answerFiles } from '../boot/rooms/fetch.ts'
import { RoomHub } from '../boot/rooms/hub.ts'
import { RoomRecords } from '../boot/rooms/records.ts'
import { Rooms } from '../boot/rooms/rooms.ts'
import { roomServer } from '../boot/rooms/server.ts'
import { hearRoom } from '../doubt/hear.ts'
import { Witness } from '../doubt/witness.ts'
import { servedFile } from '../boot/render.ts'
import type { BootWatch } from '../boot/watch.ts'
import { hostnameOf, type Context } from './context.ts'
import type { Doubting } from './doubt.ts'
import type { Storage } from './storage.ts'

export interface BootRooms {
  readonly rooms: Rooms
  readonly hub: RoomHub
  /** Before the first order is taken. */
  readonly load: () => Promise<void>
  readonly listen: () => Promise<void>
}

/** Undefined: none are configured. Throws `config.invalid` where rooms have nothing to boot. */
export function roomParts(
  context: Context,
  { store, events, doubt, firstSeq }: Storage & Doubting,
  at: { readonly identity: Identity | undefined; readonly tokenKey: Buffer; readonly watch: BootWatch },
): BootRooms | undefined {
  const { config, clock, random, log, life } = context
  if (!config.rooms) return undefined
  const { identity, tokenKey, watch } = at
  if (!config.boot || !config.agent || !identity)
    throw new Fault('config.invalid', 'rooms: boot and agent must both be there')
  const { segments, listen: place } = config.rooms
  const records = new RoomRecords(store.objects)
  const addresses: RoomAddresses = new RoomAddresses({
    objects: store.objects,
    random,
    clock,
    isFixed: (ip) => hub.isFixed(ip),
  })
  const epoch = () => doubt.epoch
  const hub: RoomHub = new RoomHub({
    segments,
    addresses,
    roomsOf: async (segment) =>
      (await records.all()).filter((one) => one.segments.includes(segment)).map(({ name }) => name),
    epoch,
    mayTell: () => doubt.isOpen,
    log,
  })
  const conductor = hostnameOf(config)
  const witness = new Witness({
    store,
    clock,
    conductor,
    epoch,
    known: (mac, room) => (doubt.knowsBeside(room) ? hub.clientAt(mac) : undefined),
    firstSeq,
  })
  const isThere = async (room: string) => (await records.find(room)) !== undefined
  const rooms = new Rooms({
    config,
    conductor,
    pin: identity.pin,
    tokenKey,
    records,
    hub,
    clock,
    random,
    log,
    onEvent: (event) => watch.onEvent(event),
    onHeld: (room, { mark }, held) => hearRoom({ room, mark, held }, { doubt, witness, isThere }),
    onRemoved: (room) => doubt.forget(room),
    tell: (kind, detail) => events.queue.add({ atMs: clock.now(), nodeUuid: null, kind, detail }),
  })
  store.owner?.listen({ missed: () => doubt.askAnew(rooms.redial()) })
  const load = async (): Promise<void> => {
    await addresses.load()
    // Rooms say which nodes the database is wrong about.
    const unwatch = store.journal.watch(hub.reached, (at) => {
      hub.fellBack(at)
      doubt.askAnew(rooms.redial())
    })
    hub.reached(await store.journal.lastSeq())
    await life.add(
      'boot rooms',
      () => rooms.start(),
      () => (unwatch(), rooms.stop()),
    )
  }
  const files = { boot: config.boot, images: config.images }
  const answer = answerFiles((path) => servedFile(path, files))
  const server = roomServer({
    identity,
    records,
    clock,
    log,
    onLink: rooms.onLink,
    onFile: (_, request, response) => answer(request, response),
  })
  const open = async (): Promise<void> => {
    await life.add('room port', () => listen(server, { port: place.port, host: place.address }), closed)
    doubt.countDown()
  }
  return { rooms, hub, load, listen: open }
}
