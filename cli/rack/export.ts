/** What a conductor has recorded -> a rack file whose plan has no act. Secrets become references; what a rack file
 *  cannot say is told, never lost. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import { MASK } from '../../conductor/api/views.ts'
import { isSecretKey } from '../../conductor/store/secrets.ts'
import { isDict } from '../../kit/json.ts'
import { digestOf } from '../../conductor/rollouts/plan.ts'
import { seriesReference } from '../../images/series.ts'
import { isImageName } from '../../images/store.ts'
import { UNPLACED } from './wanted.ts'
import { addressKey } from './resolve.ts'
import { hasUser } from './addresses.ts'
import { HaGroup, NAME_PATTERN, NodeSpec } from './schema.ts'
import { emptyRecord, SharedParts } from './shared-parts.ts'
import { imageOf, isPlaceholder } from './wanted.ts'

export interface Exported {
  readonly file: ExportedFile
  /** What is not in the file, one line each. */
  readonly left: readonly string[]
}

export interface ExportedFile {
  version: 1
  site: string
  secrets: Record<string, { env: string }>
  images: Record<string, Readonly<Record<string, string>>>
  templates?: Record<string, Readonly<Record<string, unknown>>>
  runbooks?: Record<string, Readonly<Record<string, unknown>>>
  mesh?: { readonly policy: Readonly<Record<string, unknown>> }
  racks: Record<string, { units: Record<string, Record<string, unknown>> }>
}

const WANTED = new Set(['manageable', 'available', 'active'])

export function exportOf(nodes: readonly RackNode[], site: string): Exported {
  const shared = new SharedParts()
  const { secrets, images } = shared
  const file: ExportedFile = { version: 1, site, secrets, images, racks: emptyRecord() }
  const left: string[] = []
  const places = new Set<string>()
  const addresses = new Set<string>()
  for (const node of nodes.toSorted((a, b) => ((a.name ?? a.uuid) < (b.name ?? b.uuid) ? -1 : 1))) {
    const label = node.name ?? node.uuid
    const tell = (says: string) => void left.push(`${label}: ${says}`)
    if (node.name === null) tell('it has no name; give it one: rackward node set NAME')
    else if (!NAME_PATTERN.test(node.name)) tell('a rack file cannot hold its name')
    else if (node.recorded && node.recorded.site !== site)
      tell(`it belongs to the file of the site ${node.recorded.site}`)
    else unitOf({ ...node, name: node.name }, { file, shared, tell, places, addresses })
  }
  return { file, left }
}

interface ExportParts {
  readonly file: ExportedFile
  readonly shared: SharedParts
  readonly tell: (says: string) => void
  /** Taken: "rack, unit". */
  readonly places: Set<string>
  readonly addresses: Set<string>
}

function unitOf(node: RackNode & { readonly name: string }, parts: ExportParts): void {
  const { file, tell } = parts
  const unit: Record<string, unknown> = { name: node.name }
  const place = placeOf(node.fields['extra/rackward'], parts.places)
  for (const [field, value] of Object.entries(node.fields)) {
    if (place && field === 'extra/rackward') continue
    const [map = '', ...rest] = field.split('/')
    const key = rest.join('/')
    const known = carried(node, { field, value, key }, parts)
    if ('left' in known) {
      tell(`${field} ${known.left}`)
      continue
    }
    if (rest.length === 0) unit[map] = known.value
    else unit[map] = { ...(unit[map] as object | undefined), [key]: known.value }
  }
  useBmc(unit)
  for (const map of ['driver_info', 'extra', 'properties']) {
    if (!isReference(unit[map])) continue
    delete unit[map]
    tell(`${map}/secret would be read as the reference of a secret`)
  }
  if (node.traits.length > 0) unit.traits = [...node.traits].toSorted()
  const ports = portsOf(node, parts)
  if (ports.length > 0) unit.ports = ports
  if (Object.keys(node.target_raid).length > 0) {
    // Another one than was built would erase the disks.
    if (node.recorded?.raid === digestOf(node.target_raid) && flawOf(node.target_raid) === undefined)
      unit.raid = escaped(node.target_raid)
    else tell('raid: it was not built from a rack file')
  }
  for (const baseline of ['bios', 'firmware'] as const)
    if (node.recorded?.[baseline]) tell(`${baseline}: the baseline of its file is not shown; the server keeps it`)
  if (node.has_drive) tell('configdrive: its content is not shown; the instance keeps it')
  useState(unit, node, parts)
  if (place) Object.assign(unit, place.unit)
  const rack = place?.rack ?? UNPLACED
  const units = (file.racks[rack] ??= { units: {} }).units
  units[freeKey(node.name, units)] = unit
}

