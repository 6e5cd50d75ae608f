/** What a plan does to no node: deploy templates, runbooks, the policy of the mesh. Done before the first node is
 *  begun. Pure. */
import * as z from 'zod'

const Says = z.array(z.string().max(4_000)).max(200)
const Digest = z.string().max(64)
const Steps = z.array(z.record(z.string(), z.unknown())).min(1).max(100)
const Named = {
  name: z.string().min(1).max(255),
  /** Digest of what was there when the plan was made; null: nothing was. */
  before: Digest.nullable(),
  says: Says,
}

/** What of a policy a rack file may say. Arming is an act of a person. */
export const PolicyChange = z.strictObject({
  levels: z
    .array(z.enum(['L0', 'L1', 'L2', 'L3', 'L4', 'L5']))
    .max(6)
    .optional(),
  agent_lost: z.enum(['page', 'fence']).optional(),
  isolated: z.enum(['page', 'fence']).optional(),
  tenant_lost: z.enum(['page', 'drain']).optional(),
  limits: z.record(z.string().max(64), z.number().min(0)).optional(),
})
export type PolicyChange = z.infer<typeof PolicyChange>

export const SiteAct = z.discriminatedUnion('do', [
  z.strictObject({ do: z.literal('deploy template'), ...Named, body: z.strictObject({ steps: Steps }) }),
  z.strictObject({
    do: z.literal('runbook'),
    ...Named,
    body: z.strictObject({ steps: Steps, disable_ramdisk: z.boolean(), public: z.boolean() }),
  }),
  z.strictObject({
    do: z.literal('mesh policy'),
    before: Digest,
    /** Empty: it holds already, and is recorded. */
    change: PolicyChange,
    /** All that the file says of it. */
    wanted: PolicyChange.optional(),
    says: Says,
  }),
])
export type SiteAct = z.infer<typeof SiteAct>
export type NamedAct = Exclude<SiteAct, { do: 'mesh policy' }>

/** As the store has them, and the API. */
export const ACT_OBJECTS = {
  'deploy template': { kind: 'deploy_template', path: '/v1/deploy_templates' },
  runbook: { kind: 'runbook', path: '/v1/runbooks' },
} as const

/** The fields of an object that a rack file decides. */
export function decidedBody(what: NamedAct['do'], body: Readonly<Record<string, unknown>>): Record<string, unknown> {
  const steps = (Array.isArray(body.steps) ? body.steps : []).map((step: Record<string, unknown>) => ({
    ...step,
    args: step.args ?? {},
  }))
  return what === 'runbook'
    ? { steps, disable_ramdisk: body.disable_ramdisk ?? false, public: body.public ?? false }
    : { steps }
}
