/** What the mesh keeps in Consul's store, under one prefix: who belongs to it, what an operator wants, incidents and the intents of their instances.
 *  Everything read from there is checked: whoever could write there could otherwise steer a fence. */
import * as z from 'zod/mini'
import { INTENT_STATES, type Intent } from '../evacuate/intents.ts'
import { INCIDENT_STATES, LEVELS, type Incident, type Level } from '../fence/states.ts'
import { HOST_NAME } from '../protocol/names.ts'
import { PLANES } from '../protocol/heartbeat.ts'
import { LIMITS, type Limits } from '../verdict/limits.ts'

export const PREFIX = 'rackward/'
export const KEYS = {
  leader: `${PREFIX}leader`,
  policy: `${PREFIX}policy`,
  members: `${PREFIX}members/`,
  holds: `${PREFIX}holds/`,
  incidents: `${PREFIX}incidents/`,
  intents: `${PREFIX}intents/`,
  requests: `${PREFIX}requests/`,
  bmcs: `${PREFIX}bmcs/`,
} as const

const Name = z.string().check(z.regex(HOST_NAME, 'is not a host name'))
const Text = z.string().check(z.maxLength(2_000))
const Count = z.int().check(z.minimum(0))

export const MemberRecord = z.object({
  name: Name,
  role: z.enum(['host', 'arbiter']),
  rack: z.nullable(z.string().check(z.maxLength(64))),
  /** Plane -> address and port that its prober listens on. */
  planes: z.partialRecord(
    z.enum(PLANES),
    z.object({
      address: z.string().check(z.regex(/^[0-9a-f.:]+$/i)),
      port: z.int().check(z.minimum(1), z.maximum(65_535)),
    }),
  ),
  ticks: z.boolean(),
  /** X25519, raw, base64. */
  publicKey: z.string().check(z.regex(/^[A-Za-z0-9+/]{43}=$/)),
  /** The SMBIOS UUID, which its BMC must answer as its GUID; null: its BMC is not checked and never used. */
  systemUuid: z.nullable(z.string().check(z.regex(/^[0-9a-f-]{36}$/i))),
  /** The conductor's node, for fencing through its BMC. */
  node: z.nullable(z.string().check(z.maxLength(255))),
  /** Kept empty for failures. */
  reserved: z.boolean(),
  /** Where the arbiter answers people, as a URL. */
  api: z.nullable(z.string().check(z.maxLength(255))),
  /** Written once a boot, for arbiters that were not there to hear it: which boot, the time-out of its armed watchdog, and whether it left as planned. */
  boot: z.optional(
    z.object({
      id: z.string().check(z.minLength(1), z.maxLength(64)),
      watchdogMs: z.nullable(z.int().check(z.minimum(1), z.maximum(600_000))),
      leaving: z.boolean(),
    }),
  ),
})
export type MemberRecord = z.infer<typeof MemberRecord>

const LimitsChange = z.partialRecord(z.enum(Object.keys(LIMITS) as [keyof Limits]), z.number().check(z.minimum(0)))

export const Policy = z.object({
  armed: z.boolean(),
  /** Says what it would have done, and does nothing. */
  dryRun: z.boolean(),
  why: Text,
  by: z.string().check(z.maxLength(255)),
  levels: z.array(z.enum(Object.keys(LEVELS) as [Level])),
  /** What is done about a host whose kernel answers and whose agent does not: asked a person, or fenced after `softVetoMs`. */
  agentLost: z.enum(['page', 'fence']),
  /** What is done about a host that answers on its storage plane alone: a person is told, or it is asked to stop its guests and then switched off. */
  isolated: z._default(z.enum(['page', 'fence']), 'page'),
  /** What is done about a host whose guests run and cannot be reached: a person is told, or its instances are moved live. */
  tenantLost: z._default(z.enum(['page', 'drain']), 'page'),
  limits: LimitsChange,
})
export type Policy = z.infer<typeof Policy>

/** A mesh is born disarmed: arming it is a person's decision. */
export const FIRST_POLICY: Policy = {
  armed: false,
  dryRun: false,
  why: 'never armed',
  by: 'rackward',
  levels: ['L0', 'L1', 'L3', 'L5'],
  agentLost: 'page',
  isolated: 'page',
  tenantLost: 'page',
  limits: {},
}

export const HOLD_KINDS = ['maintenance', 'deploying', 'leave', 'drain'] as const
export const Hold = z.object({
  kind: z.enum(HOLD_KINDS),
  why: Text,
  by: z.string().check(z.maxLength(255)),
  /** It ends by itself; null: it does not. */
  seconds: z.nullable(z.number().check(z.minimum(1), z.maximum(30 * 86_400))),
})
export type Hold = z.infer<typeof Hold>

/** Arbiter -> a host's BMC credentials, sealed for it (kit/sealed-box). */
export const SealedBmc = z.object({
  sealed: z.record(Name, z.string().check(z.maxLength(8_192), z.regex(/^[A-Za-z0-9+/]+=*$/))),
})
export type SealedBmc = z.infer<typeof SealedBmc>

/** What an operator asks of the leader; taken up and deleted in one transaction. */
export const OperatorRequest = z.object({
  kind: z.enum(['attest', 'close', 'retry', 'fence']),
  host: Name,
  by: z.string().check(z.maxLength(255)),
})
export type OperatorRequest = z.infer<typeof OperatorRequest>

const Line = z.object({ at: z.string(), says: Text })
export const IncidentRecord = z.object({
  id: z.string().check(z.maxLength(128)),
  host: Name,
  bootId: z.nullable(z.string().check(z.maxLength(64))),
  state: z.enum(INCIDENT_STATES),
  epoch: Count,
  cause: z.enum(['silent', 'storage', 'isolated', 'operator']),
  why: Text,
  offs: Count,
  proof: z.nullable(
    z.object({ level: z.enum(Object.keys(LEVELS) as [Level]), says: Text, epoch: Count, at: z.string() }),
  ),
  attested: z.nullable(z.object({ by: z.string(), at: z.string() })),
  listed: z.boolean(),
  returnedBoot: z.nullable(z.string().check(z.maxLength(64))),
  lines: z.array(Line),
})

export const IntentRecord = z.object({
  incident: z.string(),
  source: Name,
  instance: z.string().check(z.maxLength(128)),
  name: z.string().check(z.maxLength(255)),
  priority: z.number(),
  memoryMb: z.number(),
  group: z.nullable(z.string()),
  state: z.enum(INTENT_STATES),
  epoch: Count,
  attempt: Count,
  target: z.nullable(z.string()),
  ref: z.nullable(z.string()),
  past: z.nullable(z.string()),
  why: z.nullable(Text),
  hops: Count,
  requestedAt: z.nullable(z.string()),
  endedAt: z.nullable(z.string()),
})

export const incidentKey = (id: string): string => KEYS.incidents + id
export const intentKey = (intent: Pick<Intent, 'incident' | 'instance'>): string =>
  `${KEYS.intents}${intent.incident}/${encodeURIComponent(intent.instance)}`
export const holdKey = (host: string): string => KEYS.holds + host

export const parseIncident = (value: unknown): Incident | undefined => parsed(IncidentRecord, value)
export const parseIntent = (value: unknown): Intent | undefined => parsed(IntentRecord, value)

export function parsed<T extends z.ZodMiniType>(schema: T, value: unknown): z.infer<T> | undefined {
  const result = schema.safeParse(value)
  return result.success ? result.data : undefined
}
