/** BIOS settings that were asked for, checked against the registry of the server, and in the types that its BMC wants.
 *  Pure. */
import { Fault } from '../../../kit/fault.ts'
import { nearest } from '../../../kit/text.ts'
import type { BiosRegistryEntry, BiosValue, BiosValues } from '../../bmc/parts/bios.ts'

export interface WantedSetting {
  readonly name: string
  readonly value: string | number | boolean
}

const MAX_SHOWN = 20

/** Throws `input.invalid` with the first setting that does not do. A server without a registry is checked by the values
 *  that it has. */
export function checkBios(
  wanted: readonly WantedSetting[],
  known: { readonly registry: readonly BiosRegistryEntry[]; readonly current: BiosValues },
): BiosValues {
  const entries = new Map(known.registry.map((entry) => [entry.name, entry]))
  const checked = wanted.map(({ name, value }): [string, BiosValue] => {
    const refused = (why: string) =>
      new Fault('input.invalid', `settings: the BIOS setting ${JSON.stringify(name.slice(0, 64))} ${why}`)
    const entry = entries.get(name)
    if (entry) return [name, checkEntry(entry, value, refused)]
    if (entries.size > 0 || !Object.hasOwn(known.current, name)) {
      const names = entries.size > 0 ? [...entries.keys()] : Object.keys(known.current)
      throw refused(`does not exist; did you mean ${nearest(name, names)}?`)
    }
    return [name, likeNow(known.current[name] ?? null, value, refused)]
  })
  return Object.fromEntries(checked)
}

type Refused = (why: string) => Fault

function checkEntry(entry: BiosRegistryEntry, value: WantedSetting['value'], refused: Refused): BiosValue {
  if (entry.readOnly) throw refused('can only be read')
  const text = String(value)
  switch (entry.type) {
    case 'Boolean':
      if (!/^(true|false)$/i.test(text)) throw refused('is true or false')
      return text.toLowerCase() === 'true'
    case 'Integer': {
      const { lowerBound, upperBound } = entry
      const number = /^-?\d{1,15}$/.test(text) ? Number(text) : Number.NaN
      if (!(number >= (lowerBound ?? -Infinity) && number <= (upperBound ?? Infinity)))
        throw refused(`is a whole number${rangeText(lowerBound, upperBound)}, not ${JSON.stringify(value)}`)
      return number
    }
    case 'Enumeration':
      if (entry.values && !entry.values.includes(text))
        throw refused(
          `is one of ${entry.values.slice(0, MAX_SHOWN).join(', ')}, not ${JSON.stringify(text.slice(0, 64))}`,
        )
      return text
    case 'String':
    case 'Password': {
      const { minLength, maxLength } = entry
      if (text.length < (minLength ?? 0) || text.length > (maxLength ?? Infinity))
        throw refused(`is a text${rangeText(minLength, maxLength)} characters long`)
      return text
    }
  }
}

const rangeText = (low: number | null, high: number | null): string => {
  if (low !== null && high !== null) return ` from ${low} to ${high}`
  return low !== null ? ` from ${low}` : high !== null ? ` to ${high}` : ''
}

/** Without a registry, a value is sent in the type that the present one has: a BMC refuses a number as a text. */
function likeNow(now: BiosValue, value: WantedSetting['value'], refused: Refused): BiosValue {
  const text = String(value)
  if (typeof now === 'number') {
    if (!/^-?\d{1,15}$/.test(text)) throw refused(`is a number now (${now})`)
    return Number(text)
  }
  if (typeof now !== 'boolean') return text
  if (!/^(true|false)$/i.test(text)) throw refused(`is true or false; it is ${now} now`)
  return text.toLowerCase() === 'true'
}

/** What of the wanted values does not hold: "ProcCores is 4 instead of 8". */
export const differences = (wanted: BiosValues, seen: BiosValues): string[] =>
  Object.entries(wanted)
    .filter(([name, value]) => seen[name] !== value)
    .map(([name, value]) => `${name} is ${JSON.stringify(seen[name] ?? null)} instead of ${JSON.stringify(value)}`)
