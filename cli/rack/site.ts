/** What a rack file says that belongs to no node: deploy templates, runbooks, the policy of the mesh. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { digestOf } from '../../conductor/rollouts/plan.ts'
import { decidedBody, type NamedAct, type PolicyChange, type SiteAct } from '../../conductor/rollouts/site-acts.ts'
import type { SiteRecord } from '../../conductor/rollouts/site-records.ts'
import { kindOf } from './drift-kind.ts'
import { placeText, findAt } from './located.ts'
import type { Rack } from './resolve.ts'

export type Body = Readonly<Record<string, unknown>>
export type GivenPlan = Body & { readonly steps: readonly unknown[] }

/** What is there; undefined: the file says nothing of its kind. */
export interface SeenSite {
  readonly templates?: ReadonlyMap<string, Body>
  readonly runbooks?: ReadonlyMap<string, Body>
  readonly policy?: Body
  /** What was applied from a file of this site. */
  readonly applied?: readonly Pick<SiteRecord, 'what' | 'name' | 'body'>[]
}

/** What was recorded of it; undefined: it was never applied. */
export const recordedOf = (
  { applied = [] }: Pick<SeenSite, 'applied'>,
  { what, name }: { what: SiteRecord['what']; name?: string },
): Body | undefined => applied.find((one) => one.what === what && (name === undefined || one.name === name))?.body

export const SITE_KINDS = [
  ['templates', 'deploy template'],
  ['runbooks', 'runbook'],
] as const

export const siteActs = (rack: Rack, seen: SeenSite): SiteAct[] => [
  ...SITE_KINDS.flatMap(([key, what]) => namedActs(rack, { key, what }, seen)),
  ...policyAct(rack, seen),
]

function namedActs(
  { file, root }: Rack,
  { key, what }: { key: 'templates' | 'runbooks'; what: NamedAct['do'] },
  seen: SeenSite,
): SiteAct[] {
  return sorted<GivenPlan>(file[key]).flatMap(([name, given]): SiteAct[] => {
    const body = decidedBody(what, given)
    const found = seen[key]?.get(name)
    const before = found && decidedBody(what, found)
    const kind = kindOf(body, recordedOf(seen, { what, name }))
    const isThere = isDeepStrictEqual(before, body)
    if (isThere && kind === 'changed') return []
    const at = placeText(findAt(root, [key, name]).at)
    const says = isThere
      ? [`= ${what} ${name}  ${AS_WANTED}`]
      : before
        ? [`~ ${what} ${name}  ${kind === 'changed' ? 'was changed since it was applied' : 'differs'}  ${at}`]
        : [`+ ${what} ${name}  steps: ${given.steps.length}  ${at}`]
    return [{ do: what, name, before: before ? digestOf(before) : null, body, says } as SiteAct]
  })
}

const AS_WANTED = 'is as wanted; recorded as applied from this file'

/** What was applied from a file of this site and is in it no more, one line each. */
export const leftOfSite = ({ file }: Rack, seen: SeenSite): string[] =>
  forgotten(file, seen).map(
    ({ what, name }) => `${what} ${name} was applied from this file, and is in it no more: left alone`,
  )

export const forgotten = (file: Rack['file'], seen: SeenSite) =>
  SITE_KINDS.flatMap(([key, what]) =>
    (seen.applied ?? [])
      .filter((one) => one.what === what && !Object.hasOwn(file[key] ?? {}, one.name))
      .flatMap(({ name, body }) => {
        const observed = seen[key]?.get(name)
        return observed ? [{ what, name, recorded: body, observed }] : []
      }),
  )

/** Of a policy, what a file may say. Limits that it does not name stay as they are. */
function policyAct({ file, root }: Rack, seen: SeenSite): SiteAct[] {
  const wanted = file.mesh?.policy
  if (!wanted) return []
  const now = seen.policy ?? {}
  const differences = policyDifferences(wanted, now)
  const act = { do: 'mesh policy', before: policyDigest(now), wanted } as const
  if (differences.length === 0)
    return isDeepStrictEqual(recordedOf(seen, { what: 'mesh policy' }), wanted)
      ? []
      : [{ ...act, change: {}, says: [`= mesh policy  ${AS_WANTED}`] }]
  const { limits, ...others } = wanted
  const named = new Set(differences.map(({ field }) => field))
  const change = Object.fromEntries(Object.entries(others).filter(([field]) => named.has(field)))
  const isLimited = differences.some(({ field }) => field.startsWith('limits/'))
  const says = differences.map(({ field, wanted, observed }) => {
    const at = placeText(findAt(root, ['mesh', 'policy', ...field.split('/')]).at)
    return `~ mesh policy  ${field}: ${text(observed)} -> ${text(wanted)}  ${at}`
  })
  return [
    {
      ...act,
      change: { ...change, ...(isLimited ? { limits: { ...(now.changed_limits as object), ...limits } } : {}) },
      says,
    },
  ]
}

const text = (value: unknown): string => (Array.isArray(value) ? value.join(',') : String(value ?? 'default'))

/** Of all that a plan of it depends on. */
export const policyDigest = ({ levels, agent_lost, isolated, tenant_lost, changed_limits }: Body): string =>
  digestOf({ levels, agent_lost, isolated, tenant_lost, changed_limits })

interface PolicyDifference {
  readonly field: string
  readonly wanted: unknown
  readonly observed: unknown
}

export function policyDifferences({ levels, limits, ...plain }: PolicyChange, now: Body): PolicyDifference[] {
  // What holds is told; a default may be named, too.
  const effective = (now.limits ?? {}) as Readonly<Record<string, unknown>>
  const found: PolicyDifference[] = sorted(plain).map(([field, wanted]) => ({ field, wanted, observed: now[field] }))
  if (levels)
    found.push({
      field: 'levels',
      wanted: levels.toSorted(),
      observed: [...((now.levels ?? []) as string[])].toSorted(),
    })
  for (const [name, wanted] of sorted(limits))
    found.push({ field: `limits/${name}`, wanted, observed: effective[name] })
  return found.filter(({ wanted, observed }) => wanted !== undefined && !isDeepStrictEqual(wanted, observed))
}

export const sorted = <T>(map: Readonly<Record<string, T>> = {}): [string, T][] =>
  Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1))
