/** YAML -> values that know their file, line and column. Bounded: size, depth, number of values; no aliases. */
import { CliError } from '../error.ts'

export interface FilePlace {
  readonly file: string
  readonly line: number
  readonly column: number
  /** The profile that says it. */
  readonly profile?: string
}

export type Scalar = string | number | boolean | null
export type Located =
  | { readonly kind: 'scalar'; readonly at: FilePlace; readonly value: Scalar }
  | { readonly kind: 'list'; readonly at: FilePlace; readonly items: readonly Located[] }
  | LocatedMap
export interface LocatedMap {
  readonly kind: 'map'
  readonly at: FilePlace
  readonly entries: ReadonlyMap<string, { readonly keyAt: FilePlace; readonly value: Located }>
}

export const MAX_FILE_BYTES = 1024 * 1024
const MAX_DEPTH = 25
const MAX_VALUES = 100_000
/** Brackets that are open at once, in texts too: looked at before anything is built. */
const MAX_BRACKETS = 200

export const placeText = ({ file, line, column }: FilePlace): string => `${file}:${line}:${column}`

/** Refuses a file, with line, column, field and remedy. */
export const refused = (at: FilePlace, says: string): CliError => new CliError('usage', `${placeText(at)}: ${says}`)

/** A rack file. Throws `CliError` with the place of the first error. */
export async function readLocated(text: string, file: string): Promise<LocatedMap> {
  const start: FilePlace = { file, line: 1, column: 1 }
  if (Buffer.byteLength(text) > MAX_FILE_BYTES)
    throw refused(start, `the file is larger than ${MAX_FILE_BYTES} bytes; split it into rack.d/*.yaml`)
  const root = await readDocument(text, start, MAX_VALUES)
  if (root.kind !== 'map') throw refused(root.at, 'a rack file is a map that begins with "version: 1"')
  return root
}

/** One document, which begins at `start`. */
export async function readDocument(text: string, start: FilePlace, maxValues: number): Promise<Located> {
  const { file } = start
  checkShape(text, start, maxValues)
  const { LineCounter, parseAllDocuments, isAlias, isMap, isScalar, isSeq } = await import('../yaml.ts')
  const lines = new LineCounter()
  const placeOf = (offset: number): FilePlace => {
    const { line, col } = lines.linePos(offset)
    return { file, line: Math.max(line, 1) + start.line - 1, column: Math.max(col, 1) }
  }
  const parsed = readAll()
  if (parsed.length > 1) throw refused(start, 'the file has several documents ("---"); write one document a file')
  const [document] = parsed
  const [error] = document?.errors ?? []
  if (error) throw refused(placeOf(error.pos[0]), `${firstLine(error.message)}; correct the YAML here`)
  if (document?.directives?.yaml.version === '1.1')
    throw refused(start, 'YAML 1.1 reads 0777, yes and 12:30 otherwise than YAML 1.2; remove the line %YAML')
  let values = 0
  return convert(document?.contents ?? null, 0, start)

  function readAll() {
    try {
      // Ways to write one value many times are refused below: nothing is expanded here.
      return [...parseAllDocuments(text, { lineCounter: lines, merge: false, uniqueKeys: true, strict: true })]
    } catch (error) {
      if (error instanceof RangeError) throw refused(start, `the file is nested deeper than ${MAX_DEPTH} levels`)
      throw error
    }
  }

  function convert(node: unknown, depth: number, parentAt: FilePlace): Located {
    const range = (node as { range?: readonly number[] | null } | null)?.range
    const at = range ? placeOf(range[0] ?? 0) : parentAt
    values += 1
    if (values > maxValues) throw refused(at, `the file has more than ${maxValues} values; split it`)
    if (depth > MAX_DEPTH) throw refused(at, `this is nested deeper than ${MAX_DEPTH} levels; write it flatter`)
    if (isAlias(node)) throw refused(at, 'aliases (*name) are refused; write a profile, and name it in "use"')
    if (node !== null && typeof node === 'object' && 'tag' in node && node.tag && !isCommonTag(String(node.tag)))
      throw refused(at, `the tag ${String(node.tag)} is not understood; remove it`)
    if (isSeq(node)) return { kind: 'list', at, items: node.items.map((item) => convert(item, depth + 1, at)) }
    if (isMap(node)) return { kind: 'map', at, entries: entriesOf(node.items, { depth, at }) }
    const value = isScalar(node) ? node.value : null
    if (typeof value === 'bigint' || (typeof value === 'number' && !isExact(value)))
      throw refused(at, 'this number is too large; put it in quotes')
    if (value !== null && !['string', 'number', 'boolean'].includes(typeof value))
      throw refused(at, 'this value is neither text, number, true, false nor null; put it in quotes')
    return { kind: 'scalar', at, value: value as Scalar }
  }

  function entriesOf(
    pairs: readonly { key: unknown; value: unknown }[],
    { depth, at }: { depth: number; at: FilePlace },
  ): LocatedMap['entries'] {
    const entries = new Map<string, { keyAt: FilePlace; value: Located }>()
    for (const pair of pairs) {
      const key = convert(pair.key, depth + 1, at)
      if (key.kind !== 'scalar' || key.value === null) throw refused(key.at, 'a key is a plain text')
      const name = String(key.value)
      if (name === '<<') throw refused(key.at, 'the merge key << is refused; write a profile, and name it in "use"')
      if (name === '__proto__') throw refused(key.at, 'the key __proto__ is refused; take another name')
      if (entries.has(name)) throw refused(key.at, `the key ${JSON.stringify(name)} stands here twice; remove one`)
      entries.set(name, { keyAt: key.at, value: convert(pair.value, depth + 1, key.at) })
    }
    return entries
  }
}

