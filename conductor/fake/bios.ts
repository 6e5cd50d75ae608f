/** The fake BIOS: a small registry of settings, as Redfish describes them; values are checked against it, applied, and
 *  reset to their defaults. */
import { Fault } from '../../kit/fault.ts'
import type { BiosSetting } from './state.ts'

export interface BiosAttribute {
  readonly attribute_type: 'Enumeration' | 'Integer' | 'String' | 'Boolean'
  readonly byDefault: string
  readonly allowable_values?: readonly string[]
  readonly lower_bound?: number
  readonly upper_bound?: number
  readonly min_length?: number
  readonly max_length?: number
  readonly read_only?: true
  readonly reset_required?: true
}

export const BIOS_REGISTRY: Readonly<Record<string, BiosAttribute>> = {
  AssetTag: { attribute_type: 'String', byDefault: '', min_length: 0, max_length: 63 },
  BootMode: {
    attribute_type: 'Enumeration',
    byDefault: 'Uefi',
    allowable_values: ['Uefi', 'Bios'],
    reset_required: true,
  },
  LogicalProc: {
    attribute_type: 'Enumeration',
    byDefault: 'Enabled',
    allowable_values: ['Enabled', 'Disabled'],
    reset_required: true,
  },
  NumaNodesPerSocket: {
    attribute_type: 'Integer',
    byDefault: '1',
    lower_bound: 1,
    upper_bound: 4,
    reset_required: true,
  },
  PxeRetry: { attribute_type: 'Boolean', byDefault: 'true' },
  SystemModelName: { attribute_type: 'String', byDefault: 'Rackward fake server', read_only: true },
  WorkloadProfile: {
    attribute_type: 'Enumeration',
    byDefault: 'Balanced',
    allowable_values: ['Balanced', 'LowLatency', 'Virtualization'],
  },
}

export const defaultBios = (): BiosSetting[] =>
  Object.entries(BIOS_REGISTRY).map(([name, { byDefault }]) => ({ name, value: byDefault, updatedAtMs: null }))

/** Throws `input.invalid` with the setting that does not do; nothing is applied then. */
export function applyBios(
  now: readonly BiosSetting[],
  wanted: readonly { name: string; value: unknown }[],
  nowMs: number,
): BiosSetting[] {
  const values = new Map(wanted.map(({ name, value }) => [name, checked(name, String(value))]))
  return now.map((one) => {
    const value = values.get(one.name)
    return value === undefined || value === one.value ? one : { ...one, value, updatedAtMs: nowMs }
  })
}

export const resetBios = (now: readonly BiosSetting[], nowMs: number): BiosSetting[] =>
  now.map((one) => {
    const value = BIOS_REGISTRY[one.name]?.byDefault ?? one.value
    return value === one.value ? one : { ...one, value, updatedAtMs: nowMs }
  })

function checked(name: string, value: string): string {
  const bad = (why: string) =>
    new Fault('input.invalid', `settings: the BIOS setting ${JSON.stringify(name.slice(0, 64))} ${why}`)
  const known = Object.hasOwn(BIOS_REGISTRY, name) ? BIOS_REGISTRY[name] : undefined
  if (!known) throw bad(`does not exist; there are ${Object.keys(BIOS_REGISTRY).join(', ')}`)
  if (known.read_only) throw bad('can only be read')
  const { attribute_type: type, allowable_values: allowed, lower_bound: low = 0, upper_bound: high = 0 } = known
  if (type === 'Enumeration' && !allowed?.includes(value)) throw bad(`is one of ${allowed?.join(', ')}`)
  if (type === 'Boolean' && !['true', 'false'].includes(value.toLowerCase())) throw bad('is true or false')
  if (type === 'Integer' && !(/^\d+$/.test(value) && Number(value) >= low && Number(value) <= high))
    throw bad(`is a number from ${low} to ${high}`)
  if (type === 'String' && value.length > (known.max_length ?? 255))
    throw bad(`has at most ${known.max_length ?? 255} characters`)
  return type === 'Boolean' ? value.toLowerCase() : value
}
