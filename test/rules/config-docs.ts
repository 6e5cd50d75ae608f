/** docs/configuration.md out of the schemas: keys, types, defaults and descriptions from zod. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type * as z from 'zod'
import { configKeys, typeOf } from '../../kit/config-keys.ts'
import { LIMITS } from '../../host-agent/protocol/limits.ts'
import { PLANE_ROWS } from '../../host-agent/verdict/planes.ts'
import { ROOT } from '../lab/root.ts'

/** A table of every key. Throws for a key without a description. */
export function configTable(schema: z.ZodType): string {
  const rows = configKeys(schema).map(({ path, schema: key, isRequired, description }) => {
    const byDefault = isRequired ? 'required' : key.default === undefined ? '' : `\`${JSON.stringify(key.default)}\``
    return `| \`${path}\` | ${typeOf(key)} | ${byDefault} | ${description.replaceAll('|', '\\|')} |`
  })
  return ['| key | is | default | |', '| --- | --- | --- | --- |', ...new Set(rows)].join('\n')
}

/** What is done about lost planes. */
export const planesTable = (): string =>
  [
    '| management | tenant | storage | what is done | |',
    '| --- | --- | --- | --- | --- |',
    ...PLANE_ROWS.map(({ row, action, because }) => `| ${row.split(' ').join(' | ')} | ${action} | ${because} |`),
  ].join('\n')

/** The comment before each key of an object literal that stands alone in a file. */
function commentsOf(file: string): Map<string, string> {
  const text = readFileSync(join(ROOT, file), 'utf8')
  const commented = text.matchAll(/\/\*\* ((?:(?!\*\/)[\s\S])*?) \*\/\s+(\w+): /g)
  return new Map([...commented].map(([, comment = '', key = '']) => [key, comment.replace(/\s*\n\s*\*\s*/g, ' ')]))
}

/** The numbers that verdicts are made of, with the comments beside them. Throws for a number without one. */
export function limitsTable(): string {
  const comments = commentsOf('host-agent/protocol/limits.ts')
  const rows = Object.entries(LIMITS).map(([name, value]) => {
    const comment = comments.get(name)
    if (comment === undefined) throw new Error(`the limit ${name} has no comment`)
    return `| \`${name}\` | ${Math.round(value * 1000) / 1000} | ${comment} |`
  })
  return ['| limit | default | |', '| --- | --- | --- |', ...rows].join('\n')
}
