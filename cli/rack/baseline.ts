/** BIOS settings and firmware that a server shall have, against what was read of it last. Pure. */
import { nearest } from '../../kit/text.ts'
import { enabledInterfaces } from '../../conductor/node/policy/interfaces.ts'
import type { NodeSpec } from './schema.ts'

export interface SeenSetting {
  readonly name: string
  readonly value: string | null
  readonly attribute_type: string | null
  readonly allowable_values: readonly string[] | null
  readonly read_only: boolean | null
}

/** As the server was read last; empty: it was not yet. */
export interface SeenBaseline {
  readonly bios: readonly SeenSetting[]
  readonly firmware: readonly { readonly component: string; readonly current_version: string | null }[]
}

export const BASELINES = ['bios', 'firmware'] as const
export type BaselineKind = (typeof BASELINES)[number]

export interface BaselineItem {
  readonly kind: BaselineKind
  readonly name: string
  /** As the file writes it. */
  readonly given: string
  /** As the server has it. */
  readonly wanted: string
  /** Null: it was not read. */
  readonly now: string | null
  readonly holds: boolean
  /** Why the server cannot have it. */
  readonly flaw?: string
}

/** Every setting and component of the file. */
export const baselineItems = (spec: NodeSpec, seen: SeenBaseline = { bios: [], firmware: [] }): BaselineItem[] => [
  ...Object.entries(spec.bios ?? {}).map(([name, value]) => settingItem(name, String(value), seen)),
  ...Object.entries(spec.firmware ?? {}).map(([name, { version }]) => componentItem(name, version, seen)),
]

function settingItem(name: string, text: string, { bios }: SeenBaseline): BaselineItem {
  const found = bios.find((one) => one.name === name)
  const wanted = found ? inTypeOf(found, text) : text
  const now = found?.value ?? null
  const item = { kind: 'bios', name, given: text, wanted, now, holds: now === wanted } as const
  const flaw = bios.length > 0 && !item.holds ? settingFlaw(found, { name, wanted, bios }) : undefined
  return flaw === undefined ? item : { ...item, flaw }
}

/** As the conductor keeps it: the BMC is sent a number or a truth value. */
function inTypeOf({ attribute_type: type }: SeenSetting, text: string): string {
  if (type === 'Boolean') return text.toLowerCase()
  return type === 'Integer' && /^-?\d{1,15}$/.test(text) ? String(Number(text)) : text
}

function settingFlaw(
  found: SeenSetting | undefined,
  { name, wanted, bios }: { name: string; wanted: string; bios: readonly SeenSetting[] },
): string | undefined {
  if (!found) {
    const names = bios.map((one) => one.name)
    return `the server has no such setting; did you mean ${nearest(name, names)}?`
  }
  if (found.attribute_type === 'Password') return 'it is a password, which no server shows; set it by a step'
  if (found.read_only) return 'it can only be read; take it out'
  const { allowable_values: values } = found
  return values && !values.includes(wanted) ? `it is one of ${values.slice(0, 20).join(', ')}` : undefined
}

function componentItem(name: string, wanted: string, { firmware }: SeenBaseline): BaselineItem {
  const now = firmware.find(({ component }) => component === name)?.current_version ?? null
  const item = { kind: 'firmware', name, given: wanted, wanted, now, holds: now === wanted } as const
  const names = firmware.map(({ component }) => component)
  return names.length === 0 || names.includes(name)
    ? item
    : { ...item, flaw: `the server has no such component; there are ${names.join(', ')}` }
}

/** Clean or service steps that bring about what does not hold: firmware first, which may add settings. */
export function baselineSteps(spec: NodeSpec, items: readonly BaselineItem[]): Record<string, unknown>[] {
  const open = items.filter(({ holds }) => !holds)
  const settings = open.flatMap(({ kind, name }) =>
    kind === 'bios' ? [{ name, value: spec.bios?.[name] ?? null }] : [],
  )
  const updates = open.flatMap(({ kind, name }) => {
    const wanted = kind === 'firmware' ? spec.firmware?.[name] : undefined
    if (!wanted) return []
    const { url, checksum, wait } = wanted
    return [{ component: name, url, ...(checksum === undefined ? {} : { checksum }), ...(wait ? { wait } : {}) }]
  })
  return [
    ...(updates.length > 0 ? [{ interface: 'firmware', step: 'update', args: { settings: updates } }] : []),
    ...(settings.length > 0 ? [{ interface: 'bios', step: 'apply_configuration', args: { settings } }] : []),
  ]
}

/** Of one kind, as it is recorded; undefined: the file names none. */
export const baselineValues = (
  items: readonly BaselineItem[],
  kind: BaselineKind,
): Record<string, string> | undefined => {
  const own = items.filter((item) => item.kind === kind)
  return own.length > 0 ? Object.fromEntries(own.map(({ name, given }) => [name, given])) : undefined
}

/** Why the driver of a node cannot bring a baseline about; undefined: it can. */
export function baselineRefusal(spec: NodeSpec, kind: BaselineKind): string | undefined {
  const { driver = '' } = spec
  const there = enabledInterfaces(driver)?.[kind] ?? []
  const chosen = spec[`${kind}_interface`] ?? there[0]
  if (spec[kind] === undefined || chosen === undefined || !chosen.startsWith('no-')) return undefined
  const what = kind === 'bios' ? 'BIOS settings' : 'firmware'
  return there.some((name) => !name.startsWith('no-'))
    ? `${kind}_interface is ${chosen}, which changes no ${what}; remove ${kind}_interface, or ${kind}`
    : `the driver ${driver} changes no ${what}; use redfish or idrac, or remove ${kind}`
}
