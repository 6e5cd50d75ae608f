/** A file of another program as values that know their line: bounded, without aliases. What a converter does not take
 *  is told, once for each field. */
import { readFile, stat } from 'node:fs/promises'
import { CliError } from '../../error.ts'
import { placeText, readDocument, refused, type FilePlace, type Located } from '../located.ts'

export const MAX_IMPORT_BYTES = 4 * 1024 * 1024
const MAX_DOCUMENTS = 40_000
/** Of one document: a machine of MAAS has some hundreds. */
const MAX_VALUES = 1_000_000

export async function readSource(path: string): Promise<string> {
  const unreadable = (error: Error) => Promise.reject(new CliError('usage', `cannot read ${path}: ${error.message}`))
  const { size } = await stat(path).catch(unreadable)
  if (size > MAX_IMPORT_BYTES)
    throw new CliError('usage', `${path}:1:1: the file is larger than ${MAX_IMPORT_BYTES} bytes; split it`)
  return readFile(path, 'utf8').catch(unreadable)
}

/** Each document of a YAML stream, or of a JSON file. */
export async function readDocuments(text: string, file: string): Promise<Located[]> {
  const documents: Located[] = []
  let lines: string[] = []
  let firstLine = 1
  const flush = async () => {
    if (lines.some((line) => !/^\s*(#|$)/.test(line)))
      documents.push(await readDocument(lines.join('\n'), { file, line: firstLine, column: 1 }, MAX_VALUES))
  }
  for (const [i, line] of text.split(/\r?\n/).entries()) {
    if (!/^---(\s|$)/.test(line)) {
      lines.push(line)
      continue
    }
    await flush()
    if (documents.length > MAX_DOCUMENTS)
      throw refused({ file, line: i + 1, column: 1 }, `more than ${MAX_DOCUMENTS} documents; split the file`)
    // A document may begin beside the mark.
    lines = [line.replace(/^---/, '   ')]
    firstLine = i + 1
  }
  await flush()
  return documents
}

/** What no converter takes, by field: how often, and where first. */
export class NotCarried {
  private readonly fields = new Map<string, { at: FilePlace; count: number; why: string }>()

  add(field: string, at: FilePlace, why = 'has no equal in a rack file'): void {
    const known = this.fields.get(`${field} ${why}`)
    if (known) known.count += 1
    else this.fields.set(`${field} ${why}`, { at, count: 1, why })
  }

  lines = (): string[] =>
    [...this.fields].map(
      ([key, { at, count, why }]) =>
        `${placeText(at)}: ${key.slice(0, key.length - why.length - 1)} ${why}${count > 1 ? ` (${count} times)` : ''}`,
    )
}

/** A map whose keys are taken one by one; what is left over at the end is told. */
export class SourceFields {
  readonly at: FilePlace
  readonly path: string
  private readonly left: Map<string, Located>
  private readonly lost: NotCarried

  constructor(located: Located | undefined, path: string, lost: NotCarried) {
    if (located && located.kind !== 'map') throw refused(located.at, `${path || 'the document'}: is no map; correct it`)
    this.at = located?.at ?? { file: '', line: 1, column: 1 }
    this.path = path
    this.left = new Map(located ? [...located.entries].map(([key, { value }]) => [key, value]) : [])
    this.lost = lost
  }

  private take(key: string): Located | undefined {
    const value = this.left.get(key)
    this.left.delete(key)
    return value?.kind === 'scalar' && value.value === null ? undefined : value
  }

  /** As a text, whatever it was written as; undefined: it is absent or empty. */
  text(key: string): string | undefined {
    const value = this.take(key)
    if (!value) return undefined
    if (value.kind !== 'scalar') throw refused(value.at, `${this.name(key)}: is no text; correct it`)
    return value.value === '' ? undefined : String(value.value)
  }

  number(key: string): number | undefined {
    const at = this.left.get(key)?.at ?? this.at
    const text = this.text(key)
    if (text === undefined) return undefined
    if (!/^\d{1,12}(\.\d{1,6})?$/.test(text)) throw refused(at, `${this.name(key)}: is no number; correct it`)
    return Math.floor(Number(text))
  }

  flag(key: string): boolean | undefined {
    const at = this.left.get(key)?.at ?? this.at
    const text = this.text(key)?.toLowerCase()
    if (text !== undefined && text !== 'true' && text !== 'false')
      throw refused(at, `${this.name(key)}: is neither true nor false; correct it`)
    return text === undefined ? undefined : text === 'true'
  }

  map(key: string): SourceFields {
    return new SourceFields(this.take(key) ?? undefined, this.name(key), this.lost)
  }

  list(key: string): readonly Located[] {
    const value = this.take(key)
    if (value && value.kind !== 'list') throw refused(value.at, `${this.name(key)}: is no list; correct it`)
    return value?.items ?? []
  }

  placeOf = (key: string): FilePlace => this.left.get(key)?.at ?? this.at
  has = (key: string): boolean => this.left.has(key)
  keys = (): string[] => [...this.left.keys()]

  /** It is known, and means nothing here. */
  pass(...keys: string[]): void {
    for (const key of keys) this.left.delete(key)
  }

  /** Tells of everything that was not taken. */
  rest(why?: string): void {
    for (const [key, { at }] of this.left) this.lost.add(this.name(key), at, why)
    this.left.clear()
  }

  private name = (key: string): string => (this.path === '' ? key : `${this.path}/${key}`)
}
