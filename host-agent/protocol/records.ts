/** What the mesh keeps in Consul's store, under one prefix: who belongs to it, what an operator wants, incidents and
 *  the intents of their instances. Everything read from there is checked: whoever could write there could otherwise
 *  steer a fence. */
import * as z from 'zod/mini'

import { HOST_NAME } from './names.ts'
import { PLANES } from './heartbeat.ts'
import { LIMITS, type Limits } from './limits.ts'
import { NamedCause } from './trouble.ts'

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
  troubles: `${PREFIX}troubles/`,
} as const

export const INCIDENT_STATES = [
  'confirmed',
  'fencing',
  'fence failed',
  'fenced',
  'evacuating',
  'evacuated',
  'returning',
  'recovered',
  'cancelled',
] as const
export type IncidentState = (typeof INCIDENT_STATES)[number]

/** States of an incident that no further step leads out of. */
export const OVER_STATES: readonly IncidentState[] = ['recovered', 'cancelled']

export const INTENT_STATES = ['PENDING', 'INTENT', 'REQUESTED', 'CONFIRMED', 'FAILED', 'UNKNOWN', 'SKIPPED'] as const
export type IntentState = (typeof INTENT_STATES)[number]

/** How a host is proven to run nothing (L4, a storage fence, proves only that it writes nothing). */
export const LEVELS = {
  L0: 'its BMC said twice that it was off already',
  L1: 'its BMC switched it off, and said so twice',
  L2: 'all its outlets are off, and say so',
  L3: 'its watchdog must have reset it: no lease was granted for long enough',
  L4: 'the shared storage and its switch ports shut it out',
  L5: 'an operator attested it by typing its name',
} as const
export type Level = keyof typeof LEVELS

/** Levels whose devices have fence agents: outlets, and the access to the shared storage. */
export const DEVICE_LEVELS = ['L2', 'L4'] as const
export type DeviceLevel = (typeof DEVICE_LEVELS)[number]

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
  /** Writes a storage heartbeat; the name in the store since version 0.1. */
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
  /** Written once a boot, for arbiters that were not there to hear it: which boot, the time-out of its armed watchdog,
   *  and whether it left as planned. */
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
  /** What is done about a host whose kernel answers and whose agent does not: asked a person, or fenced after
   *  `softVetoMs`. */
  agentLost: z.enum(['page', 'fence']),
  /** What is done about a host that answers on its storage plane alone: a person is told, or it is asked to stop its
   *  guests and then switched off. */
  isolated: z._default(z.enum(['page', 'fence']), 'page'),
  /** What is done about a host whose guests run and cannot be reached: a person is told, or its instances are moved
   *  live. */
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

/** A conductor that dies in the middle does not keep a host from being fenced for ever. */
const MAX_UPDATE_SECONDS = 86_400

export const HOLD_KINDS = ['maintenance', 'deploying', 'leave', 'drain'] as const
export const Hold = z.object({
  kind: z.enum(HOLD_KINDS),
  why: Text,
  by: z.string().check(z.maxLength(255)),
  /** It ends by itself; null: it does not. */
  seconds: z.nullable(z.number().check(z.minimum(1), z.maximum(30 * 86_400))),
})
export type Hold = z.infer<typeof Hold>

export const SealedBmc = z.object({
  /** Arbiter -> a host's BMC credentials, sealed for it (kit/sealed-box). */
  sealed: z.record(Name, z.string().check(z.maxLength(8_192), z.regex(/^[A-Za-z0-9+/]+=*$/))),
  /** The BMC installs firmware of its own: neither it nor the host's outlets get OFF before that is over, by the
   *  conductor's word or after `seconds`. */
  updating: z.optional(
    z.object({
      /** Which update: another one counts anew. */
      id: z.string().check(z.maxLength(64)),
      why: Text,
      seconds: z.number().check(z.minimum(1), z.maximum(MAX_UPDATE_SECONDS)),
    }),
  ),
})
export type SealedBmc = z.infer<typeof SealedBmc>

/** What an operator asks of the leader; taken up and deleted in one transaction. */
export const OperatorRequest = z.object({
  kind: z.enum(['attest', 'close', 'retry', 'fence']),
  host: Name,
  by: z.string().check(z.maxLength(255)),
})
export type OperatorRequest = z.infer<typeof OperatorRequest>

const Line = z.object({
  /** Wall clock, for people alone. */
  at: z.string(),
  says: Text,
  /** A command to a BMC or another power device; absent: a decision, and every line of version 0.2. */
  about: z.optional(z.enum(['power'])),
})

