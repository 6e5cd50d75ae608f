/** `rackward rack import`: the inventory of another program as a rack file. Nothing is sent anywhere. */
import { said } from '../show.ts'
import { convert } from './import/convert.ts'
import { readSource } from './import/source.ts'
import { writeRack } from './export-command.ts'

export interface ImportOptions {
  readonly from: string
  readonly site: string
  readonly out?: string
}

export async function importRack(path: string, { from, site, out }: ImportOptions): Promise<void> {
  const { file, left } = await convert(await readSource(path), path, { from, site })
  for (const line of left) process.stderr.write(`${said(`not carried: ${line}`)}\n`)
  await writeRack(file, out)
}
