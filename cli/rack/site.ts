/** What a rack file says that belongs to no node: deploy templates, runbooks, the policy of the mesh. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { digestOf } from '../../conductor/rollouts/plan.ts'
import { decidedBody, type NamedAct, type PolicyChange, type SiteAct } from '../../conductor/rollouts/site-acts.ts'
import { placeText, findAt } from './located.ts'
import type { Rack } from './resolve.ts'

export type Body = Readonly<Record<string, unknown>>
type GivenPlan = Body & { readonly steps: readonly unknown[] }

/** What is there; undefined: the file says nothing of its kind. */
export interface SeenSite {
  readonly templates?: ReadonlyMap<string, Body>
  readonly runbooks?: ReadonlyMap<string, Body>
  readonly policy?: Body
}

export const SITE_KINDS = [
  ['templates', 'deploy template'],
  ['runbooks', 'runbook'],
] as const

export const siteActs = (rack: Rack, seen: SeenSite): SiteAct[] => [
  ...SITE_KINDS.flatMap(([key, what]) => namedActs(rack, key, { what, now: seen[key] ?? new Map() })),
  ...policyAct(rack, seen.policy ?? {}),
]

function namedActs(
  { file, root }: Rack,
  key: 'templates' | 'runbooks',
  { what, now }: { what: NamedAct['do']; now: ReadonlyMap<string, Body> },
): SiteAct[] {
  return sorted<GivenPlan>(file[key]).flatMap(([name, given]): SiteAct[] => {
    const body = decidedBody(what, given)
    const found = now.get(name)
    const before = found && decidedBody(what, found)
    if (isDeepStrictEqual(before, body)) return []
    const { steps } = given
    const at = placeText(findAt(root, [key, name]).at)
    const says = [`${before ? '~' : '+'} ${what} ${name}  ${before ? 'differs' : `steps: ${steps.length}`}  ${at}`]
    return [{ do: what, name, before: before ? digestOf(before) : null, body, says } as SiteAct]
  })
}

/** Of a policy, what a file may say. Limits that it does not name stay as they are. */
function policyAct({ file, root }: Rack, now: Body): SiteAct[] {
  const differences = policyDifferences(file.mesh?.policy ?? {}, now)
  if (differences.length === 0) return []
  const { limits, ...others } = file.mesh?.policy ?? {}
  const named = new Set(differences.map(({ field }) => field))
  const change = Object.fromEntries(Object.entries(others).filter(([field]) => named.has(field)))
  const isLimited = differences.some(({ field }) => field.startsWith('limits/'))
  const says = differences.map(({ field, wanted, observed }) => {
    const at = placeText(findAt(root, ['mesh', 'policy', ...field.split('/')]).at)
    return `~ mesh policy  ${field}: ${text(observed)} -> ${text(wanted)}  ${at}`
  })
  return [
    {
      do: 'mesh policy',
      before: policyDigest(now),
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

function policyDifferences({ levels, limits, ...plain }: PolicyChange, now: Body): PolicyDifference[] {
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

const sorted = <T>(map: Readonly<Record<string, T>> = {}): [string, T][] =>
  Object.entries(map).toSorted(([a], [b]) => (a < b ? -1 : 1))

/** Nothing is recorded of them: whatever differs is to be applied. */
export function siteDrift(rack: Rack, seen: SeenSite) {
  const { file } = rack
  const named = SITE_KINDS.flatMap(([key, what]) =>
    sorted<GivenPlan>(file[key]).flatMap(([name, given]) => {
      const body = decidedBody(what, given)
      const found = seen[key]?.get(name)
      const observed = found ? decidedBody(what, found) : null
      return isDeepStrictEqual(observed, body)
        ? []
        : [{ node: `${what} ${name}`, field: 'steps', wanted: body, observed }]
    }),
  )
  const policy = policyDifferences(file.mesh?.policy ?? {}, seen.policy ?? {}).map((one) => ({
    ...one,
    node: 'mesh',
    field: `policy/${one.field}`,
  }))
  return [...named, ...policy].map((one) => ({
    ...one,
    kind: 'unapplied' as const,
    recorded: null,
    observed: one.observed ?? null,
  }))
}
