/** A plan: what shall be done to which nodes, in which order, and what that ends. One schema for those who make plans
 *  and for the conductor. Pure. */
import * as z from 'zod'
import { sha256Hex } from '../../kit/digest.ts'
import { SiteAct } from './site-acts.ts'

/** Stands in a plan where a secret will be. */
export const SECRET_KEY = '$secret'

const Dict = z.record(z.string(), z.unknown())
const Uuid = z.string().regex(/^[0-9a-f-]{36}$/)
const Address = z.string().regex(/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/)
const Patch = z
  .array(
    z.strictObject({
      op: z.enum(['add', 'remove']),
      path: z.string().startsWith('/').max(2_000),
      value: z.unknown().optional(),
    }),
  )
  .min(1)
  .max(1_000)

/** Verbs, by the target that PUT states/provision takes, and the state that each leads to. */
export const VERBS = {
  manage: 'manageable',
  inspect: 'manageable',
  provide: 'available',
  active: 'active',
  rebuild: 'active',
  deleted: 'available',
  clean: 'manageable',
  service: 'active',
} as const
export type PlanVerb = keyof typeof VERBS

export const Stage = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('create'), body: Dict }),
  z.strictObject({ do: z.literal('patch'), patch: Patch }),
  z.strictObject({ do: z.literal('traits'), traits: z.array(z.string().max(255)).max(50) }),
  z.strictObject({ do: z.literal('add port'), body: Dict }),
  z.strictObject({ do: z.literal('change port'), uuid: Uuid, patch: Patch }),
  z.strictObject({ do: z.literal('remove port'), uuid: Uuid, address: Address }),
  z.strictObject({ do: z.literal('raid'), target: Dict }),
  z.strictObject({
    do: z.literal('verb'),
    verb: z.enum(Object.keys(VERBS) as [PlanVerb, ...PlanVerb[]]),
    /** It erases disks: the node is cleaned by itself, or for a RAID. */
    erases: z.boolean().optional(),
    arguments: Dict.optional(),
  }),
  z.strictObject({ do: z.literal('delete') }),
])
export type Stage = z.infer<typeof Stage>

/** What is kept of a node that was applied: what a later plan compares with. */
export const Recorded = z.strictObject({
  site: z.string().min(1).max(255),
  /** Field -> what it was set to; a secret as its reference. */
  fields: z.record(z.string(), z.unknown()),
  traits: z.array(z.string()).nullable(),
  ports: z.array(z.string()),
  /** Digest of the RAID configuration that was built. */
  raid: z.string().nullable(),
  /** Digest of the config drive that the instance was given. */
  drive: z.string().nullable(),
  /** Name -> value of the BIOS settings that were brought about; absent: the file named none. */
  bios: z.record(z.string(), z.string()).optional(),
  /** Component -> version. */
  firmware: z.record(z.string(), z.string()).optional(),
})
export type Recorded = z.infer<typeof Recorded>

export const PlanItem = z.strictObject({
  node: z.string().min(1).max(255),
  rack: z.string().min(1).max(255),
  /** What it is in the mesh, or elsewhere; arbiters are never worked on two at a time. */
  role: z.string().min(1).max(64).optional(),
  /** Null: the node is not there yet. */
  uuid: Uuid.nullable(),
  /** Of the node when the plan was made. */
  fingerprint: z.string().max(64).nullable(),
  /** For people: one line each. */
  says: z.array(z.string().max(4_000)).max(2_000),
  /** None: what is there is as wanted already, and is recorded. */
  stages: z.array(Stage).max(500),
  /** Null: nothing is left to record. */
  record: Recorded.nullable(),
})
export type PlanItem = z.infer<typeof PlanItem>

export const Roll = z.strictObject({
  at_once: z.number().int().min(1).max(1_000),
  at_once_per_rack: z.number().int().min(1).max(1_000).nullable(),
  at_once_per_role: z.record(z.string(), z.number().int().min(1).max(1_000)).optional(),
  stop_after: z.number().int().min(1).max(1_000),
  canaries: z.array(z.string()).max(1_000),
  hold_seconds: z.number().min(0).max(604_800),
})
export type Roll = z.infer<typeof Roll>

/** The role whose nodes vote in a mesh. */
export const ARBITER = 'arbiter'

/** Nodes of a plan. */
export const MAX_ITEMS = 10_000

