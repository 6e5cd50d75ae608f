/** What a conductor knows of all nodes, and which secrets are other ones: what a plan is made against. */
import { readFile, stat } from 'node:fs/promises'
import { resolve as resolvePath } from 'node:path'
import type { ImageStatus } from '../../conductor/api/image-series-schemas.ts'
import type { RackNode, RackPage } from '../../conductor/api/rack-schemas.ts'
import type { Plan } from '../../conductor/rollouts/plan.ts'
import type { SiteRecord } from '../../conductor/rollouts/site-records.ts'
import { CliError } from '../error.ts'
import type { Api } from '../server.ts'
import { placeText } from './located.ts'
import type { SeenBaseline } from './baseline.ts'
import { isChannel, type BehindChannel, type Observed } from './plan.ts'
import { whereOf, type Rack } from './resolve.ts'
import { policyDigest, type SeenSite } from './site.ts'
import { readSecrets } from './secrets.ts'
import { fieldsOf, isPlaceholder } from './wanted.ts'

const MAX_USER_DATA_BYTES = 1024 * 1024
const MESH = '/rackward/v1/mesh'
const PLACES_AT_ONCE = 5_000
/** Requests of single nodes under way. */
const NODES_AT_ONCE = 8

export interface ObserveOptions {
  readonly directory: string
  /** With what was last read of the servers. */
  readonly hardware?: boolean
}

export async function observe(api: Api, rack: Rack, { directory, hardware }: ObserveOptions): Promise<Observed> {
  const { nodes, cleans, applied } = await everyNode(api, hardware)
  return {
    nodes,
    cleans,
    behind: await behindChannels(api, rack),
    baselines: await readBaselines(api, rack, nodes),
    site: await seenSite(
      api,
      rack,
      applied.filter(({ site }) => site === rack.site),
    ),
    files: await userData(rack, directory),
    secretsDiffer: await compareSecrets(api, rack, { nodes, directory }),
  }
}

export interface EveryNode {
  readonly nodes: RackNode[]
  readonly cleans: boolean
  /** To no node; empty: the conductor is an older one, or the user is confined to a project. */
  readonly applied: NonNullable<RackPage['applied']>
}

export async function everyNode(api: Api, hardware = false): Promise<EveryNode> {
  const nodes: RackNode[] = []
  const applied: EveryNode['applied'] = []
  let cleans = true
  for (let marker: string | null = ''; marker !== null;) {
    // A conductor of version 0.2 knows no argument `hardware`.
    const query = [...(marker === '' ? [] : [`marker=${marker}`]), ...(hardware ? ['hardware=true'] : [])].join('&')
    const page = (await api.ask('GET', `/rackward/v1/rack${query === '' ? '' : `?${query}`}`)) as RackPage
    nodes.push(...page.nodes)
    applied.push(...(page.applied ?? []))
    cleans = page.cleans
    marker = page.next
  }
  return { nodes, cleans, applied }
}

/** For each of `all`, some at once. */
export async function forEach<T>(all: readonly T[], act: (one: T) => Promise<void>): Promise<void> {
  const open = [...all]
  const work = async (): Promise<void> => {
    for (let one = open.pop(); one !== undefined; one = open.pop()) await act(one)
  }
  await Promise.all(Array.from({ length: NODES_AT_ONCE }, work))
}

const SETTING_FIELDS = 'name,value,attribute_type,allowable_values,read_only'

/** Of the nodes that shall have some. */
async function readBaselines(
  api: Api,
  rack: Rack,
  nodes: readonly RackNode[],
): Promise<ReadonlyMap<string, SeenBaseline>> {
  const byName = new Map(nodes.map((node) => [node.name, node]))
  const found = new Map<string, SeenBaseline>()
  await forEach(rack.nodes, async ({ name, spec }) => {
    const uuid = byName.get(name)?.uuid
    if (uuid === undefined || spec.want === 'absent' || (!spec.bios && !spec.firmware)) return
    const ask = async (path: string) => (await api.ask('GET', `/v1/nodes/${uuid}/${path}`)) as Partial<SeenBaseline>
    const bios = spec.bios ? (await ask(`bios?fields=${SETTING_FIELDS}`)).bios : undefined
    const firmware = spec.firmware ? (await ask('firmware')).firmware : undefined
    found.set(name, { bios: bios ?? [], firmware: firmware ?? [] })
  })
  return found
}

/** With the limits that hold, and those that were changed. */
export const meshPolicy = async (api: Api): Promise<Record<string, unknown>> =>
  (await api.ask('GET', MESH)) as Record<string, unknown>

/** Asked only for what the file says, or said. */
async function seenSite(api: Api, { file }: Rack, applied: EveryNode['applied']): Promise<SeenSite> {
  const named = async (path: string, names: readonly string[]) => {
    const found = new Map<string, Record<string, unknown>>()
    await forEach(names, async (name) => {
      const one = await api.ask('GET', `${path}/${encodeURIComponent(name)}`).catch(unlessMissing)
      if (one !== undefined) found.set(name, one as Record<string, unknown>)
    })
    return found
  }
  const policy = file.mesh?.policy && (await meshPolicy(api))
  const namesOf = (key: 'templates' | 'runbooks', kind: SiteRecord['what']) => [
    ...new Set([...Object.keys(file[key] ?? {}), ...applied.flatMap(({ what, name }) => (what === kind ? name : []))]),
  ]
  return {
    templates: await named('/v1/deploy_templates', namesOf('templates', 'deploy template')),
    runbooks: await named('/v1/runbooks', namesOf('runbooks', 'runbook')),
    applied,
    ...(policy ? { policy } : {}),
  }
}

