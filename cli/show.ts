/** Tables for people, JSON and YAML for programs. What comes from a server was chosen by strangers (a name, an error of
 *  a BMC, a file name that a machine on the wire asked for): nothing of it reaches a terminal as a control character,
 *  an escape sequence or a change of direction. */
import type { CreateNodeOptions, ToStringOptions } from 'yaml'
import { printable } from '../kit/text.ts'
import { CliError } from './error.ts'

export type Format = 'table' | 'json' | 'yaml'

export function formatOf(text: string | undefined): Format {
  if (text === undefined || text === 'table') return 'table'
  if (text === 'json' || text === 'yaml') return text
  throw new CliError('usage', `-o ${text}: use table, json or yaml`)
}

export async function show(value: unknown, format: Format, table: () => string): Promise<void> {
  if (format === 'table') return print(table())
  if (format === 'json') return print(jsonText(value, 2))
  print((await yamlText(value)).trimEnd())
}

/** YAML that says the same to a program and nothing to a terminal. */
export async function yamlText(value: unknown, options: ToStringOptions & CreateNodeOptions = {}): Promise<string> {
  const { stringify } = await import('./yaml.ts')
  const plain = stringify(value, options)
  if (!HOSTILE.test(plain.replaceAll('\n', ''))) return plain
  // Only double-quoted texts of YAML can hold escapes.
  return escaped(stringify(value, { ...options, defaultStringType: 'QUOTE_DOUBLE', defaultKeyType: 'QUOTE_DOUBLE' }))
}

const HOSTILE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u
/** JSON and double-quoted YAML have escapes for what must not reach a terminal: the value stays the same. */
const escaped = (text: string): string =>
  text.replace(/[\u007f-\u009f\p{Cf}\p{Zl}\p{Zp}]/gu, (found) =>
    Array.from({ length: found.length }, (_, i) => `\\u${found.charCodeAt(i).toString(16).padStart(4, '0')}`).join(''),
  )
export const jsonText = (value: unknown, indent?: number): string => escaped(JSON.stringify(value, null, indent))

/** A text or number of a server as a part of one line. */
export const said = (value: unknown): string =>
  printable(String(value).replace(/\s*[\r\n]+\s*/g, ' '), Number.MAX_SAFE_INTEGER)

/** Lines of ours, in which a stranger's text may stand. */
export const lines = (text: string): string =>
  text
    .split('\n')
    .map((line) => printable(line, Number.MAX_SAFE_INTEGER))
    .join('\n')

export const print = (text: string): void => void process.stdout.write(`${lines(text)}\n`)

/** Columns as wide as their widest cell; control characters of a name never reach the terminal. */
export function tableOf(head: readonly string[], rows: readonly (readonly unknown[])[]): string {
  const cells = [head, ...rows].map((row) => row.map(cell))
  const widths = head.map((_, i) => Math.max(...cells.map((row) => (row[i] ?? '').length)))
  return cells
    .map((row) =>
      row
        .map((text, i) => (i === row.length - 1 ? text : text.padEnd(widths[i] ?? 0)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}

/** `name  value`, one a line. */
export const pairs = (entries: readonly (readonly [name: string, value: unknown])[]): string =>
  tableOf(['field', 'value'], entries)

const cell = (value: unknown): string => {
  const text =
    value === null || value === undefined
      ? '-'
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value as string)
  return said(text)
}
