/** What the store keeps of a node's BIOS settings and firmware: as they were read last, with the registry, and since when each is as it is. */
import type { BiosNow, BiosRegistryEntry, BiosValue } from '../bmc/parts/bios.ts'
import type { FirmwareSeen } from '../bmc/parts/updates.ts'
import type { Store } from '../store/port.ts'

export interface KeptSetting extends Omit<BiosRegistryEntry, 'type'> {
  /** Null: no registry says it. */
  readonly type: BiosRegistryEntry['type'] | null
  readonly value: string | null
  readonly createdAtMs: number
  readonly updatedAtMs: number | null
}

export interface BiosDocument {
  readonly readAtMs: number
  readonly settings: readonly KeptSetting[]
}

export interface DocumentParts {
  readonly store: Pick<Store, 'hardware' | 'putHardware'>
  /** Settings of one server that are kept. */
  readonly limits: { readonly biosSettings: number }
}

export const biosDocument = async (
  store: Pick<Store, 'hardware'>,
  nodeUuid: string,
): Promise<BiosDocument | undefined> => (await store.hardware(nodeUuid, 'bios')) as BiosDocument | undefined

/** Keeps what was read. */
export async function keepBios(
  { store, limits }: DocumentParts,
  nodeUuid: string,
  read: { readonly now: BiosNow; readonly registry: readonly BiosRegistryEntry[]; readonly atMs: number },
): Promise<void> {
  const before = new Map((await biosDocument(store, nodeUuid))?.settings.map((one) => [one.name, one]))
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
        createdAtMs: known?.createdAtMs ?? read.atMs,
        updatedAtMs: known === undefined || known.value === value ? (known?.updatedAtMs ?? null) : read.atMs,
      }
    })
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  await store.putHardware(nodeUuid, 'bios', { readAtMs: read.atMs, settings } satisfies BiosDocument)
}

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

/** Keeps what was read; components that are not shown now, as network adapters of a server that is off, stay as they were. `flashed`: what we installed. */
export async function keepFirmware(
  store: Pick<Store, 'hardware' | 'putHardware'>,
  nodeUuid: string,
  read: { readonly seen: readonly FirmwareSeen[]; readonly atMs: number; readonly flashed?: string },
): Promise<void> {
  const before = new Map((await firmwareDocument(store, nodeUuid))?.components.map((one) => [one.component, one]))
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
  await store.putHardware(nodeUuid, 'firmware', { readAtMs: read.atMs, components } satisfies FirmwareDocument)
}

/** What one server has: its BIOS, its BMC, and its adapters, of which 16 are read. */
const MAX_COMPONENTS = 64
