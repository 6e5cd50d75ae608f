/** Configuration files: YAML, checked by one schema; an unknown key is an error that names the nearest known one. */
import { readFile } from 'node:fs/promises'
import { parse } from 'yaml'
import * as z from 'zod'
import { Fault } from './fault.ts'
import { nearest } from './text.ts'

/** The part `log` of every program. */
export const LogConfig = z
  .strictObject({
    level: z.enum(['debug', 'info', 'warn', 'error']).default('info').describe('Lowest level that is logged.'),
    format: z.enum(['json', 'text']).default('json').describe('JSON lines, or text for people.'),
  })
  .prefault({})
  .describe('The log, on standard error.')

const WHY_UNREADABLE: Readonly<Record<string, string>> = {
  EISDIR: 'it is a directory; name the file in it',
  ENOENT: 'there is no such file',
  EACCES: 'this user may not read it',
}

/** Throws `config.invalid` with every flaw, one per line. */
export function parseYaml<T extends z.ZodType>(schema: T, text: string, from: string): z.infer<T> {
  let raw: unknown
  try {
    raw = parse(text)
  } catch (error) {
    throw new Fault('config.invalid', `${from}: ${(error as Error).message}`, { cause: error })
  }
  const result = schema.safeParse(raw)
  if (result.success) return result.data
  throw new Fault(
    'config.invalid',
    [`${from}:`, ...result.error.issues.map((issue) => describe(schema, issue))].join('\n  '),
  )
}

export async function loadYaml<T extends z.ZodType>(schema: T, path: string): Promise<z.infer<T>> {
  const text = await readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    const why = WHY_UNREADABLE[error.code ?? ''] ?? error.message
    throw new Fault('config.invalid', `cannot read ${path}: ${why}`, { cause: error })
  })
  return parseYaml(schema, text, path)
}

function describe(schema: z.ZodType, issue: z.core.$ZodIssue): string {
  const at = issue.path.join('.') || 'the file'
  if (issue.code !== 'unrecognized_keys') return `${at}: ${issue.message}`
  const known = knownKeys(schema, issue.path)
  return issue.keys
    .map((key) => `${at}: unknown key ${JSON.stringify(key)}; did you mean ${JSON.stringify(nearest(key, known))}?`)
    .join('\n  ')
}

/** Keys of the schema at a path, read from its JSON Schema so that there is one source. */
function knownKeys(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }) as Record<string, unknown>
  for (const key of path) {
    const next =
      typeof key === 'number' ? at.items : (at.properties as Record<string, unknown> | undefined)?.[String(key)]
    at = (next ?? {}) as Record<string, unknown>
  }
  const variants = [at, ...((at.oneOf ?? at.anyOf ?? []) as Record<string, unknown>[])]
  return variants.flatMap((variant) => Object.keys((variant.properties as object | undefined) ?? {}))
}
