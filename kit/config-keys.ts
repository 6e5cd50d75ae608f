/** Every key of a configuration, read from its schema: path, type, default and description. Documents and man pages are
 *  made of them. */
import * as z from 'zod'

export interface KeySchema {
  readonly type?: string
  readonly properties?: Readonly<Record<string, KeySchema>>
  readonly required?: readonly string[]
  readonly items?: KeySchema
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly anyOf?: readonly KeySchema[]
  readonly oneOf?: readonly KeySchema[]
  readonly default?: unknown
  readonly minimum?: number
  readonly maximum?: number
  readonly additionalProperties?: KeySchema | boolean
  readonly format?: string
  readonly description?: string
}

/** The type in words; values in backticks. */
export const typeOf = (schema: KeySchema): string => {
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

export interface ConfigKey {
  readonly path: string
  readonly schema: KeySchema
  readonly isRequired: boolean
}

/** Every key, nested ones by their path: `[]` for the entries of a list, `.*` for those of a map. */
function keysOf(json: KeySchema, path: readonly string[] = []): ConfigKey[] {
  const own = Object.entries(json.properties ?? {}).map(([name, schema]) => ({ name, schema }))
  const isRequired = (name: string, { default: byDefault }: KeySchema) =>
    json.required?.includes(name) === true && byDefault === undefined
  return own.flatMap(({ name, schema }) => [
    { path: [...path, name].join('.'), schema, isRequired: isRequired(name, schema) },
    ...keysBelow(schema, [...path, name]),
  ])
}

function keysBelow(schema: KeySchema, path: readonly string[]): ConfigKey[] {
  const variants = schema.oneOf ?? schema.anyOf
  if (variants) return variants.flatMap((variant) => keysBelow(variant, path))
  if (schema.type === 'array')
    return schema.items ? keysBelow(schema.items, [...path.slice(0, -1), `${path.at(-1)}[]`]) : []
  const entries = schema.additionalProperties
  return [...keysOf(schema, path), ...(typeof entries === 'object' ? keysBelow(entries, [...path, '*']) : [])]
}

/** Throws for a key without a description. */
export function configKeys(schema: z.ZodType): (ConfigKey & { readonly description: string })[] {
  const all = keysOf(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as KeySchema)
  return all.map((key) => {
    const { description } = key.schema
    if (!description) throw new Error(`${key.path} has no description: add .describe() to its schema`)
    return { ...key, description }
  })
}
