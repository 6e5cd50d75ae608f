/** Three-way: what is wanted, what was recorded, what is observed -> what is changed of the fields and ports of a node.
 *  What others set is left alone. Pure. */
import { isDeepStrictEqual } from 'node:util'
import type { RackNode } from '../../conductor/api/rack-schemas.ts'
import { MASK } from '../../conductor/api/views.ts'
import { stableJson, type Stage } from '../../conductor/rollouts/plan.ts'
import { isPlaceholder, type Fields, type WantedPort } from './wanted.ts'

export interface Difference {
  readonly stages: readonly Stage[]
  readonly says: readonly string[]
  /** What is there and was not ours to change. */
  readonly left: readonly string[]
}

type PlanPatch = Extract<Stage, { do: 'patch' }>['patch'][number]

const pointer = (path: string): string => {
  const [field = '', ...key] = path.split('/')
  return key.length === 0 ? `/${field}` : `/${field}/${key.join('/').replaceAll('~', '~0').replaceAll('/', '~1')}`
}

const shown = (value: unknown): string => (value === undefined || value === null ? 'nothing' : stableJson(value))

export interface FieldsParts {
  readonly node: RackNode
  readonly wanted: Fields
  /** Whether the secret of a field is another one. */
  readonly secretDiffers: (field: string) => boolean
  /** " (rack.yaml:12)" of a field. */
  readonly whence: (field: string) => string
}

export function fieldsDifference({ node, wanted, secretDiffers, whence }: FieldsParts): Difference {
  const patch: PlanPatch[] = []
  const says: string[] = []
  const left: string[] = []
  const isOtherDriver = wanted.driver !== undefined && wanted.driver !== node.fields.driver
  for (const [field, value] of Object.entries(wanted)) {
    const now = node.fields[field]
    if (isPlaceholder(value)) {
      if (now !== undefined && !secretDiffers(field)) continue
      says.push(`~ ${field}  ${now === undefined ? 'is set' : 'differs'} (secret ${value.$secret})${whence(field)}`)
    } else {
      if (isDeepStrictEqual(now ?? null, value)) {
        // A new driver chooses every interface that is not named anew.
        if (isOtherDriver && field.endsWith('_interface')) patch.push({ op: 'add', path: pointer(field), value })
        continue
      }
      const secret = now === MASK || isSealedInside(now)
      says.push(`~ ${field}  ${secret ? 'is set again' : `${shown(now)} -> ${shown(value)}`}${whence(field)}`)
    }
    patch.push({ op: 'add', path: pointer(field), value })
  }
  for (const [field, recorded] of Object.entries(node.recorded?.fields ?? {})) {
    const now = node.fields[field]
    if (Object.hasOwn(wanted, field) || now === undefined || now === null) continue
    const isOurs = isPlaceholder(recorded) || isDeepStrictEqual(now, recorded)
    // The driver and its interfaces are a choice that every node has.
    if (!isOurs || field === 'driver') {
      left.push(`${node.name}: ${field} is in the file no more, and somebody changed it since: left alone`)
      continue
    }
    says.push(`- ${field}  ${isPlaceholder(recorded) ? 'is removed' : `${shown(now)} is removed`}: in the file no more`)
    patch.push({ op: 'remove', path: pointer(field) })
  }
  return { stages: patch.length > 0 ? [{ do: 'patch', patch }] : [], says, left }
}

const isSealedInside = (value: unknown): boolean => stableJson(value ?? null).includes(`"${MASK}"`)

export function traitsDifference(node: RackNode, traits: readonly string[] | undefined): Difference {
  // A line that is taken out leaves what is there.
  if (!traits || isDeepStrictEqual([...node.traits].toSorted(), [...new Set(traits)].toSorted())) return NOTHING
  const next = [...new Set(traits)].toSorted()
  return {
    stages: [{ do: 'traits', traits: next }],
    says: [`~ traits  ${node.traits.join(', ') || 'none'} -> ${next.join(', ') || 'none'}`],
    left: [],
  }
}

const NOTHING: Difference = { stages: [], says: [], left: [] }
const PORT_FIELDS = ['pxe_enabled', 'physical_network', 'local_link_connection'] as const

/** Bodies of new ports. */
export const portBody = (port: WantedPort): Record<string, unknown> =>
  Object.fromEntries(Object.entries(port).filter(([, value]) => value !== undefined))

export function portsDifference(
  node: RackNode,
  wanted: readonly WantedPort[],
  absent: readonly string[] = [],
): Difference {
  const stages: Stage[] = []
  const says: string[] = []
  for (const port of wanted) {
    const now = node.ports.find(({ address }) => address === port.address)
    if (!now) {
      stages.push({ do: 'add port', body: portBody(port) })
      says.push(`+ port ${port.address}`)
      continue
    }
    const patch = PORT_FIELDS.flatMap((field): PlanPatch[] =>
      port[field] === undefined || isDeepStrictEqual(now[field], port[field])
        ? []
        : [{ op: 'add', path: `/${field}`, value: port[field] }],
    )
    if (patch.length === 0) continue
    stages.push({ do: 'change port', uuid: now.uuid, patch })
    says.push(
      `~ port ${port.address}  ${patch.map(({ path, value }) => `${path.slice(1)} ${shown(value)}`).join(', ')}`,
    )
  }
  for (const { uuid, address } of node.ports.filter((port) => absent.includes(port.address))) {
    stages.push({ do: 'remove port', uuid, address })
    says.push(`- port ${address}`)
  }
  const gone = (node.recorded?.ports ?? []).filter(
    (address) =>
      !wanted.some((port) => port.address === address) &&
      !absent.includes(address) &&
      node.ports.some((port) => port.address === address),
  )
  const left = gone.map(
    (address) =>
      `${node.name}: port ${address} is in the file no more: left alone; to remove it, write it in absent_ports`,
  )
  return { stages, says, left }
}
