/** Datagrams of the mesh: bytes <-> meaning. `RWM1`, type, plane, length of the sender's name, its name, body; the code
 *  over all of it comes last (keys.ts). Nothing in here is believed before the code was checked, save the sender's
 *  name, which says whose code it must be. Pure. */
import { deflateRawSync, inflateRawSync } from 'node:zlib'
import * as z from 'zod/mini'
import { PLANES, SELF_STATES, type Heartbeat, type HeartbeatReply, type Plane } from './heartbeat.ts'

export type Message =
  | { readonly type: 'probe'; readonly nonce: string }
  | { readonly type: 'reply'; readonly nonce: string }
  | { readonly type: 'heartbeat'; readonly heartbeat: Heartbeat }
  | { readonly type: 'ack'; readonly ack: HeartbeatReply }

const MAGIC = Buffer.from('RWM1')
const TYPES = ['probe', 'reply', 'heartbeat', 'ack'] as const
const HEAD_BYTES = 7
const NONCE_BYTES = 9
export const MAX_BYTES = 60_000
/** What a heartbeat may be unpacked. */
const MAX_UNPACKED = 4 * 1024 * 1024

const Age = z.number().check(z.minimum(0))
const Sight = z.object({ replyAgeMs: z.nullable(Age), misses: z.int().check(z.minimum(0)) })
const Names = z.record(z.string(), Age)
const HeartbeatShape = z.object({
  from: z.string(),
  bootId: z.string().check(z.maxLength(64)),
  seq: z.int().check(z.minimum(0)),
  self: z.object({
    state: z.enum(SELF_STATES),
    lagMs: Age,
    storageLost: z.boolean(),
    guests: z.nullable(z.int().check(z.minimum(0))),
    consents: z.boolean(),
    gate: z.enum(['open', 'closed', 'none']),
    watchdogMs: z.nullable(Age),
    strained: z.optional(z.boolean()),
  }),
  peers: z.record(
    z.string(),
    z.object({ planes: z.partialRecord(z.enum(PLANES), Sight), kernelAgeMs: z.nullable(Age) }),
  ),
  heard: z.optional(Names),
  ticks: z.optional(z.record(z.string(), z.object({ advanceAgeMs: Age, readingMs: Age }))),
  noGrant: z.optional(z.array(z.string())),
  settled: z.optional(z.boolean()),
  storeAgeMs: z.optional(Age),
  /** `timestamp`, under its first name. */
  mark: z.optional(Age),
  /** `echoedTimestamps`, under its first name. */
  echo: z.optional(Names),
})
const AckShape = z.object({
  seq: z.int(),
  bootId: z.string().check(z.maxLength(64)),
  grants: z.boolean(),
  order: z.nullable(z.enum(['open gate', 'stop guests'])),
})

export function encode(from: string, plane: Plane, message: Message): Buffer {
  const name = Buffer.from(from)
  const head = Buffer.concat([
    MAGIC,
    Buffer.from([TYPES.indexOf(message.type), PLANES.indexOf(plane), name.length]),
    name,
  ])
  return Buffer.concat([head, bodyOf(message)])
}

function bodyOf(message: Message): Buffer {
  if (message.type === 'probe' || message.type === 'reply') return Buffer.from(message.nonce, 'base64url')
  if (message.type === 'ack') return Buffer.from(JSON.stringify(message.ack))
  const { timestamp: mark, echoedTimestamps: echo, ...rest } = message.heartbeat
  return deflateRawSync(JSON.stringify({ ...rest, mark, echo }), { level: 1 })
}

/** The name that a datagram gives for its sender; undefined: it is none of ours. */
export function senderOf(bytes: Buffer): string | undefined {
  if (bytes.length < HEAD_BYTES || bytes.length > MAX_BYTES || !bytes.subarray(0, 4).equals(MAGIC)) return undefined
  const length = bytes[6] as number
  return bytes.length < HEAD_BYTES + length ? undefined : bytes.toString('utf8', HEAD_BYTES, HEAD_BYTES + length)
}

/** What an opened datagram says; undefined: it says nothing that we understand. */
export function decode(bytes: Buffer): { plane: Plane; message: Message } | undefined {
  const from = senderOf(bytes)
  const [type, plane] = [TYPES[bytes[4] as number], PLANES[bytes[5] as number]]
  if (from === undefined || type === undefined || plane === undefined) return undefined
  const body = bytes.subarray(HEAD_BYTES + (bytes[6] as number))
  if (type === 'probe' || type === 'reply')
    return body.length === NONCE_BYTES ? { plane, message: { type, nonce: body.toString('base64url') } } : undefined
  const value = json(type === 'heartbeat' ? unpacked(body) : body)
  if (type === 'ack') {
    const ack = AckShape.safeParse(value)
    return ack.success ? { plane, message: { type, ack: ack.data } } : undefined
  }
  const read = HeartbeatShape.safeParse(value)
  // A node reports about itself only.
  return read.success && read.data.from === from
    ? { plane, message: { type, heartbeat: heartbeatFrom(read.data) } }
    : undefined
}

function heartbeatFrom({ mark, echo, ...rest }: z.infer<typeof HeartbeatShape>): Heartbeat {
  return {
    ...(rest as Heartbeat),
    ...(mark === undefined ? {} : { timestamp: mark }),
    ...(echo === undefined ? {} : { echoedTimestamps: echo }),
  }
}

export const NONCE_LENGTH = NONCE_BYTES

function unpacked(body: Buffer): Buffer | undefined {
  try {
    return inflateRawSync(body, { maxOutputLength: MAX_UNPACKED })
  } catch {
    return undefined
  }
}

function json(bytes: Buffer | undefined): unknown {
  try {
    return bytes && JSON.parse(bytes.toString())
  } catch {
    return undefined
  }
}
