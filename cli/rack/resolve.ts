/** A rack file -> what each node shall be. Pure; throws with file, line, column, field and remedy. */
import type * as z from 'zod'
import { nearest } from '../../kit/text.ts'
import { isSecretKey } from '../../conductor/store/secrets.ts'
import { BASELINES, baselineRefusal } from './baseline.ts'
import { findAt, plain, placeText, refused, type FilePlace, type Located, type LocatedMap } from './located.ts'
import { inherited } from './merge.ts'
import { isOfNetwork, NetworkError, networkDataOf, type Networks } from './network.ts'
import { expandRange, fill, MAX_RANGE, type Names } from './ranges.ts'
import { PER_NODE, RackFile, UnitSpec } from './schema.ts'

export interface WantedUnit {
  readonly name: string
  readonly rack: string
  readonly spec: UnitSpec
  /** The merged unit with its places, for messages and `show --why`. */
  readonly located: LocatedMap
  readonly at: FilePlace
}

export interface Rack {
  readonly site: string
  readonly file: z.infer<typeof RackFile>
  readonly root: LocatedMap
  readonly nodes: readonly WantedUnit[]
}

export const MAX_NODES = 10_000

export function resolve(root: LocatedMap): Rack {
  const file = checked(RackFile, root, [])
  checkGateways(root, file.networks ?? {})
  for (const key of ['templates', 'runbooks', 'mesh']) {
    const located = mapOf(root, key)
    if (located) checkSecrets(located, { secrets: file.secrets ?? {}, path: [key] })
  }
  const profiles = mapOf(root, 'profiles')
  const nodes: WantedUnit[] = []
  for (const [rack, { value }] of mapOf(root, 'racks')?.entries ?? [])
    for (const [key, unit] of mapOf(value, 'units')?.entries ?? []) {
      const units = expandRange(key)
      if (!units)
        throw refused(unit.keyAt, `racks/${rack}/units: ${key} is no range; write u[01-16] (up to ${MAX_RANGE} units)`)
      const whole = inherited(unit.value as LocatedMap, profiles)
      for (const { unit: name, n } of units) {
        nodes.push(nodeOf(whole, { n, unit: name, rack, site: file.site, name: '' }, unit.keyAt))
        if (nodes.length > MAX_NODES) throw refused(unit.keyAt, `more than ${MAX_NODES} nodes; split the site`)
      }
    }
  checkUnique(nodes)
  for (const node of nodes) checkNode(node, file)
  const networked = nodes.map((node) => withOwnSecrets(withNetwork(node, file.networks ?? {}), file.secrets ?? {}))
  networked.sort((a, b) => (a.name < b.name ? -1 : 1))
  return { site: file.site, file, root, nodes: networked }
}

/** A default route outside of its network is one that no server takes. */
function checkGateways(root: LocatedMap, networks: Networks): void {
  for (const [name, { gateway, cidr }] of Object.entries(networks)) {
    const path = ['networks', name, 'gateway']
    if (gateway !== undefined && !isOfNetwork(gateway, cidr))
      throw refused(
        findAt(root, path).at,
        `${path.join('/')}: ${gateway} is no address of ${cidr}; correct one of them`,
      )
  }
}

/** A secret that is made for each node has the node in its name, and no two nodes have the same. */
function withOwnSecrets(node: WantedUnit, secrets: NonNullable<z.infer<typeof RackFile>['secrets']>): WantedUnit {
  const owned = (value: unknown): unknown => {
    if (Array.isArray(value)) return value.map(owned)
    if (value === null || typeof value !== 'object') return value
    const { secret, ...rest } = value as { secret?: unknown }
    if (typeof secret === 'string' && Object.keys(rest).length === 0 && isPerNode(secrets, secret))
      return { secret: `${secret}${PER_NODE}${node.name}` }
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, owned(inner)]))
  }
  const { configdrive } = node.spec
  if (!configdrive) return node
  return { ...node, spec: { ...node.spec, configdrive: owned(configdrive) as typeof configdrive } }
}

const isPerNode = (secrets: Readonly<Record<string, unknown>>, name: string): boolean =>
  Object.hasOwn(secrets, name) && (secrets[name] as { per_node?: boolean }).per_node === true

/** Its config drive says what the networks of the file mean for it. */
function withNetwork(node: WantedUnit, networks: Networks): WantedUnit {
  try {
    const data = networkDataOf(node.spec, networks)
    if (!data) return node
    return { ...node, spec: { ...node.spec, configdrive: { ...node.spec.configdrive, network_data: { ...data } } } }
  } catch (error) {
    if (!(error instanceof NetworkError)) throw error
    throw refused(whereOf(node, error.field), `${node.name}: ${error.field.join('/')}: ${error.message}`)
  }
}

