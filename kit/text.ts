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

/** 0.25 -> "0.3 s", 55 -> "55 s", 190 -> "3 min 10 s", 7320 -> "2 h 2 min". */
export function spanText(seconds: number): string {
  if (seconds < 10) return `${Math.round(seconds * 10) / 10} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)]
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${whole % 60} s`
}

/** "41 to 55 s", "50 s to 3 min 10 s". */
export function rangeText(fromSeconds: number, toSeconds: number): string {
  const [from, to] = [spanText(fromSeconds), spanText(toSeconds)]
  if (from === to) return to
  return `${to.includes('min') ? from : from.replace(/ s$/, '')} to ${to}`
}

/** "usually 41 to 55 s, now 3 min 10 s". */
export const usualText = (range: { lowSeconds: number; highSeconds: number }, nowSeconds: number): string =>
  `usually ${rangeText(range.lowSeconds, range.highSeconds)}, now ${spanText(nowSeconds)}`

/** Text from a stranger, fit for a log, a terminal and one line: control and format characters, line separators and
 *  halves of surrogate pairs become "?", and what is longer than `maxLength` (in UTF-16 units) is cut and ends with
 *  "…". */
export function printable(text: string, maxLength = 200): string {
  const cut = text.length > maxLength ? `${text.slice(0, Math.max(0, maxLength - 1))}…` : text
  return cut.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu, '?')
}

/** The name of a field as the API spells it: `pxeEnabled` is `pxe_enabled`. */
export const snakeCase = (name: string): string => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
