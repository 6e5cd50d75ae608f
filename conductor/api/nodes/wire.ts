/** Node records <-> the patchable part of their wire form. */
import { snakeCase } from '../../../kit/text.ts'
import { INTERFACES, type InterfaceName } from '../../node/policy/interfaces.ts'
import type { NodeRecord } from '../../node/record.ts'
import { NODE_PATCHABLE } from '../node-input.ts'
import { MASK } from '../views.ts'

const camel = (name: string) => name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
const INTERFACE = /^([a-z]+)_interface$/

/** What PATCH may leave null means the value of a new node. */
const RESET: Readonly<Record<string, unknown>> = { conductor_group: '', retired: false, disable_power_off: false }

/** Checked input -> the fields that it sets. */
export function fromWire(wire: Readonly<Record<string, unknown>>): Partial<NodeRecord> & { driver: string } {
  const fields: Record<string, unknown> = {}
  const interfaces: Partial<Record<InterfaceName, string>> = {}
  for (const [name, value] of Object.entries(wire)) {
    if (value === undefined) continue
    const chosen = INTERFACE.exec(name)?.[1] as InterfaceName | undefined
    if (!chosen) fields[camel(name)] = value ?? RESET[name] ?? null
    else if (value !== null) interfaces[chosen] = value as string
  }
  return { ...fields, interfaces } as Partial<NodeRecord> & { driver: string }
}

/** The patchable part of a record; a secret stays readable here, so that a patch of another key keeps it. A config drive is not in the record: its mask stands for it. */
export const toWire = (node: NodeRecord): Record<string, unknown> => ({
  ...Object.fromEntries(
    Object.entries(node)
      .map(([name, value]) => [snakeCase(name), value] as const)
      .filter(([name]) => Object.hasOwn(NODE_PATCHABLE, name)),
  ),
  instance_info: { ...node.instanceInfo, ...(node.configDrive ? { configdrive: MASK } : {}) },
  ...Object.fromEntries(INTERFACES.map((name) => [`${name}_interface`, node.interfaces[name] ?? null])),
})

/** Clients read a record, change a part and send all of it back: a mask among it, at any depth, means the value that it stands for. A config drive that is left out is
 *  dropped; a new one is left where it came, for the service to store. */
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
