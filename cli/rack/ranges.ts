/** Ranges in keys (`u[01-16]`), and texts with {n}, {unit}, {rack}, {site}, {name} in them. Pure. */

const RANGE = /^([^[\]]*)\[(\d{1,5})-(\d{1,5})\]([^[\]]*)$/
export const MAX_RANGE = 10_000

export interface Unit {
  readonly unit: string
  /** The number of the range; of a key without one, the number that stands at its end, or null. */
  readonly n: number | null
}

/** Undefined: the range is none (it runs backwards, or is too long). */
export function expandRange(key: string): Unit[] | undefined {
  const found = RANGE.exec(key)
  if (!found) return /[[\]]/.test(key) ? undefined : [{ unit: key, n: endNumber(key) }]
  const [, head = '', first = '', last = '', tail = ''] = found
  const [from, to] = [Number(first), Number(last)]
  if (to < from || to - from >= MAX_RANGE) return undefined
  return Array.from({ length: to - from + 1 }, (_, i) => ({
    unit: `${head}${String(from + i).padStart(first.length, '0')}${tail}`,
    n: from + i,
  }))
}

const endNumber = (key: string): number | null => {
  const digits = /(\d+)$/.exec(key)?.[1]
  return digits === undefined ? null : Number(digits)
}

export type Names = Readonly<Record<'n', number | null> & Record<'unit' | 'rack' | 'site' | 'name', string>>

/** `{n}`, `{n:02}`, `{10 + n}`, `{n - 1}`, `{n:02x}`; `{{` and `}}` are braces. Throws an `Error` that names what is
 *  wrong and the remedy. */
export const fill = (text: string, names: Names): string =>
  text.replace(/\{\{|\}\}|\{([^{}]*)\}/g, (whole, inside: string | undefined) =>
    inside === undefined ? (whole[0] as string) : valueOf(inside.trim(), names),
  )

function valueOf(inside: string, names: Names): string {
  const word = /^(unit|rack|site|name)$/.exec(inside)?.[1]
  if (word !== undefined) return names[word as 'unit']
  const sum = /^(?:(\d+)\s*\+\s*)?n(?:\s*([+-])\s*(\d+))?(?::(0\d)?(x)?)?$/.exec(inside)
  if (!sum)
    throw new Error(
      `{${inside}} is not known: use {n}, {n:02}, {10 + n}, {unit}, {rack}, {site}, {name}, or {{ for a brace`,
    )
  if (names.n === null) throw new Error(`{${inside}}: this unit has no number; write a key such as u[01-16] or u07`)
  const [, before = '0', sign = '+', after = '0', width, hex] = sum
  const number = names.n + Number(before) + (sign === '-' ? -1 : 1) * Number(after)
  if (number < 0) throw new Error(`{${inside}} is below zero for unit ${names.unit}`)
  return number.toString(hex ? 16 : 10).padStart(Number(width ?? 0), '0')
}

/** Names as few words: r1-u01, r1-u02, r1-u03 -> r1-u[01-03]. */
export function foldNames(names: readonly string[]): string[] {
  const folded: { head: string; width: number; from: number; to: number; whole: string }[] = []
  for (const whole of [...names].toSorted()) {
    const [, head = whole, digits] = /^(.*?)(\d{1,6})$/.exec(whole) ?? []
    const last = folded.at(-1)
    const number = Number(digits ?? -1)
    if (last && digits !== undefined && last.head === head && last.width === digits.length && last.to + 1 === number)
      last.to = number
    else folded.push({ head, width: digits?.length ?? 0, from: number, to: number, whole })
  }
  const text = (n: number, width: number) => String(n).padStart(width, '0')
  return folded.map(({ head, width, from, to, whole }) =>
    from === to ? whole : `${head}[${text(from, width)}-${text(to, width)}]`,
  )
}
