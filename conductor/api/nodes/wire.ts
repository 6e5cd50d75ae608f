/** Node records <-> the patchable part of their wire form. */
import { INTERFACES, type InterfaceName } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { NODE_PATCHABLE } from '../node-input.ts'
import { MASK } from '../views.ts'

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())

const INTERFACE_OF: ReadonlyMap<string, InterfaceName> = new Map(
  INTERFACES.map((name) => [`${name}_interface`, name] as const),
)
/** The patchable fields that are no interfaces, and their names in the record. */
const FIELD_OF: ReadonlyMap<string, keyof NodeRecord> = new Map(
  Object.keys(NODE_PATCHABLE)
    .filter((name) => !INTERFACE_OF.has(name))
    .map((name) => [name, camel(name) as keyof NodeRecord] as const),
)

/** What PATCH may leave null means the value of a new node. */
const RESET: Readonly<Record<string, unknown>> = { conductor_group: '', retired: false, disable_power_off: false }

/** Checked input -> the fields that it sets. */
export function fromWire(wire: Readonly<Record<string, unknown>>): Partial<NodeRecord> & { driver: string } {
  const fields: Record<string, unknown> = {}
  const interfaces: Partial<Record<InterfaceName, string>> = {}
  for (const [name, value] of Object.entries(wire)) {
    if (value === undefined) continue
    const chosen = INTERFACE_OF.get(name)
    if (!chosen) fields[FIELD_OF.get(name) ?? camel(name)] = value ?? RESET[name] ?? null
    else if (value !== null) interfaces[chosen] = value as string
  }
  return { ...fields, interfaces } as Partial<NodeRecord> & { driver: string }
}

/** The patchable part of a record; a secret stays readable here, so that a patch of another key keeps it. A config
 *  drive is not in the record: its mask stands for it. */
export function toWire(node: NodeRecord): Record<string, unknown> {
  const wire: Record<string, unknown> = {}
  for (const [name, field] of FIELD_OF) wire[name] = node[field]
  for (const [name, chosen] of INTERFACE_OF) wire[name] = node.interfaces[chosen] ?? null
  wire.instance_info = { ...node.instanceInfo, ...(node.configDrive ? { configdrive: MASK } : {}) }
  return wire
}

/** Clients read a record, change a part and send all of it back: a mask among it, at any depth, means the value that it
 *  stands for. A config drive that is left out is dropped; a new one is left where it came, for the service to
 *  store. */
export function keepMasked<T extends Partial<NodeRecord>>(next: T, now: NodeRecord): T {
  const driverInfo = unmask(next.driverInfo ?? now.driverInfo, now.driverInfo)
  const { configdrive, ...given } = unmask(next.instanceInfo ?? toWire(now).instance_info, now.instanceInfo) as Record<
    string,
    unknown
  >
  const kept = configdrive === MASK && now.configDrive !== null
  const fresh = configdrive === undefined || configdrive === null || kept ? {} : { configdrive }
  return { ...next, driverInfo, instanceInfo: { ...given, ...fresh }, configDrive: kept ? now.configDrive : null }
}

/** A value that came back from a client, with what its masks stand for. */
export function unmask(given: unknown, known: unknown): unknown {
  if (given === MASK) return known ?? given
  if (Array.isArray(given))
    return given.map((item: unknown, i) => unmask(item, Array.isArray(known) ? known[i] : undefined))
  if (given === null || typeof given !== 'object') return given
  const under = (key: string) =>
    known !== null && typeof known === 'object' && Object.hasOwn(known, key)
      ? (known as Record<string, unknown>)[key]
      : undefined
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, unmask(value, under(key))]))
}