const Proof = z.object({
  level: z.enum(Object.keys(LEVELS) as [Level]),
  says: Text,
  epoch: Count,
  /** Wall clock, for people alone. */
  at: z.string(),
})
export type Proof = Readonly<z.infer<typeof Proof>>

/** The life of one host from "confirmed dead" to "back in service". A change is a compare-and-set by the holder of the
 *  leader's lease. */
export const IncidentRecord = z.object({
  id: z.string().check(z.maxLength(128)),
  host: Name,
  /** The boot of the host that died; null: it was never heard. */
  bootId: z.nullable(z.string().check(z.maxLength(64))),
  state: z.enum(INCIDENT_STATES),
  /** Of the leader that wrote last (the LockIndex of the leader's lock). Never falls. */
  epoch: Count,
  /** `silent`: confirmed dead. `storage`, `isolated`: it lost those planes, lives, and agreed to be switched off.
   *  `operator`: a person ordered it. */
  cause: z.enum(['silent', 'storage', 'isolated', 'operator']),
  why: Text,
  /** OFF commands so far, each stored before the command is sent. */
  offs: Count,
  proof: z.nullable(Proof),
  attested: z.nullable(z.object({ by: z.string(), at: z.string() })),
  /** All its instances are in the store as intents. */
  listed: z.boolean(),
  /** The boot that came back, once it was seen. */
  returnedBoot: z.nullable(z.string().check(z.maxLength(64))),
  lines: z.array(Line),
  /** When each arbiter last heard the host, before the first line. Wall clock, for people alone; absent before version
   *  0.3, and where no silence was judged. */
  lastHeard: z.optional(z.record(Name, z.string())),
  /** Who heard the host on which plane when it was confirmed; absent before version 0.3, and where nobody was asked.
   *  For people alone: what of it cannot be read leaves the incident as it is. */
  observers: z.catch(
    z.optional(
      z.array(z.object({ plane: z.enum(PLANES), silent: z.array(Name), answered: z.array(Name), mute: z.array(Name) })),
    ),
    undefined,
  ),
  /** The likeliest causes as they were named until it was proven, the newest last; absent before version 0.3, and where
   *  none was found. For people alone: what of it cannot be read leaves the incident as it is. */
  causes: z.catch(z.optional(z.array(NamedCause)), undefined),
})
export type Incident = Readonly<z.infer<typeof IncidentRecord>>

/** One instance of a dead host, from the plan to move it to its arrival. */
export const IntentRecord = z.object({
  incident: z.string(),
  source: Name,
  instance: z.string().check(z.maxLength(128)),
  name: z.string().check(z.maxLength(255)),
  priority: z.number(),
  memoryMb: z.number(),
  group: z.nullable(z.string()),
  state: z.enum(INTENT_STATES),
  /** Of the leader that wrote last. Never falls. */
  epoch: Count,
  attempt: Count,
  target: z.nullable(z.string()),
  ref: z.nullable(z.string()),
  /** The newest trace of the attempts before this one; it says nothing about this one. */
  past: z.nullable(z.string()),
  why: z.nullable(Text),
  /** Hosts in a row that fell silent soon after this instance came to them. */
  hops: Count,
  /** Wall clock, for people alone: when it was requested. */
  requestedAt: z.nullable(z.string()),
  /** Wall clock, for people alone: when it had arrived or was given up. */
  endedAt: z.nullable(z.string()),
})
export type Intent = Readonly<z.infer<typeof IntentRecord>>

/** No further step leads out of its state. */
export const isOver = (incident: Pick<Incident, 'state'>): boolean => OVER_STATES.includes(incident.state)

export const incidentKey = (id: string): string => KEYS.incidents + id
export const intentKey = (intent: Pick<Intent, 'incident' | 'instance'>): string =>
  `${KEYS.intents}${intent.incident}/${encodeURIComponent(intent.instance)}`
export const holdKey = (host: string): string => KEYS.holds + host

export const parseIncident = (value: unknown): Incident | undefined => parsed(IncidentRecord, value)
export const parseIntent = (value: unknown): Intent | undefined => parsed(IntentRecord, value)

/** A record below the key of another member is no record: whoever may write one key must not speak for two members. */
export function parseMember(value: unknown, name: string): MemberRecord | undefined {
  const record = parsed(MemberRecord, value)
  return record?.name === name ? record : undefined
}

export function parsed<T extends z.ZodMiniType>(schema: T, value: unknown): z.infer<T> | undefined {
  const result = schema.safeParse(value)
  return result.success ? result.data : undefined
}
