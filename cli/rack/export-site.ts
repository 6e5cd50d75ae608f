/** Deploy templates and runbooks that a conductor has, as a rack file writes them. What a file would not read back as
 *  it is stays out, and is told. */
import { decidedBody, type NamedAct } from '../../conductor/rollouts/site-acts.ts'
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
  for (const [key, what] of SITE_KINDS) {
    if (!seen[key]) found.left.push(`${key}: this user may not see them`)
    for (const [name, given] of [...(seen[key] ?? [])].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
      const body = writtenBody(what, given)
      const flaw = await flawOf(key, { name, given, body })
      if (flaw === undefined) found[key][name] = body
      else found.left.push(`${what} ${name}: ${flaw}`)
    }
  }
  return found
}

/** Without what a file need not say. */
function writtenBody(what: NamedAct['do'], given: Body): Body {
  const { steps, ...flags } = decidedBody(what, given)
  return { steps, ...Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== false)) }
}

/** Why a plan of it would not be empty: it is written and read, as a plan reads it. */
async function flawOf(
  key: 'templates' | 'runbooks',
  { name, given, body }: { name: string; given: Body; body: Body },
): Promise<string | undefined> {
  try {
    const text = await yamlText({ version: 1, site: 'exported', [key]: { [name]: body } }, { lineWidth: 0 })
    const acts = siteActs(resolve(await readLocated(text, 'export')), { [key]: new Map([[name, given]]) })
    return acts.length === 0 ? undefined : 'a rack file would read it as another one'
  } catch (error) {
    return `a rack file cannot hold it: ${(error as Error).message}`
  }
}