const mapOf = (from: Located, key: string): LocatedMap | undefined => {
  const found = from.kind === 'map' ? from.entries.get(key)?.value : undefined
  return found?.kind === 'map' ? found : undefined
}

function nodeOf(whole: LocatedMap, names: Names, at: FilePlace): WantedUnit {
  const given = whole.entries.get('name')?.value
  const template = given?.kind === 'scalar' ? String(given.value) : '{rack}-{unit}'
  const name = filled(given ?? { kind: 'scalar', at, value: template }, template, names)
  const located = filledMap(whole, { ...names, name }, [])
  const about = ['racks', names.rack, 'units', names.unit]
  const spec = checked(UnitSpec, located, about)
  return { name, rack: names.rack, spec: { ...spec, name }, located, at: located.entries.size > 0 ? at : whole.at }
}

function filled(where: Located, text: string, names: Names): string {
  try {
    return fill(text, names)
  } catch (error) {
    throw refused(where.at, (error as Error).message)
  }
}

function filledMap(map: LocatedMap, names: Names, path: readonly string[]): LocatedMap {
  const entries = new Map(
    [...map.entries].map(([key, { keyAt, value }]) => [
      key,
      { keyAt, value: filledValue(value, names, [...path, key]) },
    ]),
  )
  return { ...map, entries }
}

function filledValue(value: Located, names: Names, path: readonly string[]): Located {
  // What is not ours: braces of shells, JSON and Jinja stay what they are.
  if (path.join('/') === 'configdrive/user_data') return value
  if (value.kind === 'map') return filledMap(value, names, path)
  if (value.kind === 'list')
    return { ...value, items: value.items.map((item, i) => filledValue(item, names, [...path, String(i)])) }
  return typeof value.value === 'string' ? { ...value, value: filled(value, value.value, names) } : value
}

/** What the schema makes of it. `about`: where it stands, for the message. */
function checked<T extends z.ZodType>(schema: T, located: LocatedMap, about: readonly string[]): z.infer<T> {
  const result = schema.safeParse(plain(located))
  if (result.success) return result.data
  const issue = deepest(result.error.issues[0] as z.core.$ZodIssue)
  const field = [...about, ...issue.path.map(String)].join('/')
  const found = findAt(located, issue.path)
  if (issue.code === 'unrecognized_keys') {
    const key = issue.keys[0] ?? ''
    const at = (found.kind === 'map' ? found.entries.get(key)?.keyAt : undefined) ?? found.at
    const known = knownKeys(schema, issue.path)
    const hint = known.length > 0 ? `; did you mean ${nearest(key, known)}? Known are ${known.join(', ')}` : ''
    throw refused(at, `${field ? `${field}/` : ''}${key} is not a known field${hint}`)
  }
  throw refused(found.at, `${field || 'the file'}: ${issue.message}`)
}

/** Of a union, what is wrong with the branch that fits best. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code === 'invalid_key') return { ...issue, message: issue.issues[0]?.message ?? issue.message }
  if (issue.code !== 'invalid_union') return issue
  const inner = issue.errors
    .flat()
    .map(deepest)
    .toSorted((a, b) => b.path.length - a.path.length)
  const [best] = inner
  if (!best || best.path.length === 0)
    return { ...issue, message: [...new Set(inner.map(({ message }) => message))].slice(0, 3).join(', or: ') } as never
  return { ...best, path: [...issue.path, ...best.path] }
}

function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  const shape = (schema as { shape?: Record<string, unknown> }).shape
  return path.length === 0 && shape ? Object.keys(shape) : []
}

function checkUnique(nodes: readonly WantedUnit[]): void {
  const names = new Map<string, WantedUnit>()
  const addresses = new Map<string, WantedUnit>()
  const places = new Map<string, WantedUnit>()
  const hosts = new Map<string, WantedUnit>()
  const taken = (seen: Map<string, WantedUnit>, key: string, { node, field }: { node: WantedUnit; field: string }) => {
    const before = seen.get(key)
    if (before)
      throw refused(
        whereOf(node, field.split('/')),
        `${field}: ${node.name} has ${key}, as ${before.name} at ${placeText(whereOf(before, field.split('/')))}; give each its own`,
      )
    seen.set(key, node)
  }
  for (const node of nodes) {
    taken(names, node.name, { node, field: 'name' })
    for (const port of node.spec.ports ?? [])
      taken(addresses, typeof port === 'string' ? port : port.address, { node, field: 'ports' })
    for (const [network, address] of Object.entries(node.spec.network?.addresses ?? {}))
      taken(hosts, `the address ${address} of ${network}`, { node, field: `network/addresses/${network}` })
    const { u, height = 1 } = node.spec
    if (u !== undefined)
      for (let unit = u; unit < u + height; unit += 1) taken(places, `${node.rack}, unit ${unit}`, { node, field: 'u' })
  }
}

/** The place of a field of a node; of the unit where the field is not written. */
export function whereOf(node: WantedUnit, path: readonly string[]): FilePlace {
  const found = findAt(node.located, path)
  return found === node.located ? node.at : found.at
}

