/** RFC 6902, the part that Ironic takes: add, replace, remove on allowed roots. Applied to a copy; an error changes nothing. */
import { createRequire } from 'node:module'
import type { Operation } from 'fast-json-patch'
import * as z from 'zod'
import { Fault } from '../../kit/fault.ts'

// A CommonJS package whose named exports Node.js cannot see.
const { applyPatch } = createRequire(import.meta.url)('fast-json-patch') as typeof import('fast-json-patch')

const patchOf = (path: RegExp) =>
  z
    .array(
      z.strictObject({
        op: z.enum(['add', 'replace', 'remove']),
        path: z.string().regex(path),
        value: z.unknown().optional(),
      }),
    )
    .max(1000)
const Plain = patchOf(/^(\/[\w-]+)+$/)
/** 1.98: keys that hold ~ or /, escaped as RFC 6901 says. */
const Escaped = patchOf(/^(\/([\w-]|~[01])+)+$/)

/** Removing a root field sets it to its default. `touched`: the fields that were named; `whole`: those that were named themselves, not a key within. */
export function applyJsonPatch(
  target: Record<string, unknown>,
  body: unknown,
  at: { allowed: Readonly<Record<string, unknown>>; minor: number },
): { result: Record<string, unknown>; touched: Set<string>; whole: Set<string> } {
  const { allowed } = at
  const parsed = (at.minor >= 98 ? Escaped : Plain).safeParse(body)
  if (!parsed.success)
    throw new Fault(
      'input.invalid',
      `the patch is not a list of {op: add|replace|remove, path, value}: ${parsed.error.issues[0]?.path.join('/') ?? ''} ${parsed.error.issues[0]?.message ?? ''}`,
    )
  const touched = new Set<string>()
  const whole = new Set<string>()
  const operations: Operation[] = parsed.data.map(({ op, path, value }) => {
    const [, root = '', ...rest] = path.split('/')
    if (['__proto__', 'constructor', 'prototype'].some((word) => path.split('/').includes(word)))
      throw new Fault('input.invalid', `patch: ${path} is not a path`)
    if (!Object.hasOwn(allowed, root))
      throw new Fault(
        'input.invalid',
        `patch: ${path} cannot be changed; these can: ${Object.keys(allowed).join(', ')}`,
      )
    touched.add(root)
    if (rest.length === 0) whole.add(root)
    if (op === 'remove' && rest.length === 0) return { op: 'replace', path, value: allowed[root] }
    if (op !== 'remove' && value === undefined) throw new Fault('input.missing', `patch: ${op} ${path} has no value`)
    return (op === 'remove' ? { op, path } : { op, path, value }) as Operation
  })
  try {
    return { result: applyPatch(structuredClone(target), operations, true).newDocument, touched, whole }
  } catch (error) {
    const { operation, name } = error as { operation?: Operation; name?: string }
    const { op = '', path = '' } = operation ?? {}
    const gone = name === 'OPERATION_PATH_UNRESOLVABLE' || name === 'OPERATION_PATH_CANNOT_ADD'
    const why = gone ? `can't ${op} a non-existent object '${path.split('/').at(-1) ?? ''}'` : (name ?? 'unknown error')
    throw new Fault('input.invalid', `Couldn't apply patch '${op} ${path}'. Reason: ${why}`, { cause: error })
  }
}
