/** The rack file, or every *.yaml of a directory, as one map. A key that stands in two files is an error. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CliError } from '../error.ts'
import { MAX_FILE_BYTES, placeText, readLocated, refused, type Located, type LocatedMap } from './located.ts'

const MAX_FILES = 1_000

export interface LoadedRack {
  readonly root: LocatedMap
  /** Where files that it names are looked for. */
  readonly directory: string
}

export async function loadRack(path: string): Promise<LoadedRack> {
  const found = await stat(path).catch(unreadable(path))
  if (!found.isDirectory()) return { root: await readOne(path), directory: dirname(path) }
  const names = (await readdir(path)).filter((name) => /\.ya?ml$/.test(name) && !name.startsWith('.')).toSorted()
  if (names.length === 0) throw new CliError('usage', `${path}: the directory holds no *.yaml`)
  if (names.length > MAX_FILES) throw new CliError('usage', `${path}: more than ${MAX_FILES} files`)
  const files: LocatedMap[] = []
  for (const name of names) files.push(await readOne(join(path, name)))
  return { root: files.reduce((sum, file) => joined(sum, file, [])), directory: path }
}

async function readOne(path: string): Promise<LocatedMap> {
  const { size } = await stat(path).catch(unreadable(path))
  if (size > MAX_FILE_BYTES)
    throw new CliError(
      'usage',
      `${path}:1:1: the file is larger than ${MAX_FILE_BYTES} bytes; split it into rack.d/*.yaml`,
    )
  return readLocated(await readFile(path, 'utf8').catch(unreadable(path)), path)
}

const unreadable = (path: string) => (error: Error) =>
  Promise.reject(new CliError('usage', `cannot read ${path}: ${error.message}`))

/** Keys that each file may repeat, with the same value. */
const REPEATED = new Set(['version', 'site'])
/** Down to what one file defines whole: a profile, a unit. */
const SHARED_LEVELS = 3

function joined(first: LocatedMap, second: LocatedMap, path: readonly string[]): LocatedMap {
  const entries = new Map(first.entries)
  for (const [key, entry] of second.entries) {
    const before = entries.get(key)
    const at = [...path, key]
    if (!before) entries.set(key, entry)
    else if (before.value.kind === 'map' && entry.value.kind === 'map' && at.length <= SHARED_LEVELS && isShared(at))
      entries.set(key, { ...before, value: joined(before.value, entry.value, at) })
    else if (path.length === 0 && REPEATED.has(key) && isSame(before.value, entry.value)) continue
    else throw refused(entry.keyAt, `${at.join('/')} stands in ${placeText(before.keyAt)} too; remove one of them`)
  }
  return { ...first, entries }
}

const isShared = (path: readonly string[]): boolean =>
  (path.length === 1 && ['secrets', 'images', 'networks', 'profiles', 'racks'].includes(path[0] as string)) ||
  (path[0] === 'racks' && (path.length === 2 || path[2] === 'units'))

const isSame = (one: Located, other: Located): boolean =>
  one.kind === 'scalar' && other.kind === 'scalar' && one.value === other.value
