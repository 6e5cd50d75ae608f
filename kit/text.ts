/** Small text helpers that more than one room needs. */

/** The time to compare two words grows with the product of their lengths: of a longer one, the beginning is
 *  compared. */
const MAX_COMPARED = 64

/** The candidate with the fewest edits (Levenshtein) from `word`; empty without candidates. */
export function nearest(word: string, candidates: readonly string[]): string {
  const start = word.slice(0, MAX_COMPARED).toLowerCase()
  const scored = candidates.map((candidate) => ({ candidate, edits: distance(start, candidate.toLowerCase()) }))
  return scored.sort((a, b) => a.edits - b.edits)[0]?.candidate ?? ''
}

function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      next.push(
        Math.min(
          (row[j] as number) + 1,
          (next[j - 1] as number) + 1,
          (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1),
        ),
      )
    }
    row = next
  }
  return row[b.length] as number
}

/** 1234567 -> "1.2 MB" (decimal units). */
export function bytesText(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let value = bytes
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit += 1
  }
  return unit === 0 ? `${bytes} B` : `${value.toFixed(1)} ${units[unit]}`
}

/** Text from a stranger, fit for a log, a terminal and one line: control and format characters, line separators and
 *  halves of surrogate pairs become "?", and what is longer than `maxLength` (in UTF-16 units) is cut and ends with
 *  "…". */
export function printable(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, Math.max(0, maxLength - 1))}…` : text
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '?')
}

/** The name of a field as the API spells it: `pxeEnabled` is `pxe_enabled`. */
export const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
