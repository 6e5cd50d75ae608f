/** A conductor's side of boot rooms without the rest of a conductor: its port, its records in SQLite, its hub; and
 *  rooms that dial it, over loopback addresses. */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Server } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { certificatePin } from '../../../conductor/agents/certificate.ts'
import { RoomAddresses } from '../../../conductor/boot/rooms/addresses.ts'
import { answerFiles } from '../../../conductor/boot/rooms/fetch.ts'
import { RoomHub } from '../../../conductor/boot/rooms/hub.ts'
import { RoomRecords, type Bundle } from '../../../conductor/boot/rooms/records.ts'
import { BootRoom } from '../../../conductor/boot/rooms/room.ts'
import { Rooms } from '../../../conductor/boot/rooms/rooms.ts'
import { roomServer } from '../../../conductor/boot/rooms/server.ts'
import type { BootClient, OrderNow } from '../../../conductor/boot/orders.ts'
import type { BootEvent } from '../../../conductor/boot/wire.ts'
import { parseConfig, type Config } from '../../../conductor/config.ts'
import { newNode, type NodeRecord } from '../../../conductor/node/record.ts'
import { openSqlite } from '../../../conductor/start/open-store.ts'
import type { PortRecord, Store } from '../../../conductor/store/port.ts'
import { PORT_DEFAULTS } from '../../../conductor/store/port.ts'
import { loadSeal } from '../../../conductor/store/secrets.ts'
import { selfSigned } from '../../../kit/certificate.ts'
import { systemClock } from '../../../kit/clock.ts'
import { closed, listen } from '../../../kit/listen.ts'
import { makeLog, silentLog } from '../../../kit/log.ts'
import { systemRandom } from '../../../kit/random.ts'
import { LOADERS } from '../../../pxe/firmware.ts'
import { freePort } from '../../kit/free-port.ts'
import { client } from '../boot-clients.ts'

export const SEGMENT = 'rack1'
const KEY = Buffer.alloc(32, 7)

const configText = (dir: string, port: number) => `
data: ${dir}/data
images: { store: ${dir}/images }
api: { listen: [{ address: 127.0.0.1, port: 0 }], auth: { strategy: noauth } }
agent: { address: 127.0.0.1, port: 9999 }
boot:
  interfaces: []
  http: { address: 127.0.0.1, port: 0 }
  tftp: 127.0.0.1
  subnets: []
  kernel: ${dir}/kernel
  initrd: ${dir}/initrd
rooms:
  listen: { address: 127.0.0.1, port: ${port} }
  segments:
    - { name: ${SEGMENT}, cidr: 10.9.0.0/24, first: 10.9.0.100, last: 10.9.0.102 }
    - { name: rack2, cidr: 10.8.0.0/24, first: 10.8.0.100, last: 10.8.0.200 }
`

/** A conductor's side. */
export class Side {
  readonly events: BootEvent[] = []
  /** What is served, by path; and what was asked for. */
  readonly files = new Map<string, string>()
  readonly asked: string[] = []
  readonly told: { kind: string; detail: Record<string, unknown> }[] = []
  readonly config: Config
  readonly records: RoomRecords
  readonly hub: RoomHub
  readonly rooms: Rooms
  readonly url: URL
  private readonly store: Store
  private server: Server | undefined
  private readonly identity: { key: Buffer; cert: Buffer; pin: string }
  private readonly port: number

  constructor(parts: { config: Config; store: Store; identity: Side['identity']; port: number; nowMs?: () => number }) {
    const { config, store, identity, port, nowMs = () => Date.now() } = parts
    this.config = config
    this.store = store
    this.identity = identity
    this.port = port
    this.url = new URL(`https://127.0.0.1:${port}`)
    const clock = { ...systemClock, now: nowMs }
    this.records = new RoomRecords(store.objects)
    const addresses: RoomAddresses = new RoomAddresses({
      objects: store.objects,
      random: systemRandom,
      clock,
      isFixed: (ip) => this.hub.isFixed(ip),
    })
    this.hub = new RoomHub({
      segments: config.rooms?.segments ?? [],
      addresses,
      roomsOf: async (segment) =>
        (await this.records.all()).filter((one) => one.segments.includes(segment)).map(({ name }) => name),
      epoch: () => 1,
      log: process.env.ROOM_LOG ? makeLog('side', { level: 'debug', format: 'text' }) : silentLog,
    })
    this.rooms = new Rooms({
      config,
      conductor: `conductor ${port}`,
      pin: identity.pin,
      tokenKey: KEY,
      records: this.records,
      hub: this.hub,
      clock,
      random: systemRandom,
      log: process.env.ROOM_LOG ? makeLog('side', { level: 'debug', format: 'text' }) : silentLog,
      onEvent: (event) => void this.events.push(event),
      tell: (kind, detail) => void this.told.push({ kind, detail }),
      onHeld: async () => undefined,
      onRemoved: async () => undefined,
    })
    this.load = () => addresses.load()
  }

