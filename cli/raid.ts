/** `rackward node raid NODE [create|delete]`: shows the RAID volumes of a node, and has them made or removed by clean
 *  steps. */
import { CliError } from './error.ts'
import { connect, enc, readValue, verb, waitMsOf, type Common } from './nodes.ts'
import { formatOf, said, show, tableOf } from './show.ts'

export interface RaidOptions extends Common {
  readonly config?: string
  readonly replace?: boolean
  readonly wait?: boolean | string
}

interface RaidView {
  readonly raid_interface: string | null
  readonly raid_config: {
    readonly logical_disks?: readonly Readonly<Record<string, unknown>>[]
    readonly last_updated?: string
  }
  readonly target_raid_config: Readonly<Record<string, unknown>>
}

export async function raid(ident: string, action: string | undefined, options: RaidOptions): Promise<void> {
  if (action === undefined) return showRaid(ident, options)
  if (action !== 'create' && action !== 'delete') throw new CliError('usage', `${action}: use create or delete`)
  if (action === 'delete' && (options.config !== undefined || options.replace))
    throw new CliError('usage', '--config and --replace go with create')
  // A number that cannot be waited for is known before anything is sent.
  waitMsOf(options.wait)

  if (options.config !== undefined) {
    const config = await readValue(options.config, '--config')
    await (await connect(options)).ask('PUT', `/v1/nodes/${enc(ident)}/states/raid`, config)
  }
  const args = options.replace ? { args: { delete_existing: true } } : {}
  const step = { interface: 'raid', step: `${action}_configuration`, ...args }
  const { wait, ...server } = options
  await verb('clean', [ident], { ...server, steps: JSON.stringify([step]), ...(wait === undefined ? {} : { wait }) })
  if (wait !== undefined) await showRaid(ident, options)
}

async function showRaid(ident: string, options: Common): Promise<void> {
  const format = formatOf(options.output)
  const api = await connect(options)
  const fields = 'raid_interface,raid_config,target_raid_config'
  const node = (await api.ask('GET', `/v1/nodes/${enc(ident)}?fields=${fields}`)) as RaidView
  const { raid_interface, raid_config, target_raid_config } = node
  await show({ raid_interface, raid_config, target_raid_config }, format, () => tableFor(ident, node))
}

function tableFor(ident: string, node: RaidView): string {
  const disks = node.raid_config.logical_disks ?? []
  const wanted = (node.target_raid_config.logical_disks as unknown[] | undefined)?.length ?? 0
  const target = wanted > 0 ? `; its target_raid_config has ${wanted}` : ''
  if (disks.length === 0)
    return `${said(ident)} has no RAID volumes (raid interface ${said(node.raid_interface)})${target}`
  return tableOf(
    ['name', 'level', 'GiB', 'root', 'controller', 'disks'],
    disks.map((disk) => [
      disk.name,
      disk.raid_level,
      disk.size_gb,
      disk.is_root_volume === true ? 'yes' : 'no',
      disk.controller,
      disksOf(disk.physical_disks),
    ]),
  )
}

/** Names, or the values of hints. */
const disksOf = (disks: unknown): string =>
  (Array.isArray(disks) ? disks : [])
    .map((disk: unknown) => (typeof disk === 'object' && disk !== null ? Object.values(disk).join(' ') : String(disk)))
    .join(', ')
