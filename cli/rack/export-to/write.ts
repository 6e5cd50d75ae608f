/** A rack file as the inventory of another program, and what of it that one cannot hold. */
import { CliError } from '../../error.ts'
import { jsonText, yamlText } from '../../show.ts'
import type { ExportedFile } from '../export.ts'
import { ORIGINS, type Origin } from '../import/convert.ts'
import { UNPLACED } from '../wanted.ts'
import { toBifrost } from './bifrost.ts'
import { toMetal3, toTinkerbell } from './kubernetes.ts'
import { toMaas } from './maas.ts'
import { ExportUnit } from './unit.ts'

export interface Inventory {
  readonly text: string
  readonly left: readonly string[]
}

/** Before anything is asked for. */
export function checkTarget(to: string, out: string | undefined): void {
  if (!ORIGINS.includes(to as Origin)) throw new CliError('usage', `--to ${to}: there are ${ORIGINS.join(', ')}`)
  if (out?.endsWith('/')) throw new CliError('usage', `--out ${out}: an inventory of ${to} is one file; name it`)
}

export async function inventoryOf(file: ExportedFile, to: string): Promise<Inventory> {
  checkTarget(to, undefined)
  const left: string[] = []
  const units = Object.entries(file.racks).flatMap(([rack, { units }]) =>
    Object.values(units).map(
      (unit) =>
        new ExportUnit(unit, {
          rack: rack === UNPLACED ? undefined : rack,
          images: file.images,
          say: (line) => void left.push(line),
        }),
    ),
  )
  const text = await textOf(units, to as Origin)
  for (const unit of units) {
    if (to !== 'maas' && unit.rack !== undefined) unit.lost('the rack')
    unit.rest()
  }
  return { text, left }
}

async function textOf(units: readonly ExportUnit[], to: Origin): Promise<string> {
  if (to === 'maas') return `${jsonText(toMaas(units), 2)}\n`
  const write = (value: unknown) => yamlText(value, { aliasDuplicateObjects: false, lineWidth: 0 })
  if (to === 'bifrost') return write(toBifrost(units))
  const documents = await Promise.all((to === 'metal3' ? toMetal3 : toTinkerbell)(units).map(write))
  return documents.map((one) => `---\n${one}`).join('')
}