  private readonly load: () => Promise<void>

  async listen(): Promise<void> {
    await this.load()
    const { identity, records, rooms } = this
    const answer = answerFiles((path) => this.files.get(path))
    const onFile = (_: unknown, request: IncomingMessage, response: ServerResponse) => {
      this.asked.push(request.url ?? '')
      return answer(request, response)
    }
    this.server = roomServer({ identity, records, clock: systemClock, log: silentLog, onLink: rooms.onLink, onFile })
    await listen(this.server, { port: this.port, host: '127.0.0.1' })
  }

  /** As a kill does. */
  async down(): Promise<void> {
    this.rooms.stop()
    if (this.server) await closed(this.server)
    this.server = undefined
  }

  /** The records of a node with one port are as these. */
  async node(n: number, order: OrderNow, at: { version: number; segment?: string | null }): Promise<BootClient> {
    const nodeUuid = uuidOf(n)
    const made = { ...client(macOf(n)), nodeUuid, order }
    const port = {
      ...PORT_DEFAULTS,
      uuid: nodeUuid,
      nodeUuid,
      address: made.mac,
      createdAtMs: 1000,
      physicalNetwork: at.segment === undefined ? SEGMENT : at.segment,
    } as PortRecord
    const node = { uuid: nodeUuid, version: at.version } as NodeRecord
    // Its address goes with it.
    if (!(await this.store.node(nodeUuid)))
      await this.store.addNode(newNode({ uuid: nodeUuid, driver: 'fake-hardware' }, 0))
    this.hub.reached(at.version)
    await this.hub.take({ nodeUuid, node, ports: [port], clients: [made] })
    return made
  }

  async gone(n: number): Promise<void> {
    await this.hub.take({ nodeUuid: uuidOf(n), node: undefined, ports: [], clients: [] })
  }

  get objects(): Store['objects'] {
    return this.store.objects
  }
}

export const macOf = (n: number) => `52:54:00:00:00:${n.toString(16).padStart(2, '0')}`
export const uuidOf = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

export interface RoomRack {
  readonly dir: string
  readonly side: (nowMs?: () => number) => Promise<Side>
  readonly room: (bundle: Bundle, conductors: readonly URL[], at: { address: string; data?: string }) => BootRoom
  readonly httpPort: number
  readonly end: () => Promise<void>
}

/** Every side shares the records and the certificate. */
export async function roomRack(): Promise<RoomRack> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-rooms-'))
  // A room that cannot serve what it is told ends the connection, and dials again and again.
  await mkdir(join(dir, 'loaders'))
  for (const name of LOADERS) await writeFile(join(dir, 'loaders', name), name)
  const seal = await loadSeal(join(dir, 'secret.key'), systemRandom)
  const limits = parseConfig(configText(dir, 1), 'test').limits.events
  const { store, close } = openSqlite(join(dir, 'rackward.db'), seal, { clock: systemClock, limits })
  const { key, cert } = await selfSigned({ commonName: 'conductor', days: 2 })
  const identity = { key: Buffer.from(key), cert: Buffer.from(cert), pin: certificatePin(cert) }
  const ends: (() => Promise<void>)[] = []
  const httpPort = await freePort('127.0.0.1')
  return {
    dir,
    httpPort,
    side: async (nowMs) => {
      const port = await freePort()
      const config = parseConfig(configText(dir, port), 'test')
      const made = new Side({ config, store, identity, port, ...(nowMs ? { nowMs } : {}) })
      ends.push(() => made.down())
      return made
    },
    room: (bundle, conductors, { address, data = join(dir, `room ${bundle.room}`) }) => {
      const made = new BootRoom({
        bundle,
        conductors,
        data,
        interfaces: [],
        address,
        httpPort,
        loaders: join(dir, 'loaders'),
        cacheBytes: 1024 ** 3,
        clock: systemClock,
        random: systemRandom,
        log: process.env.ROOM_LOG ? makeLog('room', { level: 'debug', format: 'text' }) : silentLog,
      })
      ends.push(() => made.stop())
      return made
    },
    end: async () => {
      for (const stop of ends.reverse()) await stop()
      await close()
      await rm(dir, { recursive: true })
    },
  }
}
