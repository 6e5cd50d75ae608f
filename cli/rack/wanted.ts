/** What a unit of a rack file means in the fields of the API: `field` or `field/key` -> value. Pure. */
import { isDict } from '../../kit/json.ts'
import { digestOf, SECRET_KEY } from '../../conductor/rollouts/plan.ts'
import { INTERFACES } from '../../conductor/node/policy/interfaces.ts'
import { addressKey, type Rack, type WantedUnit } from './resolve.ts'
import { storeSource, type ImageSpec, type NodeSpec } from './schema.ts'

export type Fields = Readonly<Record<string, unknown>>

export interface WantedPort {
  readonly address: string
  readonly pxe_enabled?: boolean | undefined
  readonly physical_network?: string | undefined
  readonly local_link_connection?: Readonly<Record<string, string>> | undefined
}

const PLAIN = [
  'driver',
  'resource_class',
  'description',
  'owner',
  'lessee',
  'shard',
  'conductor_group',
  'automated_clean',
  ...INTERFACES.map((name) => `${name}_interface` as const),
] as const
const MAPS = ['driver_info', 'properties', 'extra', 'network_data'] as const

/** The rack of nodes that have no place: none is written of them. */
export const UNPLACED = 'unplaced'

/** A reference of the file as it stands in a plan, at any depth. */
export function withPlaceholders(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withPlaceholders)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value)
  const [first] = entries
  if (entries.length === 1 && first?.[0] === 'secret' && typeof first[1] === 'string') return { [SECRET_KEY]: first[1] }
  return Object.fromEntries(entries.map(([key, inner]) => [key, withPlaceholders(inner)]))
}

export const isPlaceholder = (value: unknown): value is { [SECRET_KEY]: string } =>
  value !== null && typeof value === 'object' && Object.hasOwn(value, SECRET_KEY)

/** Names of the secrets in a value. */
export function secretsIn(value: unknown): string[] {
  if (isPlaceholder(value)) return [value[SECRET_KEY]]
  return value !== null && typeof value === 'object' ? Object.values(value).flatMap(secretsIn) : []
}

export function fieldsOf({ spec, rack }: Pick<WantedUnit, 'spec' | 'rack'>): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  const put = (path: string, value: unknown) => {
    if (value !== undefined) fields[path] = withPlaceholders(value)
  }
  for (const field of PLAIN) put(field, spec[field])
  for (const field of MAPS) for (const [key, value] of Object.entries(spec[field] ?? {})) put(`${field}/${key}`, value)
  const address = addressKey(spec.driver)
  if (address !== undefined && spec.bmc !== undefined) put(`driver_info/${address}`, spec.bmc)
  put('properties/root_device', spec.root_device)
  put('properties/capabilities', capabilitiesText(spec.capabilities))
  const own = ownExtra({ spec, rack })
  if (Object.keys(own).length > 0) put('extra/rackward', own)
  return Object.fromEntries(Object.entries(fields).toSorted(([a], [b]) => (a < b ? -1 : 1)))
}

/** `extra.rackward`: what the file says there, with place and group. A place without a unit is one that the web console
 *  does not draw. */
function ownExtra({ spec, rack }: Pick<WantedUnit, 'spec' | 'rack'>): Record<string, unknown> {
  const given = spec.extra?.rackward
  return {
    ...(isDict(given) ? given : {}),
    ...(spec.ha_group === undefined ? {} : { ha_group: spec.ha_group }),
    ...(rack === UNPLACED ? {} : { rack }),
    ...(rack === UNPLACED || spec.u === undefined ? {} : { u: spec.u, height: spec.height ?? 1 }),
  }
}

/** Ironic's form: `boot_mode:uefi,secure_boot:true`. */
const capabilitiesText = (given: NodeSpec['capabilities']): string | undefined =>
  given &&
  Object.entries(given)
    .map(([key, value]) => `${key}:${String(value)}`)
    .toSorted()
    .join(',')

export const portsOf = ({ ports }: NodeSpec): WantedPort[] =>
  (ports ?? []).map((port) => (typeof port === 'string' ? { address: port } : port))

/** What instance_info says of the image that is wanted; undefined: none is. */
export function imageOf({ spec }: Pick<WantedUnit, 'spec'>, { file }: Pick<Rack, 'file'>): Fields | undefined {
  const image: ImageSpec | undefined = spec.image === undefined ? undefined : file.images?.[spec.image]
  if (!image) return undefined
  if ('store' in image) return { image_source: storeSource(image) }
  const [algo, value] = image.sha512 === undefined ? ['sha256', image.sha256] : ['sha512', image.sha512]
  return {
    image_source: image.url,
    ...(value === undefined ? {} : { image_os_hash_algo: algo, image_os_hash_value: value.toLowerCase() }),
  }
}

/** The config drive, and its digest. `files`: the content of user_data files by their name. */
export function driveOf(
  { spec }: Pick<WantedUnit, 'spec'>,
  files: ReadonlyMap<string, string>,
): { readonly content: Fields; readonly digest: string } | undefined {
  if (!spec.configdrive) return undefined
  const { user_data: given, ...rest } = spec.configdrive
  const userData = given !== undefined && typeof given === 'object' && 'file' in given ? files.get(given.file) : given
  const content = withPlaceholders({ ...rest, ...(userData === undefined ? {} : { user_data: userData }) }) as Fields
  return { content, digest: digestOf(content) }
}
