/** The registry of BIOS attributes: types, limits and allowed values (schema AttributeRegistry). Found by its name
 *  among the registries of the service. */
import { isFault } from '../../../kit/fault.ts'
import type { BiosRegistryEntry, BiosValue } from '../parts/bios.ts'
import { isDict, linkOf, type Dict, type RedfishClient } from './client.ts'
import { isOfResource, lastOf, memberPaths, pathOf } from './links.ts'

const TYPES = ['Enumeration', 'Integer', 'String', 'Boolean', 'Password'] as const
const MAX_FILES = 100
const MAX_ENTRIES = 5_000
const MAX_VALUES = 500

/** Empty where the BMC has no such registry. */
export async function readBiosRegistry(
  client: RedfishClient,
  name: string,
  signal: AbortSignal,
): Promise<readonly BiosRegistryEntry[]> {
  try {
    const uri = await locate(client, name, signal)
    if (uri === null) return []
    const { body } = await client.get(uri, signal)
    const entries = isDict(body.RegistryEntries) ? body.RegistryEntries : {}
    const list = Array.isArray(entries.Attributes) ? entries.Attributes : []
    return list.filter(isDict).slice(0, MAX_ENTRIES).flatMap(entryOf)
  } catch (error) {
    if (isFault(error, 'bmc.path')) return []
    throw error
  }
}

async function locate(client: RedfishClient, name: string, signal: AbortSignal): Promise<string | null> {
  const registries = linkOf((await client.root(signal)).Registries)
  if (registries === null) return null
  const files = await memberPaths(client.reader(signal), registries, MAX_FILES)
  // The file is mostly called like the registry, with or without its version.
  const likely = (path: string) => (name.startsWith(lastOf(path)) || path.includes(name) ? 0 : 1)
  for (const path of files.toSorted((a, b) => likely(a) - likely(b))) {
    const file = await client.get(path, signal).catch((error: unknown) => {
      if (!isOfResource(error)) throw error
    })
    if (!file) continue
    if (file.body.Registry !== name && file.body.Id !== name) continue
    const places = (Array.isArray(file.body.Location) ? file.body.Location : []).filter(isDict)
    const place = places.find(({ Language }) => String(Language).startsWith('en')) ?? places[0]
    const uri = pathOf(place?.Uri)
    if (uri !== null) return uri
  }
  return null
}

function entryOf(raw: Dict): readonly BiosRegistryEntry[] {
  const name = raw.AttributeName
  if (typeof name !== 'string' || name === '' || name.length > 255) return []
  const number = (value: unknown) => (typeof value === 'number' ? value : null)
  const flag = (value: unknown) => (typeof value === 'boolean' ? value : null)
  const values = (Array.isArray(raw.Value) ? raw.Value : [])
    .slice(0, MAX_VALUES)
    .flatMap((one) => (isDict(one) && typeof one.ValueName === 'string' ? [one.ValueName] : []))
  const byDefault = raw.DefaultValue
  return [
    {
      name,
      type: TYPES.find((type) => type === raw.Type) ?? 'String',
      // Dell spells it Readonly.
      readOnly: (flag(raw.ReadOnly) ?? flag(raw.Readonly) ?? false) || raw.Immutable === true,
      resetRequired: flag(raw.ResetRequired),
      unique: flag(raw.IsSystemUniqueProperty),
      values: values.length > 0 ? values : null,
      lowerBound: number(raw.LowerBound),
      upperBound: number(raw.UpperBound),
      minLength: number(raw.MinLength),
      maxLength: number(raw.MaxLength),
      byDefault: ['string', 'number', 'boolean'].includes(typeof byDefault) ? (byDefault as BiosValue) : null,
    },
  ]
}
