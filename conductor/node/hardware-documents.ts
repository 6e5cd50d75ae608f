/** What the store keeps of a node's BIOS settings and firmware: as they were read last, with the registry, since when
 *  each is as it is, and what was applied last. A reading that shows something else than what was applied becomes an
 *  event, once, which is stored with the reading or not at all. */
import type { BiosNow, BiosRegistryEntry, BiosValue, BiosValues } from '../bmc/parts/bios.ts'
import type { FirmwareSeen } from '../bmc/parts/updates.ts'
import type { NewEvent, Store } from '../store/port.ts'
import { biosDrift, firmwareDrift, newDrift, type Drift } from './policy/drift.ts'

export interface KeptSetting extends Omit<BiosRegistryEntry, 'type'> {
  /** Null: no registry says it. */
  readonly type: BiosRegistryEntry['type'] | null
  readonly value: string | null
  /** What a step gave it last and proved; absent or null: none did. */
  readonly applied?: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

export interface BiosDocument {
  readonly readAtMs: number
  readonly settings: readonly KeptSetting[]
}

export type DocumentStore = Pick<Store, 'hardware' | 'putHardware'>

export interface DocumentParts {
  readonly store: DocumentStore
  /** Settings of one server that are kept. */
  readonly limits: { readonly biosSettings: number }
}

export const biosDocument = async (
  store: Pick<Store, 'hardware'>,
  nodeUuid: string,
): Promise<BiosDocument | undefined> => (await store.hardware(nodeUuid, 'bios')) as BiosDocument | undefined

/** Keeps what was read. `applied`: what a step has just proven; what it does not name stays as it was applied
 *  before. */
export async function keepBios(
  { store, limits }: DocumentParts,
  nodeUuid: string,
  read: {
    readonly now: BiosNow
    readonly registry: readonly BiosRegistryEntry[]
    readonly atMs: number
    readonly applied?: BiosValues
    /** A reset: what was applied before it holds no more. */
    readonly isReset?: boolean
  },
): Promise<void> {
  const old = (await biosDocument(store, nodeUuid))?.settings ?? []
  const before = new Map(old.map((one) => [one.name, one]))
  const entries = new Map(read.registry.map((entry) => [entry.name, entry]))
  const settings = Object.entries(read.now.current)
    .slice(0, limits.biosSettings)
    .map(([name, seen]): KeptSetting => {
      const entry = entries.get(name) ?? { ...UNKNOWN, name }
      const value = entry.type === 'Password' ? null : textOf(seen)
      const known = before.get(name)
      return {
        ...entry,
        byDefault: entry.type === 'Password' ? null : entry.byDefault,
        value,
        applied: appliedOf(entry, { given: read.applied?.[name], known: read.isReset ? null : known?.applied }),
        createdAtMs: known?.createdAtMs ?? read.atMs,
        updatedAtMs: known === undefined || known.value === value ? (known?.updatedAtMs ?? null) : read.atMs,
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  const document: BiosDocument = { readAtMs: read.atMs, settings }
  const events = driftEvents({ nodeUuid, atMs: read.atMs }, newDrift(biosDrift(old), biosDrift(settings)))
  await store.putHardware(nodeUuid, 'bios', { document, events })
}

/** Passwords are never shown, so that nothing can be said of them. */
const appliedOf = (
  { type }: { readonly type: KeptSetting['type'] },
  { given, known = null }: { given: BiosValue | undefined; known: string | null | undefined },
): string | null => (given === undefined || type === 'Password' ? known : textOf(given))

const driftEvents = (at: { nodeUuid: string; atMs: number }, drifts: readonly Drift[]): NewEvent[] =>
  drifts.map(({ what, name, applied, now }) => ({ ...at, kind: 'drift', detail: { what, name, applied, now } }))

const textOf = (value: BiosValue): string | null => (value === null ? null : String(value))

/** Of a setting that no registry describes. */
const UNKNOWN = {
  type: null,
  readOnly: false,
  resetRequired: null,
  unique: null,
  values: null,
  lowerBound: null,
  upperBound: null,
  minLength: null,
  maxLength: null,
  byDefault: null,
} as const

/** What was kept, in the form that settings are checked against. */
export const knownBios = ({ settings }: BiosDocument) => ({
  registry: settings.flatMap((kept) => (kept.type === null ? [] : [{ ...kept, type: kept.type }])),
  current: Object.fromEntries(settings.map(({ name, value }) => [name, value])),
})

export interface KeptComponent extends Omit<FirmwareSeen, 'target' | 'version'> {
  readonly initialVersion: string | null
  readonly currentVersion: string | null
  readonly lastVersionFlashed: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

export interface FirmwareDocument {
  readonly readAtMs: number
  readonly components: readonly KeptComponent[]
}

export const firmwareDocument = async (
  store: Pick<Store, 'hardware'>,
  nodeUuid: string,
): Promise<FirmwareDocument | undefined> => (await store.hardware(nodeUuid, 'firmware')) as FirmwareDocument | undefined

/** Keeps what was read; components that are not shown now, as network adapters of a server that is off, stay as they
 *  were. `flashed`: what we installed. */
export async function keepFirmware(
  store: DocumentStore,
  nodeUuid: string,
  read: { readonly seen: readonly FirmwareSeen[]; readonly atMs: number; readonly flashed?: string },
): Promise<void> {
  const old = (await firmwareDocument(store, nodeUuid))?.components ?? []
  const before = new Map(old.map((one) => [one.component, one]))
  for (const { target: _, version, ...seen } of read.seen) {
    const known = before.get(seen.component)
    const current = version ?? known?.currentVersion ?? null
    before.set(seen.component, {
      ...seen,
      initialVersion: known?.initialVersion ?? version,
      currentVersion: current,
      lastVersionFlashed: read.flashed === seen.component ? version : (known?.lastVersionFlashed ?? null),
      createdAtMs: known?.createdAtMs ?? read.atMs,
      updatedAtMs: known && known.currentVersion !== current ? read.atMs : (known?.updatedAtMs ?? null),
    })
  }
  const components = [...before.values()].slice(0, MAX_COMPONENTS)
  const document: FirmwareDocument = { readAtMs: read.atMs, components }
  const events = driftEvents({ nodeUuid, atMs: read.atMs }, newDrift(firmwareDrift(old), firmwareDrift(components)))
  await store.putHardware(nodeUuid, 'firmware', { document, events })
}

/** What one server has: its BIOS, its BMC, and its adapters, of which 16 are read. */
const MAX_COMPONENTS = 64

/** What is otherwise than a step left it. */
export async function driftOf(store: Pick<Store, 'hardware'>, nodeUuid: string): Promise<readonly Drift[]> {
  const [bios, firmware] = await Promise.all([biosDocument(store, nodeUuid), firmwareDocument(store, nodeUuid)])
  return [...biosDrift(bios?.settings ?? []), ...firmwareDrift(firmware?.components ?? [])]
}

/** Whether a step has applied anything that could change. */
export async function hasApplied(
  store: Pick<Store, 'hardware'>,
  nodeUuid: string,
): Promise<{ bios: boolean; firmware: boolean }> {
  const [bios, firmware] = await Promise.all([biosDocument(store, nodeUuid), firmwareDocument(store, nodeUuid)])
  return {
    bios: bios?.settings.some(({ applied }) => (applied ?? null) !== null) ?? false,
    firmware: firmware?.components.some(({ lastVersionFlashed }) => lastVersionFlashed !== null) ?? false,
  }
}