/** Brackets are ranges, and cannot be in a name. */
const freeKey = (name: string, units: object): string => {
  let key = name
  for (let i = 2; Object.hasOwn(units, key); i += 1) key = `${name}~${i}`
  return key
}

/** The place as a rack file writes it; undefined: it is another one's, or nothing that a rack file would write. */
function placeOf(value: unknown, places: Set<string>): { rack: string; unit: Record<string, unknown> } | undefined {
  const { ha_group: group, ...place } = (isDict(value) ? value : {}) as Record<string, unknown>
  const { rack, u, height } = place
  if (typeof rack !== 'string' || !NAME_PATTERN.test(rack) || rack === UNPLACED) return undefined
  if (group !== undefined && !(HaGroup.safeParse(group).success && flawOf({ group }) === undefined)) return undefined
  const grouped = group === undefined ? {} : { ha_group: escaped(group) }
  if (isDeepStrictEqual(place, { rack })) return { rack, unit: grouped }
  if (!isUnit(u) || !isUnit(height) || !isDeepStrictEqual(place, { rack, u, height })) return undefined
  const taken = Array.from({ length: height }, (_, i) => `${rack}, ${u + i}`)
  if (taken.some((one) => places.has(one))) return undefined
  for (const one of taken) places.add(one)
  return { rack, unit: { u, height, ...grouped } }
}

const isUnit = (value: unknown): value is number =>
  Number.isInteger(value) && Number(value) >= 1 && Number(value) <= 100

type CarriedValue = { readonly value: unknown } | { readonly left: string }

function carried(
  node: RackNode & { readonly name: string },
  { field, value, key }: { field: string; value: unknown; key: string },
  { shared }: ExportParts,
): CarriedValue {
  const recorded = node.recorded?.fields[field]
  const isDriverInfo = field.startsWith('driver_info/')
  if (isDriverInfo && (value === MASK || isPlaceholder(recorded))) {
    if (flawOf({ [key]: '' }) !== undefined) return { left: 'has a name that a rack file cannot hold' }
    return { value: { secret: shared.secret(secretName(node.name, key, recorded)) } }
  }
  if (key !== '') {
    const flaw = flawOf({ [key]: value }, { ...TOP, secretKeys: isDriverInfo })
    return flaw === undefined ? { value: escaped(value) } : { left: flaw }
  }
  const shape = (NodeSpec.shape as Record<string, { safeParse(given: unknown): { success: boolean; data?: unknown } }>)[
    field
  ]
  const result = shape?.safeParse(value)
  if (!result?.success || !isDeepStrictEqual(result.data, value)) return { left: 'is nothing that a rack file can say' }
  return { value: escaped(value) }
}

/** The name that it had in the file which was applied, or one of its own. */
const secretName = (node: string, key: string, recorded: unknown): string =>
  isPlaceholder(recorded) ? recorded.$secret : `${node}-${key}`.replace(/[^A-Za-z0-9._~-]/g, '_').slice(0, 255)

interface FlawAt {
  /** What stands below a key of a secret is one, too. */
  readonly secretKeys: boolean
  readonly isSecret: boolean
  readonly depth: number
}

/** Of the levels of a file, some are ours. */
const MAX_DEPTH = 18

