/** What belongs to no node and is not as the file says: wanted, recorded, observed. Pure. */
import { isDeepStrictEqual } from 'node:util'
import { decidedBody } from '../../conductor/rollouts/site-acts.ts'
import { kindOf } from './drift-kind.ts'
import type { Rack } from './resolve.ts'
import { forgotten, policyDifferences, recordedOf, SITE_KINDS, sorted, type GivenPlan, type SeenSite } from './site.ts'

export const siteDrift = (rack: Rack, seen: SeenSite) => [
  ...namedDrift(rack, seen),
  ...policyDrift(rack, seen),
  ...forgotten(rack.file, seen).map(({ what, name, recorded, observed }) => ({
    node: `${what} ${name}`,
    field: 'steps',
    kind: 'unapplied' as const,
    wanted: null,
    recorded,
    observed: decidedBody(what, observed),
  })),
]

const namedDrift = ({ file }: Rack, seen: SeenSite) =>
  SITE_KINDS.flatMap(([key, what]) =>
    sorted<GivenPlan>(file[key]).flatMap(([name, given]) => {
      const wanted = decidedBody(what, given)
      const found = seen[key]?.get(name)
      const observed = found ? decidedBody(what, found) : null
      if (isDeepStrictEqual(observed, wanted)) return []
      const recorded = recordedOf(seen, { what, name })
      const kind = kindOf(wanted, recorded)
      return [{ node: `${what} ${name}`, field: 'steps', kind, wanted, recorded: recorded ?? null, observed }]
    }),
  )

function policyDrift({ file }: Rack, seen: SeenSite) {
  const recorded = recordedOf(seen, { what: 'mesh policy' }) ?? {}
  const limits = (recorded.limits ?? {}) as Readonly<Record<string, unknown>>
  return policyDifferences(file.mesh?.policy ?? {}, seen.policy ?? {}).map(({ field, wanted, observed }) => {
    const [, limit] = field.split('/')
    const was = limit === undefined ? recorded[field] : limits[limit]
    // Levels are a set.
    const same = Array.isArray(was) ? was.toSorted() : was
    return {
      node: 'mesh',
      field: `policy/${field}`,
      kind: kindOf(wanted, same),
      wanted,
      recorded: was ?? null,
      observed: observed ?? null,
    }
  })
}
