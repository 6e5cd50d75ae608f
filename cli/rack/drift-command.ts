/** `rackward rack drift`: what of a rack is not as its file says. Its exit status is that of diff(1): 0 nothing,
 *  1 something, 2 it could not be told. */
import type { Api } from '../server.ts'
import { CliError } from '../error.ts'
import { connect } from '../nodes.ts'
import { formatOf, said, show, tableOf } from '../show.ts'
import { readRack, type RackOptions } from './command.ts'
import { driftOf, isDrift, type BootDevices, type RackDrift } from './drift.ts'
import { forEach, observe } from './observe.ts'
import type { Observed } from './plan.ts'
import type { Rack } from './resolve.ts'

export interface DriftOptions extends RackOptions {
  readonly bootDevice?: boolean
  readonly json?: boolean
}

const SHOWN_CHARACTERS = 60

export async function drift(options: DriftOptions): Promise<void> {
  // 2, whatever went wrong: 1 says that there is drift.
  const found = await look(options).catch((error: unknown) => {
    throw new CliError('usage', (error as Error).message)
  })
  await show(found, options.json ? 'json' : formatOf(options.output), () => driftText(found))
  if (found.drifted) process.exitCode = 1
}

async function look(options: DriftOptions): Promise<RackDrift> {
  const { rack, directory } = await readRack(options.file)
  const api = await connect(options)
  const observed = await observe(api, rack, { directory, hardware: true })
  return driftOf(rack, observed, options.bootDevice ? await bootDevices(api, rack, observed) : undefined)
}

async function bootDevices(api: Api, rack: Rack, { nodes }: Observed): Promise<BootDevices> {
  const wanted = new Set(rack.nodes.map(({ name }) => name))
  const asked = nodes.filter(({ name, provision_state: state }) => state === 'active' && wanted.has(name ?? ''))
  const found = new Map<string, { device: string | null } | { error: string }>()
  await forEach(asked, async ({ name, uuid }) => {
    const path = `/v1/nodes/${uuid}/management/boot_device`
    const answer = await api.ask('GET', path).catch((error: Error) => ({ error: error.message }))
    const { boot_device: device = null, error } = answer as { boot_device?: string | null; error?: string }
    found.set(name ?? '', error === undefined ? { device } : { error })
  })
  return found
}

function driftText({ site, nodes, differences }: RackDrift): string {
  const some = differences.filter(isDrift)
  const open = differences.filter(({ kind }) => kind === 'unknown')
  const summary =
    some.length === 0
      ? `${nodes} nodes of the site ${site}: every node is as the file says`
      : `${nodes} nodes of the site ${site}: ${some.length} differences at ${new Set(some.map(({ node }) => node)).size} nodes`
  if (differences.length === 0) return summary
  const rows = differences.map(({ node, field, kind, wanted, recorded, observed }) => [
    node,
    field,
    kind,
    short(wanted),
    short(recorded),
    short(observed),
  ])
  return [
    tableOf(['node', 'field', 'kind', 'wanted', 'recorded', 'observed'], rows),
    open.length > 0 ? `${summary}; ${open.length} could not be told` : summary,
  ].join('\n')
}

function short(value: unknown): string {
  const text = value === null || value === undefined ? '-' : typeof value === 'string' ? value : JSON.stringify(value)
  return said(text.length > SHOWN_CHARACTERS ? `${text.slice(0, SHOWN_CHARACTERS - 1)}…` : text)
}
