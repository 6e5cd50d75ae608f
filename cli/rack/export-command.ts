/** `rackward rack export`: what a conductor has recorded, as a rack file, a directory of them, or the inventory of
 *  another program. */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { writeWhole } from '../../kit/files.ts'
import { CliError } from '../error.ts'
import { connect, type Common } from '../nodes.ts'
import { print, said, yamlText } from '../show.ts'
import { exportOf, type ExportedFile } from './export.ts'
import { checkTarget, inventoryOf } from './export-to/write.ts'
import { MAX_FILE_BYTES } from './located.ts'
import { exportedPolicy, exportedSite, ownOf } from './export-site.ts'
import { everyNamed, everyNode, meshPolicy, type EveryNode } from './observe.ts'
import { recordedOf } from './site.ts'
import type { Api } from '../server.ts'

export interface ExportOptions extends Common {
  readonly site?: string
  readonly out?: string
  /** Another program. */
  readonly to?: string
}

/** Units of one file: far below what a file may hold. */
const UNITS_A_FILE = 100

export async function exportRack(options: ExportOptions): Promise<void> {
  if (options.to !== undefined) checkTarget(options.to, options.out)
  const api = await connect(options)
  const { nodes, applied } = await everyNode(api)
  const ofNodes = nodes.flatMap(({ recorded }) => recorded?.site ?? [])
  const sites = [...new Set([...ofNodes, ...applied.map(({ site }) => site)])].toSorted()
  if (options.site === undefined && sites.length > 1)
    throw new CliError('usage', `files of several sites were applied (${sites.join(', ')}): choose one with --site`)
  const { file, left } = exportOf(nodes, options.site ?? sites[0] ?? 'exported')
  tell(left)
  if (options.to === undefined) {
    const named = ownOf(await everyNamed(api), { site: file.site, applied })
    const { left: unsaid, templates, runbooks } = await exportedSite(named)
    tell(unsaid)
    return writeRack({ ...file, templates, runbooks, ...(await policyOf(api, file.site, applied)) }, options.out)
  }
  const inventory = await inventoryOf(file, options.to)
  tell(inventory.left)
  if (options.out === undefined) print(inventory.text.trimEnd())
  else await writeWhole(options.out, inventory.text)
}

/** Of a site whose file has said something of it. */
async function policyOf(api: Api, site: string, applied: EveryNode['applied']): Promise<Pick<ExportedFile, 'mesh'>> {
  const own = applied.filter((one) => one.site === site)
  const recorded = recordedOf({ applied: own }, { what: 'mesh policy' })
  return recorded ? { mesh: { policy: exportedPolicy(recorded, await meshPolicy(api)) } } : {}
}

const tell = (left: readonly string[]): void => {
  for (const line of left) process.stderr.write(`${said(`not carried: ${line}`)}\n`)
}

export async function writeRack(file: ExportedFile, out: string | undefined): Promise<void> {
  if (out?.endsWith('/')) return writeDirectory(file, out)
  const text = await textOf(file)
  if (Buffer.byteLength(text) > MAX_FILE_BYTES)
    throw new CliError('usage', `a rack file has at most ${MAX_FILE_BYTES} bytes: write a directory with --out rack.d/`)
  if (out === undefined) print(text.trimEnd())
  else await writeWhole(out, text)
}

/** What all share, and then the units, some in each file. */
async function writeDirectory({ version, site, racks, ...shared }: ExportedFile, out: string): Promise<void> {
  await mkdir(out, { recursive: true })
  // What stands there already would be read with it.
  if ((await readdir(out)).some((name) => /\.ya?ml$/.test(name)))
    throw new CliError('usage', `${out} holds *.yaml already: name an empty directory`)
  await writeWhole(join(out, '0-shared.yaml'), await textOf({ version, site, ...shared, racks: {} }))
  for (const [rack, { units }] of Object.entries(racks)) {
    const all = Object.entries(units)
    for (let from = 0; from < all.length; from += UNITS_A_FILE) {
      const part = { [rack]: { units: Object.fromEntries(all.slice(from, from + UNITS_A_FILE)) } }
      const name = `rack-${rack}-${String(from / UNITS_A_FILE + 1).padStart(4, '0')}.yaml`
      await writeWhole(join(out, name), await textOf({ version, site, racks: part }))
    }
  }
}

async function textOf(file: Partial<ExportedFile>): Promise<string> {
  const filled = Object.fromEntries(
    Object.entries(file).filter(([, value]) => typeof value !== 'object' || Object.keys(value).length > 0),
  )
  return yamlText(filled, { aliasDuplicateObjects: false, lineWidth: 0 })
}