export const Plan = z.strictObject({
  version: z.literal(1),
  site: z.string().min(1).max(255),
  /** What belongs to no node, before all others. */
  acts: z.array(SiteAct).max(200).optional(),
  /** In the order of the roll-out. */
  items: z.array(PlanItem).max(MAX_ITEMS),
  /** Nodes that are not touched although they are not as wanted, and why. */
  refused: z.array(z.strictObject({ node: z.string(), why: z.string() })),
  /** What is there and in the file no more, or was changed by others: left alone. */
  left: z.array(z.string()),
  /** Names of the secrets that the stages need. */
  secrets: z.array(z.string()),
  roll: Roll,
  hash: z.string(),
})
export type Plan = z.infer<typeof Plan>

/** JSON with sorted keys: the same for the same value. */
export function stableJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(stableJson).join()}]`
  if (value === null || typeof value !== 'object') return JSON.stringify(value) ?? 'null'
  const entries = Object.entries(value).filter(([, inner]) => inner !== undefined)
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${entries.map(([key, inner]) => `${JSON.stringify(key)}:${stableJson(inner)}`).join()}}`
}

export const digestOf = (value: unknown): string => sha256Hex(stableJson(value))

/** Of everything in a plan: one that was edited by hand has another. */
export const planHash = (plan: Omit<Plan, 'hash'>): string => digestOf({ ...plan, hash: undefined })

export const END_KINDS = [
  'boot',
  'erase',
  'raid',
  'bios',
  'firmware',
  'service',
  'deploy',
  'rebuild',
  'undeploy',
  'unport',
  'forget',
] as const
export type EndKind = (typeof END_KINDS)[number]

export const END_TEXTS: Readonly<Record<EndKind, string>> = {
  boot: 'is restarted into the ramdisk: what runs on it ends',
  erase: 'is cleaned: its disks are erased',
  raid: 'gets a new RAID: its disks are erased',
  bios: 'gets other BIOS settings: it is restarted',
  firmware: 'gets other firmware: it is restarted',
  service: 'is serviced: it is restarted under its instance',
  deploy: 'is deployed: an image is written over its disk',
  rebuild: 'is rebuilt: the image is written anew, and its instance ends',
  undeploy: 'is undeployed: its instance ends, and its disks are cleaned',
  unport: 'loses a port',
  forget: 'is deleted: its record goes',
}

/** What a stage ends. Derived from the stage, so that no plan can hide it. */
export function endsOfStage(stage: Stage): readonly EndKind[] {
  if (stage.do === 'remove port') return ['unport']
  if (stage.do === 'delete') return ['forget']
  if (stage.do !== 'verb') return []
  const kinds: Readonly<Record<PlanVerb, () => readonly EndKind[]>> = {
    manage: () => [],
    inspect: () => ['boot'],
    provide: () => (stage.erases === false ? [] : ['erase']),
    active: () => ['deploy'],
    rebuild: () => ['rebuild'],
    deleted: () => ['undeploy'],
    clean: () => endsOfSteps(stage.arguments, 'clean_steps'),
    service: () => ['service', ...endsOfSteps(stage.arguments, 'service_steps')],
  }
  return kinds[stage.verb]()
}

const StepNames = z.array(z.looseObject({ interface: z.enum(['bios', 'firmware', 'raid']) })).min(1)

/** Steps that are not known, and those that nobody sees here, may erase disks. */
function endsOfSteps(given: Readonly<Record<string, unknown>> = {}, key: string): readonly EndKind[] {
  const { [key]: steps, ...others } = given
  const named = StepNames.safeParse(steps)
  return named.success && Object.keys(others).length === 0 ? named.data.map((step) => step.interface) : ['raid']
}

export const endsOf = (item: Pick<PlanItem, 'stages'>): EndKind[] => [...new Set(item.stages.flatMap(endsOfStage))]

/** What each kind ends, by node. */
export type Agreed = Readonly<Partial<Record<EndKind, readonly string[]>>>

/** What of a plan is not agreed to: kind -> nodes. Empty: all is. */
export function unagreed(plan: Pick<Plan, 'items'>, agreed: Agreed): Partial<Record<EndKind, string[]>> {
  const open: Partial<Record<EndKind, string[]>> = {}
  const names = new Map(END_KINDS.map((kind) => [kind, new Set(agreed[kind])]))
  for (const item of plan.items)
    for (const kind of endsOf(item)) if (!names.get(kind)?.has(item.node)) (open[kind] ??= []).push(item.node)
  return open
}
