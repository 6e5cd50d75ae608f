/** Paths into what inspection rules read and change: `a.b[c]/d`. Pure. */

export type RuleData = Record<string, unknown>

export function refuse(message: string): never {
  throw new Error(message)
}

/** `a.b[c]/d` -> a, b, c, d. */
export const parts = (path: string): string[] =>
  path
    .split(/[./[\]]+/)
    .filter((part) => part !== '' && part !== '__proto__' && part !== 'constructor' && part !== 'prototype')

/** Names come from the inventory of a server: what every object inherits is not an entry. */
export const own = <T>(table: Readonly<Record<string, T>>, name: string): T | undefined =>
  Object.hasOwn(table, name) ? table[name] : undefined
export const lookAt = (root: RuleData, keys: readonly string[]): unknown =>
  keys.reduce<unknown>(
    (at, key) => (at !== null && typeof at === 'object' ? own(at as RuleData, key) : undefined),
    root,
  )

export const same = (a: unknown, b: unknown) => a === b || String(a) === String(b)

export function setAt(root: RuleData, path: unknown, value: unknown): void {
  const keys = parts(String(path))
  const last = keys.pop()
  if (last === undefined) refuse('the path is empty')
  let at = root
  for (const key of keys) {
    const next = own(at, key)
    at[key] = next !== null && typeof next === 'object' && !Array.isArray(next) ? { ...next } : {}
    at = at[key] as RuleData
  }
  at[last as string] = value
}

export function extendAt(
  root: RuleData,
  { path, value, unique }: { path: unknown; value: unknown; unique: unknown },
): void {
  const now = lookAt(root, parts(String(path)))
  const before = Array.isArray(now) ? now : []
  if (unique === true && before.some((one) => same(one, value))) return
  setAt(root, path, [...before, value])
}

export function deleteAt(root: RuleData, path: unknown): void {
  const keys = parts(String(path))
  const last = keys.pop() ?? ''
  const at = lookAt(root, keys)
  if (at !== null && typeof at === 'object') delete (at as RuleData)[last]
}
