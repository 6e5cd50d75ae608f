/** Tables for people, JSON and YAML for programs. */
import { Trouble } from './trouble.ts'

export type Format = 'table' | 'json' | 'yaml'

export function formatOf(text: string | undefined): Format {
  if (text === undefined || text === 'table') return 'table'
  if (text === 'json' || text === 'yaml') return text
  throw new Trouble('usage', `-o ${text}: use table, json or yaml`)
}

export async function show(value: unknown, format: Format, table: () => string): Promise<void> {
  if (format === 'table') return print(table())
  if (format === 'json') return print(JSON.stringify(value, null, 2))
  const { stringify } = await import('./yaml.ts')
  print(stringify(value).trimEnd())
}

export const print = (text: string): void => void process.stdout.write(`${text}\n`)

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
export const pairs = (entries: readonly (readonly [name: string, value: unknown])[]): string => tableOf(['field', 'value'], entries)

const cell = (value: unknown): string => {
  const text = value === null || value === undefined ? '-' : typeof value === 'object' ? JSON.stringify(value) : String(value as string)
  return text.replace(/[\p{Cc}\p{Cf}]/gu, '?')
}