/** An integer that is not is another one than the file says. */
const isExact = (value: number): boolean =>
  Number.isFinite(value) && (!Number.isInteger(value) || Number.isSafeInteger(value))

const isCommonTag = (tag: string) => /^tag:yaml\.org,2002:(str|int|float|bool|null|map|seq)$/.test(tag)

/** What would take a parser long is refused by its characters alone. */
function checkShape(text: string, start: FilePlace, maxValues: number): void {
  let open = 0
  let values = 0
  for (const [found] of text.matchAll(/[[\]{},\n]/g)) {
    if (found === '[' || found === '{') open += 1
    else if (found === ']' || found === '}') open = Math.max(0, open - 1)
    else values += 1
    if (open > MAX_BRACKETS) throw refused(start, `the file is nested deeper than ${MAX_DEPTH} levels`)
    if (values > maxValues) throw refused(start, `the file has more than ${maxValues} values; split it`)
  }
}
const firstLine = (text: string) => text.split('\n')[0]?.replace(/ at line \d+, column \d+:?$/, '') ?? text

/** The value without its places. */
export function plain(located: Located): unknown {
  if (located.kind === 'scalar') return located.value
  if (located.kind === 'list') return located.items.map(plain)
  return Object.fromEntries([...located.entries].map(([key, { value }]) => [key, plain(value)]))
}

/** The innermost value on the way to `path` that is there. */
export function findAt(root: Located, path: readonly PropertyKey[]): Located {
  let at = root
  for (const key of path) {
    const next: Located | undefined =
      at.kind === 'map' ? at.entries.get(String(key))?.value : at.kind === 'list' ? at.items[Number(key)] : undefined
    if (!next) return at
    at = next
  }
  return at
}

export const emptyMap = (at: FilePlace): LocatedMap => ({ kind: 'map', at, entries: new Map() })

/** Every place of a value says that it comes from this profile. */
export function fromProfile(located: Located, profile: string): Located {
  const at = { ...located.at, profile }
  if (located.kind === 'scalar') return { ...located, at }
  if (located.kind === 'list') return { ...located, at, items: located.items.map((item) => fromProfile(item, profile)) }
  const entries = new Map(
    [...located.entries].map(([key, { keyAt, value }]) => [
      key,
      { keyAt: { ...keyAt, profile }, value: fromProfile(value, profile) },
    ]),
  )
  return { ...located, at, entries }
}
