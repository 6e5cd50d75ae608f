/** What is wrong with a value, in the words that clients of Ironic look for (those of jsonschema and of its own
 *  checks), and then what is allowed. */
import type * as z from 'zod'

export const NOT_A_UUID = 'is not a UUID'
const MAX_SHOWN = 100

const shown = (value: unknown): string => {
  const text = typeof value === 'string' ? `'${value}'` : (JSON.stringify(value) ?? 'nothing')
  return text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}...` : text
}

const found = (whole: unknown, path: readonly PropertyKey[]): unknown =>
  path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | null | undefined)?.[key], whole)

/** `value`: the whole document that the issue is about. */
export function phraseOf(issue: z.core.$ZodIssue, value: unknown): string {
  const field = issue.path.join('/')
  const at = () => shown(found(value, issue.path))
  if (issue.message === NOT_A_UUID) return `Expected UUID for ${field}: ${at()}`
  switch (issue.code) {
    case 'too_big':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `${field}: ${at()} is too long (${issue.message})`
        : `${field}: ${issue.message}`
    case 'too_small':
      return issue.origin === 'string' || issue.origin === 'array'
        ? `${field}: ${at()} is too short (${issue.message})`
        : `${field}: ${issue.message}`
    case 'invalid_format':
      return issue.format === 'regex'
        ? `${field}: ${at()} does not match: ${issue.message}`
        : `${field}: ${issue.message}`
    default:
      return `${field}: ${issue.message}`
  }
}
