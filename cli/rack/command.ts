/** `rackward rack validate|plan|why|schema`: reads the file, asks the conductor, prints. */
import { formatOf, print, show } from '../show.ts'
import { CliError, STATUSES } from '../error.ts'
import { connect, type Common } from '../nodes.ts'
import type { Api } from '../server.ts'
import type { Plan } from '../../conductor/rollouts/plan.ts'
import { writeWhole } from '../../kit/files.ts'
import { loadRack } from './load.ts'
import { placeText, type Located } from './located.ts'
import { observe } from './observe.ts'
import { planOf } from './plan.ts'
import { resolve, secretName, type Rack } from './resolve.ts'
import { allowWords, hasWork, planText } from './text.ts'

export interface RackOptions extends Common {
  readonly file: string
  readonly out?: string
}

export async function readRack(path: string): Promise<{ rack: Rack; directory: string }> {
  const { root, directory } = await loadRack(path)
  return { rack: resolve(root), directory }
}

export async function validate({ file }: { file: string }): Promise<void> {
  const { rack } = await readRack(file)
  print(`${file}: ${rack.nodes.length} nodes of the site ${rack.site}; the file is acceptable`)
}

export async function makePlan(api: Api, file: string): Promise<{ plan: Plan; rack: Rack; directory: string }> {
  const { rack, directory } = await readRack(file)
  return { plan: planOf(rack, await observe(api, rack, { directory })), rack, directory }
}

export async function plan(options: RackOptions): Promise<void> {
  const format = formatOf(options.output)
  const { plan: made } = await makePlan(await connect(options), options.file)
  if (options.out !== undefined) await writeWhole(options.out, `${JSON.stringify(made, null, 2)}\n`)
  await show(made, format, () => {
    const apply = `Apply: rackward rack apply ${options.out === undefined ? '' : `${options.out} `}-f ${options.file}`
    return hasWork(made) ? `${planText(made)}\n${[apply, ...allowWords(made)].join(' ')}` : planText(made)
  })
  if (hasWork(made) || made.refused.length > 0) process.exitCode = STATUSES.different
}

/** Each value of a node with the file, the line and the profile that say it. */
export async function why(name: string, { file }: { file: string }): Promise<void> {
  const { rack } = await readRack(file)
  const node = rack.nodes.find((one) => one.name === name)
  if (!node) throw new CliError('missing', `${file} has no node ${name}`)
  for (const [path, located] of leaves(node.located, [])) {
    const from = located.at.profile === undefined ? '' : `  profile ${located.at.profile}`
    print(`${path.padEnd(36)} ${valueText(located).padEnd(28)} ${placeText(located.at)}${from}`)
  }
}

function leaves(located: Located, path: readonly string[]): [string, Located][] {
  if (located.kind !== 'map' || secretName(located) !== undefined) return [[path.join('/'), located]]
  return [...located.entries].flatMap(([key, { value }]) => leaves(value, [...path, key]))
}

function valueText(located: Located): string {
  const secret = secretName(located)
  if (secret !== undefined) return `secret ${secret}`
  if (located.kind === 'scalar') return JSON.stringify(located.value)
  return located.kind === 'list' ? `[${located.items.map(valueText).join(', ')}]` : '{}'
}

export async function schema(): Promise<void> {
  const { jsonSchema } = await import('./json-schema.ts')
  print(JSON.stringify(jsonSchema(), null, 2))
}
