/** `npm run bench -- cluster [--only deploy | commits | takeover | nodes] [--nodes N] [--kills N]`: what a site of many
 *  servers asks of its conductors. Kolla's 134 servers and 1,000 servers deployed at once with default settings; the
 *  write of a node in SQLite and in PostgreSQL; how long a killed conductor's nodes wait for another one; memory,
 *  pauses and a power pass at 10,000 nodes. */
import { run } from '../../kit/run.ts'
import type { Summary } from '../../cli/simulate/summary.ts'
import { textOf } from '../../cli/simulate/summary.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'
import { benchCommits, commitsTable } from './cluster-commits.ts'
import { benchNodes, nodesTable } from './cluster-nodes.ts'
import { benchTakeover, takeoverTable } from './cluster-takeover.ts'

/** Kolla's largest documented site, and ten racks. */
const SIZES = [134, 1_000]
/** Servers are so many times as fast as real ones: what takes a conductor an hour is seen in minutes, and it has so
 *  many times the requests to answer. */
const SPEED = 4
const TIMEOUT_MS = 90 * 60_000

export const CLUSTER_PARTS = ['deploy', 'commits', 'takeover', 'nodes'] as const
type Part = (typeof CLUSTER_PARTS)[number]

export interface ClusterOptions {
  readonly only?: string
  readonly nodes?: number
  readonly kills: number
  readonly speed?: number
  readonly json: boolean
  readonly say: (line: string) => void
}

export async function benchCluster({ only, nodes, kills, speed = SPEED, json, say }: ClusterOptions): Promise<void> {
  const parts: readonly string[] = only === undefined ? CLUSTER_PARTS : only.split(',')
  const unknown = parts.find((part) => !(CLUSTER_PARTS as readonly string[]).includes(part))
  if (unknown) throw new Error(`--only: there is no part ${unknown}; there are ${CLUSTER_PARTS.join(', ')}`)
  const report: Record<string, unknown> = {}
  const tell = <T>(name: string, figures: T, table: (figures: T) => string) => {
    report[name] = figures
    if (!json) say(`${name}\n${table(figures)}\n`)
  }
  const has = (part: Part) => parts.includes(part)
  if (has('deploy'))
    for (const size of nodes === undefined ? SIZES : [nodes]) {
      say(`deploy: ${size} servers at once, ${speed} times as fast as real ones`)
      tell(`${size} servers deployed at once`, deployFigures(await deploy(size, speed)), textOf)
    }
  if (has('commits')) tell('writes of a node', await benchCommits(say), commitsTable)
  if (has('takeover')) tell('take-over after a kill', await benchTakeover(kills, say), takeoverTable)
  if (has('nodes')) tell('10,000 nodes', await benchNodes(10_000, say), nodesTable)
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

/** By the program as it is shipped: it starts its own conductor with default settings. */
async function deploy(size: number, speed: number): Promise<Summary> {
  const words = ['simulate', '--nodes', String(size), '--deploy', '--speed', String(speed), '-o', 'json']
  const { stdout, stderr } = await run([process.execPath, RACKWARD_MAIN, ...words], { timeoutMs: TIMEOUT_MS })
  if (stdout === '') throw new Error(`the simulation: ${stderr.slice(-2000)}`)
  return JSON.parse(stdout) as Summary
}

/** Throws where servers without a fault did not arrive: then there is no time to tell. */
export function deployFigures(summary: Summary): Summary {
  const [first] = summary.failures
  if (summary.failedUnexpectedly > 0)
    throw new Error(
      `${summary.failedUnexpectedly} of ${summary.servers} servers were not deployed; ${first?.name}: ${first?.why}`,
    )
  return summary
}
