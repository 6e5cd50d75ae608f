/** docs/configuration.md out of the schemas: keys, types, defaults and descriptions from zod. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import * as z from 'zod'
import { LIMITS } from '../../host-agent/protocol/limits.ts'
import { PLANE_ROWS } from '../../host-agent/verdict/planes.ts'
import { ROOT } from '../lab/root.ts'

interface Json {
  readonly type?: string
  readonly properties?: Readonly<Record<string, Json>>
  readonly required?: readonly string[]
  readonly items?: Json
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly Json[]
  readonly oneOf?: readonly Json[]
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly additionalProperties?: Json | boolean
  readonly format?: string
  readonly description?: string
}

const typeOf = (schema: Json): string => {
  if (schema.const !== undefined) return `\`${JSON.stringify(schema.const)}\``
  if (schema.enum) return schema.enum.map((one) => `\`${String(one)}\``).join(' \\| ')
  const choices = schema.anyOf ?? schema.oneOf
  if (choices) return [...new Set(choices.map(typeOf))].join(' or ')
  if (schema.type === 'array') return `list of ${schema.items ? typeOf(schema.items) : 'anything'}`
  if (schema.type === 'integer' || schema.type === 'number') {
    const [low, high] = [schema.minimum, schema.maximum].map((one) =>
      one === undefined || Math.abs(one) > 1e15 ? undefined : one,
    )
    return `number${low === undefined && high === undefined ? '' : `, ${low ?? ''} to ${high ?? ''}`}`
  }
  if (schema.type === 'string') return schema.format === 'uri' ? 'URL' : 'text'
  return schema.type ?? 'anything'
}

interface Key {
  readonly path: string
  readonly schema: Json
  readonly isRequired: boolean
}

/** Every key, nested ones by their path: `[]` for the entries of a list, `.*` for those of a map. */
function keysOf(json: Json, path: readonly string[] = []): Key[] {
  const own = Object.entries(json.properties ?? {}).map(([name, schema]) => ({ name, schema }))
  const isRequired = (name: string, { default: byDefault }: Json) =>
    json.required?.includes(name) === true && byDefault === undefined
  return own.flatMap(({ name, schema }) => [
    { path: [...path, name].join('.'), schema, isRequired: isRequired(name, schema) },
    ...keysBelow(schema, [...path, name]),
  ])
}

function keysBelow(schema: Json, path: readonly string[]): Key[] {
  const variants = schema.oneOf ?? schema.anyOf
  if (variants) return variants.flatMap((variant) => keysBelow(variant, path))
  if (schema.type === 'array')
    return schema.items ? keysBelow(schema.items, [...path.slice(0, -1), `${path.at(-1)}[]`]) : []
  const entries = schema.additionalProperties
  return [...keysOf(schema, path), ...(typeof entries === 'object' ? keysBelow(entries, [...path, '*']) : [])]
}

/** A table of every key. Throws for a key without a description. */
export function configTable(schema: z.ZodType): string {
  const rows = keysOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json).map(
    ({ path, schema: { description, ...key }, isRequired }) => {
      if (!description) throw new Error(`${path} has no description: add .describe() to its schema`)
      const byDefault = isRequired ? 'required' : key.default === undefined ? '' : `\`${JSON.stringify(key.default)}\``
      return `| \`${path}\` | ${typeOf(key)} | ${byDefault} | ${description.replaceAll('|', '\\|')} |`
    },
  )
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
