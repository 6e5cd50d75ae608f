/** What a person or the conductor changes in the store of the mesh: input -> record, written by compare-and-set. */
import * as z from 'zod'
import type { Actor } from '../../conductor/api/auth.ts'
import { defined } from '../../kit/defined.ts'
import type { Consul } from '../../kit/consul.ts'
import { Fault } from '../../kit/fault.ts'
import {
  LEVELS,
  type Level,
  FIRST_POLICY,
  HOLD_KINDS,
  holdKey,
  KEYS,
  parsed,
  Policy,
  SealedBmc,
  Hold,
} from '../protocol/records.ts'
import { holdView, policyView } from './views.ts'

const MAX_HOLD_SECONDS = 30 * 86_400
const TRIES = 5

const Reason = z.string().min(1).max(500)
/** `why` is the name of version 0.2; its CLI and conductor send it. */
const REASON = { reason: Reason.optional(), why: Reason.optional() }
function reasonOf({ reason, why }: { reason?: string | undefined; why?: string | undefined }): string {
  const given = reason ?? why
  if (given === undefined) throw new Fault('input.invalid', 'reason: is missing')
  return given
}
const PolicyInput = z.strictObject({
  armed: z.boolean().optional(),
  dry_run: z.boolean().optional(),
  ...REASON,
  levels: z.array(z.enum(Object.keys(LEVELS) as [Level])).optional(),
  agent_lost: z.enum(['page', 'fence']).optional(),
  isolated: z.enum(['page', 'fence']).optional(),
  tenant_lost: z.enum(['page', 'drain']).optional(),
  limits: z.record(z.string(), z.number().min(0)).optional(),
})
const HoldInput = z.strictObject({
  kind: z.enum(HOLD_KINDS).default('maintenance'),
  ...REASON,
  seconds: z.number().min(1).max(MAX_HOLD_SECONDS).nullable().default(null),
  /** Its disk is written: the system that comes back has another key. */
  reimaged: z.boolean().default(false),
  /** Refused while the host is held for another reason: what an alert asks for must not end a hold that keeps a host
   *  from being fenced. */
  unless_held: z.boolean().default(false),
})
/** With a reason, only the hold that has it. */
const HoldEnd = z.strictObject({ reason: Reason.optional() })
export const Hint = z.strictObject(REASON)
const Token = z.string().min(1).max(128)
export const ErrandInput = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('disable'), token: Token, reason: Reason }),
  z.strictObject({
    kind: z.literal(['stop', 'start']),
    token: Token,
    /** Part of a path of Nova's API, and an argument of virsh. */
    instance: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/),
    reason: Reason,
  }),
])
export const HostConfirmation = z.strictObject({ host: z.string().max(63) })

/** Throws `input.invalid` naming each wrong field. */
export function checked<T extends z.ZodType>(schema: T, body: unknown): z.infer<T> {
  const result = schema.safeParse(body ?? {})
  if (result.success) return result.data
  throw new Fault(
    'input.invalid',
    result.error.issues.map(({ path, message }) => `${path.join('.') || 'the body'}: ${message}`).join('; '),
  )
}

export async function setPolicy(
  consul: Consul,
  body: unknown,
  actor: Actor,
): Promise<{ policy: ReturnType<typeof policyView> }> {
  const input = checked(PolicyInput, body)
  let after: Policy = FIRST_POLICY
  await update(consul, KEYS.policy, (held) => {
    const before = parsed(Policy, held) ?? FIRST_POLICY
    const { armed, levels, isolated, limits } = input
    const { dry_run: dryRun, agent_lost: agentLost, tenant_lost: tenantLost } = input
    const next = {
      ...before,
      by: actor.user,
      why: reasonOf(input),
      ...defined({ armed, dryRun, levels, agentLost, isolated, tenantLost, limits }),
    }
    const valid = parsed(Policy, next)
    if (!valid) throw new Fault('input.invalid', 'limits: names a limit that does not exist; see docs/mesh.md')
    return (after = valid)
  })
  return { policy: policyView(after) }
}

export async function setHold(consul: Consul, host: string, { body, actor }: { body: unknown; actor: Actor }) {
  const input = checked(HoldInput, body)
  const { kind, seconds, reimaged, unless_held: unlessHeld } = input
  const value: Hold = { kind, seconds, why: reasonOf(input), by: actor.user }
  await update(consul, holdKey(host), (held) => {
    if (unlessHeld && held !== undefined) mustBe(parsed(Hold, held), { host, why: value.why, kind })
    return value
  })
  // The hold stays until the new system has registered; until then nothing is known of the host.
  if (reimaged) await update(consul, KEYS.members + host, () => undefined)
  return { host, hold: holdView(value) }
}

export async function endHold(consul: Consul, host: string, body: unknown) {
  const { reason } = checked(HoldEnd, body ?? {})
  await update(consul, holdKey(host), (held) => {
    if (reason !== undefined && held !== undefined) mustBe(parsed(Hold, held), { host, why: reason })
    return undefined
  })
  return { host, hold: null }
}

/** A hold that cannot be read is somebody's. */
function mustBe(
  held: Hold | undefined,
  { host, why, kind = held?.kind }: { host: string; why: string; kind?: string | undefined },
): void {
  if (held?.why === why && held.kind === kind) return
  throw new Fault(
    'object.conflict',
    held ? `${host} is held by ${held.by} (${held.kind}): ${held.why}` : `${host} is held`,
  )
}

export async function shareBmc(consul: Consul, host: string, body: unknown) {
  const value = parsed(SealedBmc, body)
  if (!value) throw new Fault('input.invalid', 'sealed: an object of arbiters and what was sealed for them, in base64')
  await update(consul, KEYS.bmcs + host, () => value)
  return { host, sealed_for: Object.keys(value.sealed) }
}

export async function removeMember(consul: Consul, host: string): Promise<void> {
  await update(consul, KEYS.members + host, () => undefined)
  await update(consul, KEYS.bmcs + host, () => undefined)
  await update(consul, KEYS.troubles + host, () => undefined)
}

/** Reads, changes and compares-and-sets, a few times. Undefined deletes. Throws `store.moved`. */
export async function update(consul: Consul, key: string, next: (held: unknown) => unknown): Promise<void> {
  for (let i = 0; i < TRIES; i += 1) {
    const held = await consul.get(key, { consistent: true })
    const value = next(held?.value)
    if (value === undefined && !held) return
    const index = held?.index ?? 0
    const written = value === undefined ? await consul.deleteCas(key, index) : await consul.cas(key, value, index)
    if (written) return
  }
  throw new Fault('store.moved', `${key} was changed by others each time`)
}
