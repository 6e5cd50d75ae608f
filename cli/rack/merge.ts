/** Profiles with inheritance: `use` is a list, the right-most wins, maps are merged, lists replaced; `+key` appends to
 *  a list, `-key` takes away from a list or a map. Pure; throws with the place of what is wrong. */
import { emptyMap, fromProfile, refused, type FilePlace, type Located, type LocatedMap } from './located.ts'

type Entries = LocatedMap['entries']
type Entry = Entries extends ReadonlyMap<string, infer E> ? E : never

const MAX_DEPTH = 16

/** What the profiles of `use` make of a unit. A profile that is named on several ways counts once, at its first
 *  place. */
export function inherited(own: LocatedMap, profiles: LocatedMap | undefined): LocatedMap {
  const layers = new Map<string, LocatedMap>()
  collect(own, { profiles, layers, path: [] })
  return over([...layers.values()].reduce(over, emptyMap(own.at)), withoutUse(own))
}

interface Collecting {
  readonly profiles: LocatedMap | undefined
  readonly layers: Map<string, LocatedMap>
  readonly path: readonly string[]
}

function collect(of: LocatedMap, { profiles, layers, path }: Collecting): void {
  for (const { name, at } of names(of.entries.get('use'))) {
    if (path.includes(name)) throw refused(at, `use: the profile ${name} uses itself (${[...path, name].join(' -> ')})`)
    if (path.length >= MAX_DEPTH) throw refused(at, `use: more than ${MAX_DEPTH} profiles stand on each other`)
    if (layers.has(name)) continue
    const profile = profiles?.entries.get(name)
    if (!profile) throw refused(at, `use: there is no profile ${name}; ${known(profiles)}`)
    if (profile.value.kind !== 'map') throw refused(profile.value.at, `profiles/${name} is not a map`)
    const marked = fromProfile(profile.value, name) as LocatedMap
    collect(marked, { profiles, layers, path: [...path, name] })
    layers.set(name, withoutUse(marked))
  }
}

function withoutUse(map: LocatedMap): LocatedMap {
  const entries = new Map(map.entries)
  entries.delete('use')
  return { ...map, entries }
}

const known = (profiles: LocatedMap | undefined): string =>
  profiles && profiles.entries.size > 0
    ? `profiles are ${[...profiles.entries.keys()].slice(0, 20).join(', ')}`
    : 'write it under "profiles"'

function names(use: Entry | undefined): { name: string; at: FilePlace }[] {
  if (!use) return []
  if (use.value.kind !== 'list') throw refused(use.value.at, 'use is a list of profiles, such as [base]')
  return use.value.items.map((item) => {
    if (item.kind !== 'scalar' || typeof item.value !== 'string')
      throw refused(item.at, 'use names profiles, each as a text')
    return { name: item.value, at: item.at }
  })
}

/** `upper` laid over `lower`. */
function over(lower: LocatedMap, upper: LocatedMap): LocatedMap {
  const entries = new Map(lower.entries)
  // Whatever their order in the file: a value, then what is taken away, then what is appended.
  const ordered = [...upper.entries].toSorted(([a], [b]) => rankOf(a) - rankOf(b))
  for (const [key, entry] of ordered) {
    const mark = /^[+-]/.exec(key)?.[0]
    const name = mark ? key.slice(1) : key
    const before = entries.get(name)
    if (mark === '+') entries.set(name, { ...entry, value: appended(before?.value, entry, key) })
    else if (mark === '-') takeAway(entries, { name, key, entry })
    else entries.set(name, { ...entry, value: merged(before?.value, entry.value) })
  }
  return { ...upper, entries }
}

const rankOf = (key: string): number => (key.startsWith('+') ? 2 : key.startsWith('-') ? 1 : 0)

const merged = (before: Located | undefined, value: Located): Located =>
  value.kind !== 'map' ? value : over(before?.kind === 'map' ? before : emptyMap(value.at), value)

function appended(before: Located | undefined, { keyAt, value }: Entry, key: string): Located {
  if (value.kind !== 'list') throw refused(keyAt, `${key} appends a list; write ${key}: [...]`)
  if (before && before.kind !== 'list') throw refused(keyAt, `${key}: what a profile says of it is no list`)
  return { ...value, items: [...(before?.kind === 'list' ? before.items : []), ...value.items] }
}

function takeAway(
  entries: Map<string, Entry>,
  { name, key, entry: { keyAt, value } }: { name: string; key: string; entry: Entry },
): void {
  const before = entries.get(name)
  if (value.kind === 'scalar' && value.value === null) return void entries.delete(name)
  if (value.kind !== 'list') throw refused(keyAt, `${key} takes a list of what goes, or nothing for all of it`)
  const gone = new Set(value.items.map((item) => (item.kind === 'scalar' ? String(item.value) : '')))
  if (!before) return
  if (before.value.kind === 'list') {
    const items = before.value.items.filter((item) => item.kind !== 'scalar' || !gone.has(String(item.value)))
    entries.set(name, { ...before, value: { ...before.value, items } })
  } else if (before.value.kind === 'map') {
    const rest = new Map([...before.value.entries].filter(([inner]) => !gone.has(inner)))
    entries.set(name, { ...before, value: { ...before.value, entries: rest } })
  } else throw refused(keyAt, `${key}: what a profile says of it is neither a list nor a map`)
}
