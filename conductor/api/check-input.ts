/** Input -> what a schema makes of it, or a refusal that names the field. Pure. */
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'
import { nearest } from '../../kit/text.ts'
import { phraseOf } from './phrases.ts'

/** Throws `input.missing` or `input.invalid` that names the field; for an unknown field, the nearest known one too. */
export function checkInput<T extends z.ZodType>(schema: T, value: unknown): z.infer<T> {
  if (value === undefined || value === null || typeof value !== 'object' || Array.isArray(value))
    throw new Fault('input.invalid', 'the body is not a JSON object')
  const result = schema.safeParse(value)
  if (result.success) return result.data
  const issue = result.error.issues[0] as z.core.$ZodIssue
  const field = issue.path.join('/')
  if (issue.code === 'unrecognized_keys') {
    const known = schema instanceof z.ZodObject ? Object.keys(schema.shape as object) : []
    throw new Fault(
      'input.invalid',
      `${[...issue.path, issue.keys[0]?.slice(0, 64)].join('/')} is not a known field${known.length > 0 && issue.path.length === 0 ? `; did you mean ${nearest(issue.keys[0] ?? '', known)}?` : ''}`,
    )
  }
  const missing = issue.code === 'invalid_type' && issue.path.length > 0 && !hasPath(value, issue.path)
  throw new Fault(missing ? 'input.missing' : 'input.invalid', missing ? `${field} is missing` : phraseOf(issue, value))
}

const hasPath = (value: unknown, path: readonly PropertyKey[]): boolean => {
  const found = path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value)
  return found !== undefined
}
