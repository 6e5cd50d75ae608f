/** A file of Bifrost, Metal3, Tinkerbell or MAAS -> a rack file, and what of it was not carried. The rack file is
 *  checked before it is written. */
import { CliError } from '../../error.ts'
import type { ExportedFile } from '../export.ts'
import { readLocated } from '../located.ts'
import { resolve } from '../resolve.ts'
import { fromBifrost } from './bifrost.ts'
import { fromMetal3, fromTinkerbell } from './kubernetes.ts'
import { fromMaas } from './maas.ts'
import { NotCarried } from './source.ts'
import { Units } from './units.ts'

const CONVERTERS = { bifrost: fromBifrost, metal3: fromMetal3, tinkerbell: fromTinkerbell, maas: fromMaas } as const
export type Origin = keyof typeof CONVERTERS
export const ORIGINS = Object.keys(CONVERTERS) as Origin[]

export interface Converted {
  readonly file: ExportedFile
  readonly left: readonly string[]
}

export async function convert(
  text: string,
  path: string,
  { from, site }: { from: string; site: string },
): Promise<Converted> {
  const converter = Object.hasOwn(CONVERTERS, from) ? CONVERTERS[from as Origin] : undefined
  if (!converter) throw new CliError('usage', `--from ${from}: there are ${ORIGINS.join(', ')}`)
  const lost = new NotCarried()
  const units = new Units(site, lost)
  await converter(text, path, { units, lost })
  if (Object.keys(units.file.racks).length === 0) throw new CliError('usage', `${path}: it holds no node of ${from}`)
  await check(units.file)
  return { file: units.file, left: lost.lines() }
}

/** Rack by rack, as far as one file may go. */
async function check(file: ExportedFile): Promise<void> {
  const { stringify } = await import('../../yaml.ts')
  for (const [rack, { units }] of Object.entries(file.racks)) {
    const all = Object.entries(units)
    for (let from = 0; from < all.length; from += 100) {
      const units = Object.fromEntries(all.slice(from, from + 100))
      const texts = textsIn(units)
      const secrets = pick(file.secrets, texts)
      const images = pick(file.images, texts)
      const part = { ...file, secrets, images, racks: { [rack]: { units } } }
      const text = stringify(part, { aliasDuplicateObjects: false, lineWidth: 0 })
      resolve(await readLocated(text, 'the rack file that was made'))
    }
  }
}

/** Every text, each once: names of secrets and images are among them. */
function textsIn(value: unknown, found: Set<string> = new Set()): Set<string> {
  if (typeof value === 'string') found.add(value)
  else if (value !== null && typeof value === 'object') for (const one of Object.values(value)) textsIn(one, found)
  return found
}

const pick = <T>(all: Readonly<Record<string, T>>, names: ReadonlySet<string>): Record<string, T> =>
  Object.fromEntries([...names].flatMap((name) => (Object.hasOwn(all, name) ? [[name, all[name] as T]] : [])))
