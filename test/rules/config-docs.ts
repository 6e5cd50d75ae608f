/** docs/configuration.md out of the schemas: keys, types and defaults from zod, what they mean from the comments beside them. */
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

/** Comment of each key, by its path in the file: the code is formatted, so its indentation is its nesting. */
function commentsOf(file: string): Map<string, string> {
  const comments = new Map<string, string>()
  const stack: { indent: number; key: string }[] = []
  let comment = ''
  let open = false
  for (const line of readFileSync(join(ROOT, file), 'utf8').split('\n')) {
    const begin = /^\s*\/\*\* ?(.*?)( ?\*\/)?$/.exec(line)
    if (begin) {
      comment = begin[1] ?? ''
      open = begin[2] === undefined
      continue
    }
    if (open) {
      comment += ` ${line.replace(/^\s*\*\s?/, '').replace(/\s*\*\/$/, '')}`
      open = !line.includes('*/')
      continue
    }
    const key = /^(\s*)(?:(?:export )?const )?([A-Za-z]\w*)(?::| = z)/.exec(line)
    if (!key) continue
    const indent = (key[1] as string).length
    while (stack.length > 0 && (stack.at(-1) as { indent: number }).indent >= indent) stack.pop()
    stack.push({ indent, key: key[2] as string })
    if (comment) {
      const path = stack.slice(1).map((one) => one.key)
      comments.set(stack.length > 1 ? path.join('.') : (key[2] as string), comment.trim())
    }
    comment = ''
  }
  return comments
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

/** A table of every key, nested ones by their path. */
export function configTable(schema: z.ZodType, file: string): string {
  const comments = commentsOf(file)
  const rows: string[] = []
  const about = (path: readonly string[]) => {
    const names = path.map((name) => name.replace(/\[\]$/, '')).filter((name) => !name.startsWith('<'))
    const leaf = [...comments].filter(([key]) => key === names.at(-1) || key.endsWith(`.${names.at(-1)}`))
    return comments.get(names.join('.')) ?? (leaf.length === 1 && names.length > 1 ? leaf[0]?.[1] : undefined) ?? ''
  }
  const visit = (json: Json, path: readonly string[]) => {
    for (const [name, child] of Object.entries(json.properties ?? {})) {
      const here = [...path, name]
      const variants = child.oneOf ?? child.anyOf ?? []
      const inner = variants.length > 0 ? variants : child.type === 'array' && child.items ? [child.items] : [child]
      const nested = inner.filter((one) => one.properties)
      const needed =
        json.required?.includes(name) && child.default === undefined
          ? 'needed'
          : child.default === undefined
            ? ''
            : `\`${JSON.stringify(child.default)}\``
      rows.push(
        `| \`${here.join('.')}\` | ${typeOf(child)} | ${needed} | ${(child.description ?? about(here)).replaceAll('|', '\\|')} |`,
      )
      for (const one of nested) visit(one, child.type === 'array' ? [...path, `${name}[]`] : here)
    }
  }
  visit(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Json, [])
  return ['| key | is | default | |', '| --- | --- | --- | --- |', ...new Set(rows)].join('\n')
}

/** What is done about lost planes. */
export const planesTable = (): string =>
  [
    '| management | tenant | storage | what is done | |',
    '| --- | --- | --- | --- | --- |',
    ...PLANE_ROWS.map(({ row, action, because }) => `| ${row.split(' ').join(' | ')} | ${action} | ${because} |`),
  ].join('\n')

/** The numbers that verdicts are made of, with the comments beside them. */
export function limitsTable(): string {
  const comments = commentsOf('host-agent/protocol/limits.ts')
  return [
    '| limit | default | |',
    '| --- | --- | --- |',
    ...Object.entries(LIMITS).map(
      ([name, value]) => `| \`${name}\` | ${Math.round(value * 1000) / 1000} | ${comments.get(name) ?? ''} |`,
    ),
  ].join('\n')
}
