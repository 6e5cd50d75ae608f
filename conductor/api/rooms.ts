/** /rackward/v1/rooms: boot rooms, their certificates, and what is heard of them. */
import { Fault } from '../../kit/fault.ts'
import { certificateEndMs, type Bundle } from '../boot/rooms/records.ts'
import type { Rooms, RoomNow } from '../boot/rooms/rooms.ts'
import { mustBeWhole } from './access.ts'
import { checkInput, z } from './node-input.ts'
import type { DescribedRoute } from './route.ts'
import { time } from './views.ts'

export interface RoomRouteParts {
  /** Absent: the configuration has no `rooms`. */
  readonly bootRooms: Rooms | undefined
}

const PATH = '/rackward/v1/rooms'
const MAX_DAYS = 3_650

const Days = z.int().min(1).max(MAX_DAYS).optional().describe('for how long its certificate holds; absent: 365 days')
const RoomBody = z.strictObject({
  name: z.string().min(1).max(32).describe('lower-case letters, digits and dashes'),
  segments: z.array(z.string().min(1).max(64)).min(1).max(1_000).describe('of rooms.segments in the configuration'),
  days: Days,
})
const RenewBody = z.strictObject({ days: Days })

const RoomView = z.object({
  name: z.string(),
  segments: z.array(z.string()),
  connected: z.boolean(),
  address: z.string().nullable().describe('where its nodes reach it'),
  heard_at: z
    .string()
    .nullable()
    .describe('when a conductor heard of it last; of one that is away: how old its knowledge is'),
  expires_at: z.string().describe('when its newest certificate expires'),
  created_at: z.string().nullable(),
})
const RoomList = z.object({ rooms: z.array(RoomView) })
const BundleView = z.object({
  room: z.string(),
  pins: z.array(z.string()),
  cert: z.string(),
  key: z.string().describe('its private key, which is shown this once'),
  expires_at: z.string(),
})

export type RoomView = z.infer<typeof RoomView>
export type BundleView = z.infer<typeof BundleView>

export function roomRoutes({ bootRooms }: RoomRouteParts): DescribedRoute[] {
  const rooms = (): Rooms => {
    if (!bootRooms) throw new Fault('object.conflict', 'there are no boot rooms: `rooms` is not configured')
    return bootRooms
  }
  return [
    {
      method: 'get',
      path: PATH,
      role: 'operator',
      answer: RoomList,
      summary: 'boot rooms, and which of them are connected',
      async handle(request) {
        mustBeWhole(request.actor, 'boot rooms')
        return { body: { rooms: bootRooms ? (await bootRooms.states()).map(viewOf) : [] } }
      },
    },
    {
      method: 'post',
      path: PATH,
      role: 'admin',
      body: RoomBody,
      answer: BundleView,
      summary: 'adds a boot room; answers what it is started with, once',
      async handle(request) {
        mustBeWhole(request.actor, 'boot rooms')
        const { name, segments, days } = checkInput(RoomBody, request.body)
        const bundle = await rooms().add({ name, segments, ...(days === undefined ? {} : { days }) })
        return { status: 201, body: bundleView(bundle) }
      },
    },
    {
      method: 'get',
      path: `${PATH}/:name`,
      role: 'operator',
      answer: RoomView,
      summary: 'a boot room',
      async handle(request) {
        mustBeWhole(request.actor, 'boot rooms')
        return { body: viewOf(await rooms().state(request.params.name ?? '')) }
      },
    },
    {
      method: 'post',
      path: `${PATH}/:name/certificate`,
      role: 'admin',
      body: RenewBody,
      answer: BundleView,
      summary: 'a new certificate for a boot room; the one of before holds until the new one is used',
      async handle(request) {
        mustBeWhole(request.actor, 'boot rooms')
        const { days } = checkInput(RenewBody, request.body ?? {})
        return { status: 201, body: bundleView(await rooms().renew(request.params.name ?? '', days)) }
      },
    },
    {
      method: 'delete',
      path: `${PATH}/:name`,
      role: 'admin',
      answer: z.null(),
      summary: 'removes a boot room: its certificate is refused from then on',
      async handle(request) {
        mustBeWhole(request.actor, 'boot rooms')
        await rooms().remove(request.params.name ?? '')
      },
    },
  ]
}

function viewOf(room: RoomNow): RoomView {
  const { name, segments, isConnected, heard, heardAtMs, createdAtMs } = room
  return {
    name,
    segments: [...segments],
    connected: isConnected,
    address: heard?.address ?? null,
    heard_at: time(heardAtMs),
    expires_at: time(certificateEndMs(room)) ?? '',
    created_at: time(createdAtMs),
  }
}

const bundleView = ({ room, pins, cert, key, expiresAt }: Bundle): BundleView => ({
  room,
  pins: [...pins],
  cert,
  key,
  expires_at: expiresAt,
})