function checkNode(node: WantedUnit, file: z.infer<typeof RackFile>): void {
  const { spec } = node
  const refuse = (field: string, says: string) =>
    refused(whereOf(node, field.split('/')), `${node.name}: ${field}: ${says}`)
  if (spec.image !== undefined && !Object.hasOwn(file.images ?? {}, spec.image))
    throw refuse('image', `there is no image ${spec.image}; write it under "images"`)
  if (spec.want === 'active' && spec.image === undefined)
    throw refuse('want', 'active needs an image: write "image: NAME"')
  if (spec.want !== 'absent' && spec.driver === undefined)
    throw refuse('driver', 'is missing: write ipmi, redfish, idrac or fake-hardware')
  if (spec.bmc !== undefined && addressKey(spec.driver) === undefined)
    throw refuse('bmc', `the driver ${spec.driver} has no address of a BMC; remove it`)
  for (const kind of BASELINES) {
    const why = baselineRefusal(spec, kind)
    if (why !== undefined) throw refuse(kind, why)
  }
  for (const port of spec.ports ?? []) {
    const address = typeof port === 'string' ? port : port.address
    if (spec.absent_ports?.includes(address)) throw refuse('absent_ports', `${address} stands in ports too; remove one`)
  }
  checkSecrets(node.located, { secrets: file.secrets ?? {}, path: [] })
}

/** The key of driver_info for the address of a BMC. */
export function addressKey(driver: string | undefined): string | undefined {
  if (driver === 'ipmi') return 'ipmi_address'
  return driver === 'redfish' || driver === 'idrac' ? 'redfish_address' : undefined
}

interface SecretCheck {
  readonly secrets: Readonly<Record<string, unknown>>
  readonly path: readonly string[]
}

/** `{secret: NAME}`, and nothing else. */
export const secretName = (located: Located): string | undefined => {
  if (located.kind !== 'map' || located.entries.size !== 1) return undefined
  const name = located.entries.get('secret')?.value
  return name?.kind === 'scalar' && typeof name.value === 'string' ? name.value : undefined
}

/** What every reader of the node is shown takes no secret, and what is not compared takes none. */
const maySecret = ([field, ...key]: readonly string[]): boolean =>
  field === 'configdrive' || (field === 'driver_info' && key.length === 1)

function checkSecrets(located: Located, check: SecretCheck): void {
  const { path } = check
  const name = secretName(located)
  if (name !== undefined) {
    if (!Object.hasOwn(check.secrets, name))
      throw refused(located.at, `${path.join('/')}: there is no secret ${name}; write it under "secrets"`)
    if (!maySecret(path))
      throw refused(
        located.at,
        `${path.join('/')}: it would be shown to all readers; secrets stand in driver_info/KEY and configdrive`,
      )
    if (isPerNode(check.secrets, name) && path[0] !== 'configdrive')
      throw refused(
        located.at,
        `${path.join('/')}: ${name} is made anew for each node that is deployed; it stands in configdrive`,
      )
    return
  }
  const isSecret = path.some(isSecretKey) && (path[0] === 'driver_info' || isSecretKey(path.at(-1) ?? ''))
  if (isSecret && located.kind === 'scalar' && located.value !== null && located.value !== '')
    throw refused(
      located.at,
      `${path.join('/')}: secrets are not written here; write { secret: NAME }, and NAME under "secrets"`,
    )
  if (located.kind === 'list')
    for (const [i, item] of located.items.entries()) checkSecrets(item, { ...check, path: [...path, String(i)] })
  if (located.kind !== 'map') return
  for (const [key, { value }] of located.entries) checkSecrets(value, { ...check, path: [...path, key] })
}
