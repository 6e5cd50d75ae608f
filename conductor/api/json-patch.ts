/** RFC 6902, the part that Ironic takes: add, replace, remove on allowed roots. Applied to a copy; an error changes
 *  nothing. */
import { createRequire } from 'node:module'
import type { Operation } from 'fast-json-patch'
import * as z from 'zod'
import { Fault, isFault } from '../../kit/fault.ts'

// A CommonJS package whose named exports Node.js cannot see.
const { applyOperation, getValueByPointer } = createRequire(import.meta.url)(
  'fast-json-patch',
) as typeof import('fast-json-patch')

/** To add to a list or to remove from it moves what stands behind: so many items in all, for all operations of a
 *  patch. */
const MAX_MOVED = 2_000_000

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

/** Removing a root field sets it to its default. `touched`: the fields that were named; `whole`: those that were named
 *  themselves, not a key within. */
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
    return { result: applyAll(copyOf(target, touched), operations), touched, whole }
  } catch (error) {
    if (isFault(error)) throw error
    const { operation, name } = error as { operation?: Operation; name?: string }
    const { op = '', path = '' } = operation ?? {}
    const gone = name === 'OPERATION_PATH_UNRESOLVABLE' || name === 'OPERATION_PATH_CANNOT_ADD'
    const why = gone ? `can't ${op} a non-existent object '${path.split('/').at(-1) ?? ''}'` : (name ?? 'unknown error')
    throw new Fault('input.invalid', `Couldn't apply patch '${op} ${path}'. Reason: ${why}`, { cause: error })
  }
}

function applyAll(document: Record<string, unknown>, operations: readonly Operation[]): Record<string, unknown> {
  let moved = 0
  let result = document
  for (const [i, operation] of operations.entries()) {
    moved += operation.op === 'replace' ? 0 : itemsBehind(result, operation.path)
    if (moved > MAX_MOVED)
      throw new Fault(
        'input.invalid',
        `patch: it moves more than ${MAX_MOVED} items of lists; replace the list as a whole`,
      )
    result = applyOperation(result, operation, true, true, true, i).newDocument
  }
  return result
}

/** How many items of a list stand behind the one that `path` names; 0 where it leads into no list. */
function itemsBehind(document: Record<string, unknown>, path: string): number {
  const end = path.lastIndexOf('/')
  const index = Number(path.slice(end + 1))
  if (!Number.isInteger(index)) return 0
  try {
    const list: unknown = getValueByPointer(document, path.slice(0, end))
    return Array.isArray(list) ? Math.max(0, list.length - index) : 0
  } catch {
    return 0
  }
}

/** What is not touched is not copied. */
function copyOf(target: Record<string, unknown>, touched: ReadonlySet<string>): Record<string, unknown> {
  const copy = { ...target }
  for (const name of touched) if (Object.hasOwn(target, name)) copy[name] = structuredClone(target[name])
  return copy
}