/** Why a rack file cannot hold a value as it is. */
function flawOf(value: unknown, at: FlawAt = TOP): string | undefined {
  const { isSecret, secretKeys, depth } = at
  if (value === MASK || (isSecret && typeof value !== 'object' && value !== ''))
    return 'holds a secret, which is not shown'
  if (typeof value === 'string' && hasUser(value)) return 'is a URL with a user or a password; name them apart'
  if (typeof value === 'number' && Number.isInteger(value) && !Number.isSafeInteger(value))
    return 'is a number that YAML does not keep'
  if (depth > MAX_DEPTH) return 'is nested too deep'
  if (value === null || typeof value !== 'object') return undefined
  const below = { ...at, depth: depth + 1 }
  if (Array.isArray(value)) return value.map((item) => flawOf(item, below)).find((flaw) => flaw !== undefined)
  if (isReference(value) && depth > 0) return 'would be read as the reference of a secret'
  for (const [key, inner] of Object.entries(value)) {
    if (/^[+-]|^<<$|^__proto__$/.test(key))
      return `has the key ${JSON.stringify(key)}, which a rack file understands otherwise`
    const flaw = flawOf(inner, { ...below, isSecret: isSecretKey(key) || (secretKeys && isSecret) })
    if (flaw !== undefined) return flaw
  }
  return undefined
}

/** A map whose only key is `secret`. */
const isReference = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && isDeepStrictEqual(Object.keys(value), ['secret'])

const TOP: FlawAt = { secretKeys: false, isSecret: false, depth: 0 }

/** Braces are filled in. */
export function escaped(value: unknown): unknown {
  if (typeof value === 'string') return value.replaceAll('{', '{{').replaceAll('}', '}}')
  if (Array.isArray(value)) return value.map(escaped)
  if (value === null || typeof value !== 'object') return value
  return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, escaped(inner)]))
}

function useBmc(unit: Record<string, unknown>): void {
  const key = addressKey(unit.driver as string | undefined)
  const { [key ?? '']: address, ...rest } = (unit.driver_info ?? {}) as Record<string, unknown>
  if (key === undefined || typeof address !== 'string' || address === '' || address.length > 255) return
  unit.bmc = address
  if (Object.keys(rest).length > 0) unit.driver_info = rest
  else delete unit.driver_info
}

function portsOf(node: RackNode, { tell, addresses }: ExportParts): unknown[] {
  return node.ports.flatMap(({ address, pxe_enabled, physical_network, local_link_connection: link }) => {
    if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/.test(address) || addresses.has(address)) {
      tell(`port ${address}: a rack file cannot hold its address`)
      return []
    }
    addresses.add(address)
    const isPlain =
      Object.values(link).every((value) => typeof value === 'string') &&
      flawOf(link) === undefined &&
      !isReference(link)
    if (!isPlain) tell(`port ${address}: local_link_connection is nothing that a rack file can say`)
    const isShort = physical_network !== null && physical_network.length <= 64
    return [
      {
        address,
        pxe_enabled,
        ...(isShort ? { physical_network: escaped(physical_network) } : {}),
        ...(isPlain && Object.keys(link).length > 0 ? { local_link_connection: escaped(link) } : {}),
      },
    ]
  })
}

/** State and image, where a plan finds nothing to do for them. */
function useState(unit: Record<string, unknown>, node: RackNode, { shared, tell }: ExportParts): void {
  const { provision_state: state } = node
  if (!WANTED.has(state) || node.maintenance || node.reservation)
    return tell(`want: it is ${state}${node.maintenance ? ', in maintenance' : ''}; the file leaves its state as it is`)
  if (state !== 'active') return void (unit.want = state)
  const image = imageSpecOf(node)
  if (!image)
    return tell('image: it is neither in the image store nor a URL with a digest; the file leaves its state as it is')
  Object.assign(unit, { image: shared.image(image), want: 'active' })
}

function imageSpecOf({ instance }: RackNode): Record<string, string> | undefined {
  const { image_source: source, image_os_hash_algo: algo, image_os_hash_value: value } = instance
  if (typeof source !== 'string') return undefined
  const isUrl = /^(https?|file):/.test(source)
  const hashes = (algo === 'sha256' || algo === 'sha512') && typeof value === 'string' ? { [algo]: value } : {}
  const { name = source, ...word } = seriesReference(source) ?? {}
  const spec = isUrl ? { url: source, ...hashes } : { store: name, ...word }
  if (!isUrl && !isImageName(name)) return undefined
  // As a plan reads it: a digest in capitals is another one there.
  const read = imageOf({ spec: { image: 'x' } as never }, { file: { images: { x: spec } } as never })
  const isSame = Object.entries(read ?? {}).every(([key, one]) => isDeepStrictEqual(instance[key], one))
  return isSame && !/[{}]/.test(source) && !hasUser(source) ? spec : undefined
}