/** All deploy templates and runbooks that there are. Absent: the user may not see them, or the conductor is an older
 *  one. */
export async function everyNamed(api: Api): Promise<Pick<SeenSite, 'templates' | 'runbooks'>> {
  const every = async (envelope: 'deploy_templates' | 'runbooks') => {
    const found = new Map<string, Record<string, unknown>>()
    for (let path: string | undefined = `/v1/${envelope}?detail=true`; path !== undefined;) {
      const page = (await api.ask('GET', path)) as Record<string, { name: string }[]> & { next?: string }
      const all = page[envelope] ?? []
      for (const one of all) found.set(one.name, one)
      path = all.length > 0 ? page.next?.replace(/^https?:\/\/[^/]+.*?(?=\/v1\/)/, '') : undefined
    }
    return found
  }
  const seen = (envelope: 'deploy_templates' | 'runbooks') =>
    every(envelope).catch((error: unknown) => {
      if (error instanceof CliError && error.kind === 'denied') return undefined
      return unlessMissing(error)
    })
  const [templates, runbooks] = [await seen('deploy_templates'), await seen('runbooks')]
  return { ...(templates ? { templates } : {}), ...(runbooks ? { runbooks } : {}) }
}

const unlessMissing = (error: unknown): undefined => {
  if (error instanceof CliError && error.kind === 'missing') return undefined
  throw error
}

/** Throws when the policy of the mesh is another one than when the plan was made. */
export async function mustHoldPolicy(api: Api, { acts = [] }: Pick<Plan, 'acts'>): Promise<void> {
  for (const act of acts)
    if (act.do === 'mesh policy' && policyDigest(await meshPolicy(api)) !== act.before)
      throw new CliError('refused', 'mesh policy: it has changed since the plan was made; plan again')
}

/** Asked only where the file follows a channel: older conductors have none. */
async function behindChannels(api: Api, rack: Rack): Promise<ReadonlyMap<string, BehindChannel>> {
  const found = new Map<string, BehindChannel>()
  if (!rack.nodes.some((node) => isChannel(node, rack))) return found
  for (let marker: string | null = ''; marker !== null;) {
    const query = `behind=true${marker === '' ? '' : `&marker=${marker}`}`
    const page = (await api.ask('GET', `/rackward/v1/image-status?${query}`)) as ImageStatus
    for (const { name, version, wanted } of page.nodes) if (name !== null) found.set(name, { version, wanted })
    marker = page.next
  }
  return found
}

async function userData(rack: Rack, directory: string): Promise<Map<string, string>> {
  const files = new Map<string, string>()
  for (const node of rack.nodes) {
    const given = node.spec.configdrive?.user_data
    if (given === undefined || typeof given !== 'object' || !('file' in given) || files.has(given.file)) continue
    const refuse = (says: string) =>
      new CliError('usage', `${placeText(whereOf(node, ['configdrive', 'user_data']))}: user_data: ${says}`)
    const path = resolvePath(directory, given.file)
    const { size } = await stat(path).catch((error: Error) =>
      Promise.reject(refuse(`cannot read it: ${error.message}`)),
    )
    if (size > MAX_USER_DATA_BYTES) throw refuse(`${path} is larger than ${MAX_USER_DATA_BYTES} bytes`)
    files.set(given.file, await readFile(path, 'utf8'))
  }
  return files
}

/** The conductor compares: it shows no secret, and keeps none of ours. */
async function compareSecrets(
  api: Api,
  rack: Rack,
  { nodes, directory }: { nodes: readonly RackNode[]; directory: string },
): Promise<Set<string>> {
  const byName = new Map(nodes.map((node) => [node.name, node]))
  const places = rack.nodes.flatMap((wanted) =>
    Object.entries(fieldsOf(wanted)).flatMap(([field, value]) =>
      isPlaceholder(value) && byName.get(wanted.name)?.fields[field] !== undefined
        ? [{ node: wanted.name, field, secret: value.$secret }]
        : [],
    ),
  )
  const differ = new Set<string>()
  if (places.length === 0) return differ
  const names = [...new Set(places.map(({ secret }) => secret))]
  const secrets = await readSecrets(rack, names, { directory, env: process.env })
  for (let at = 0; at < places.length; at += PLACES_AT_ONCE) {
    const body = { secrets, places: places.slice(at, at + PLACES_AT_ONCE) }
    const answer = (await api.ask('POST', '/rackward/v1/rack/secrets', body)) as {
      differ: { node: string; field: string }[]
    }
    for (const { node, field } of answer.differ) differ.add(`${node} ${field}`)
  }
  return differ
}
