/** What belongs to no node and a conductor has, as a rack file writes it: deploy templates, runbooks, the policy of the
 *  mesh. What a file would not read back as it is stays out, and is told. */
import { decidedBody, type NamedAct } from '../../conductor/rollouts/site-acts.ts'
import type { SiteRecord } from '../../conductor/rollouts/site-records.ts'
import { yamlText } from '../show.ts'
import { readLocated } from './located.ts'
import { resolve } from './resolve.ts'
import { siteActs, SITE_KINDS, type Body, type SeenSite } from './site.ts'

export interface ExportedSite {
  readonly templates: Record<string, Body>
  readonly runbooks: Record<string, Body>
  /** What is not in the file, one line each. */
  readonly left: readonly string[]
}

export async function exportedSite(seen: Pick<SeenSite, 'templates' | 'runbooks'>): Promise<ExportedSite> {
  const found: ExportedSite & { left: string[] } = { templates: {}, runbooks: {}, left: [] }
  for (const kind of SITE_KINDS) {
    const [key, what] = kind
    if (!seen[key]) found.left.push(`${key}: this user may not see them`)
    for (const [name, given] of [...(seen[key] ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const body = writtenBody(what, given)
      const flaw = await flawOf(kind, { name, given, body })
      if (flaw === undefined) found[key][name] = body
      else found.left.push(`${what} ${name}: ${flaw}`)
    }
  }
  return found
}

/** Without what was applied from the files of other sites alone. */
export function ownOf(
  seen: Pick<SeenSite, 'templates' | 'runbooks'>,
  { site, applied }: { site: string; applied: readonly Pick<SiteRecord, 'site' | 'what' | 'name'>[] },
): Pick<SeenSite, 'templates' | 'runbooks'> {
  const isOwn = (kind: NamedAct['do'], wanted: string) => {
    const by = applied.filter(({ what, name }) => what === kind && name === wanted)
    return by.length === 0 || by.some((one) => one.site === site)
  }
  return Object.fromEntries(
    SITE_KINDS.flatMap(([key, what]) => {
      const all = seen[key]
      return all ? [[key, new Map([...all].filter(([name]) => isOwn(what, name)))]] : []
    }),
  )
}

/** What the file of this site said of the policy, as it is now. */
export function exportedPolicy(recorded: Body, now: Body): Body {
  const { limits, ...others } = recorded
  const pick = (fields: object, from: unknown) =>
    Object.fromEntries(
      Object.keys(fields).flatMap((field) => {
        const value = (from as Body | undefined)?.[field]
        return value === undefined || value === null ? [] : [[field, value]]
      }),
    )
  const named = limits ? pick(limits, now.limits) : {}
  return { ...pick(others, now), ...(Object.keys(named).length > 0 ? { limits: named } : {}) }
}

/** Without what a file need not say. */
function writtenBody(what: NamedAct['do'], given: Body): Body {
  const { steps, ...flags } = decidedBody(what, given)
  return { steps, ...Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== false)) }
}

/** Why a plan of it would not be empty: it is written and read, as a plan reads it. */
async function flawOf(
  [key, what]: (typeof SITE_KINDS)[number],
  { name, given, body }: { name: string; given: Body; body: Body },
): Promise<string | undefined> {
  try {
    const text = await yamlText({ version: 1, site: 'exported', [key]: { [name]: body } }, { lineWidth: 0 })
    const applied = [{ what, name, body: decidedBody(what, given) }]
    const acts = siteActs(resolve(await readLocated(text, 'export')), { [key]: new Map([[name, given]]), applied })
    return acts.length === 0 ? undefined : 'a rack file would read it as another one'
  } catch (error) {
    return `a rack file cannot hold it: ${(error as Error).message}`
  }
}
