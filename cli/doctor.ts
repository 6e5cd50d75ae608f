/** `rackward doctor`: what will hurt, and how to mend it. Looks at this machine, its boot networks, the BMCs as the
 *  conductor sees them, and Consul. */
import { access } from 'node:fs/promises'
import { loadConfig, type Config } from '../conductor/config.ts'
import { bmcAddress } from '../conductor/bmc/address.ts'
import { bad, ok, unknown, warn, type Finding, type Level } from '../conductor/doctor/finding.ts'
import { bootFiles } from '../conductor/doctor/boot-files.ts'
import { clock, images, limits, ports, space, tools } from '../conductor/doctor/machine.ts'
import { recordFindings } from '../conductor/doctor/records.ts'
import { links, otherServers } from '../conductor/doctor/wire.ts'
import { loadAgentConfig } from '../host-agent/config.ts'
import { systemClock } from '../kit/clock.ts'
import { openConsul } from '../kit/consul.ts'
import { systemRandom } from '../kit/random.ts'
import { run } from '../kit/run.ts'
import { findingsOfMesh } from './doctor-mesh.ts'
import { listNodes } from './nodes.ts'
import { findPlace, openApi, type Api, type ServerOptions } from './server.ts'
import { formatOf, said, show } from './show.ts'
import { CliError } from './error.ts'

export interface DoctorOptions extends ServerOptions {
  readonly output?: string
  readonly config: string
  readonly agentConfig: string
}

const MARKS: Readonly<Record<Level, string>> = { ok: '✓', warn: '!', bad: '✗', unknown: '?' }
const SLOW_MS = 2_000

export async function doctor(options: DoctorOptions): Promise<void> {
  // sockopt's way to a socket's descriptor is an old one; what Node.js says of it is nothing for an operator.
  process.noDeprecation = true
  const isThere = (file: string) =>
    access(file).then(
      () => true,
      () => false,
    )
  const [conductor, agent] = [await isThere(options.config), await isThere(options.agentConfig)]
  if (!conductor && !agent)
    throw new CliError(
      'usage',
      `neither ${options.config} nor ${options.agentConfig} is there: name one with --config or --agent-config`,
    )
  const findings: Finding[] = []
  if (conductor) findings.push(...(await conductorFindings(await loadConfig(options.config), options)))
  if (agent) findings.push(...(await consulFindings(options.agentConfig)))
  await show(findings, formatOf(options.output), () => textOf(findings))
  const worst = findings.filter(({ level }) => level === 'bad').length
  if (worst > 0) throw new CliError('failed', `${worst} of ${findings.length} checks found a problem`)
}

export function textOf(findings: readonly Finding[]): string {
  const width = Math.max(...findings.map(({ check }) => check.length))
  return findings
    .map(
      ({ check, level, says, mend }) =>
        `${MARKS[level]} ${check.padEnd(width)}  ${said(says)}${mend ? `\n  ${' '.repeat(width)}  -> ${said(mend)}` : ''}`,
    )
    .join('\n')
}

async function conductorFindings(config: Config, options: DoctorOptions): Promise<Finding[]> {
  const parts = { clock: systemClock, random: systemRandom }
  const looks: readonly (readonly [string, Promise<Finding[]>])[] = [
    ['tools', tools(run)],
    ['ports', ports(config, run)],
    ['dhcp', otherServers(config, parts)],
    ['links', links(config)],
    ['limits', limits(config)],
    ['boot files', bootFiles(config, run)],
    ['space', space(config)],
    ['images', images(config)],
    ['clock', clock(run)],
    ['bmcs', apiFindings(options)],
  ]
  return (
    await Promise.all(looks.map(([check, look]) => look.catch((error: unknown) => [unknown(check, error)])))
  ).flat()
}

/** The conductor reads every BMC all the time; what it knows is asked of it. */
async function apiFindings(options: ServerOptions): Promise<Finding[]> {
  const api = openApi(await findPlace(options, process.env))
  const nodes = await listNodes(
    api,
    'fields=name,uuid,driver,driver_info,provision_state,power_state,fault,last_error,maintenance',
  ).catch((error: Error) => error)
  if (nodes instanceof Error)
    return [{ check: 'bmcs', level: 'unknown', says: `the conductor was not asked: ${nodes.message}` }]
  // Fake hardware has no power state before somebody gives it one.
  const neverRead = (node: (typeof nodes)[number]) =>
    node.power_state === null && node.provision_state !== 'enroll' && node.driver !== 'fake-hardware'
  const lost = nodes.filter((node) => node.fault === 'power failure' || neverRead(node))
  const findings = lost.map((node) =>
    bad(
      'bmcs',
      `${node.name ?? node.uuid}: ${node.last_error ?? 'its power was never read'}`,
      `rackward node explain ${node.name ?? node.uuid}`,
    ),
  )
  findings.push(...sharedBmcs(nodes as unknown as BmcNode[]))
  return [
    ...(findings.length > 0 ? findings : [ok('bmcs', `the BMCs of all ${nodes.length} nodes answer`)]),
    ...(await stored(api)),
    ...(await meshFindings(api)),
  ]
}

type BmcNode = { name: string | null; uuid: string; driver: string; driver_info: Record<string, unknown> }

/** Nodes of a database from before one BMC was held to one node. */
export function sharedBmcs(nodes: readonly BmcNode[]): Finding[] {
  const byBmc = new Map<string, BmcNode[]>()
  for (const node of nodes) {
    const bmc = bmcAddress({ driver: node.driver, driverInfo: node.driver_info })
    if (bmc !== null) byBmc.set(bmc, [...(byBmc.get(bmc) ?? []), node])
  }
  return [...byBmc].flatMap(([bmc, sharers]) =>
    sharers.length < 2
      ? []
      : [
          bad(
            'bmcs',
            `${sharers.map(({ name, uuid }) => name ?? uuid).join(' and ')} have the same BMC (${bmc}): an action on one of them affects all`,
            'correct driver_info of the wrong node, or delete that node',
          ),
        ],
  )
}

/** A conductor that is not ready answers 503 with the same list; that it is not ready is told by what it cannot do. */
async function stored(api: Api): Promise<Finding[]> {
  const ready = await api.ask('GET', '/readyz').catch((error: Error) => error)
  return ready instanceof Error
    ? [unknown('records', ready)]
    : recordFindings((ready.damaged as string[] | undefined) ?? [])
}

async function meshFindings(api: Api): Promise<Finding[]> {
  const mesh = await api.ask('GET', '/rackward/v1/mesh').catch((error: Error) => error)
  if (mesh instanceof CliError && mesh.kind === 'missing') return []
  if (mesh instanceof Error) return [{ check: 'mesh', level: 'unknown', says: mesh.message }]
  return findingsOfMesh(mesh)
}

async function consulFindings(file: string): Promise<Finding[]> {
  try {
    const config = await loadAgentConfig(file)
    const consul = await openConsul(config.consul)
    try {
      const askedMs = systemClock.now()
      const { body: leader } = await consul.call('GET', '/v1/status/leader')
      const { body: peers } = await consul.call('GET', '/v1/status/peers')
      const count = (peers as string[]).length
      const tookMs = systemClock.now() - askedMs
      if (!leader)
        return [
          bad(
            'consul',
            'Consul has no leader: the mesh cannot store anything and fences no host',
            'bring a majority of its servers (the arbiters) back',
          ),
        ]
      return [
        count % 2 === 0 || count < 3
          ? warn(
              'consul',
              `${count} Consul servers: ${count < 3 ? 'the loss of one stops the mesh' : 'an even number tolerates no more failures than one less'}`,
              'use three or five arbiters',
            )
          : ok('consul', `${count} servers, led by ${leader as string}`),
        ...(tookMs > SLOW_MS
          ? [warn('consul', `Consul took ${tookMs} ms to answer`, 'reduce the load on its disk and its machine')]
          : []),
      ]
    } finally {
      consul.close()
    }
  } catch (error) {
    return [
      bad(
        'consul',
        `the local Consul does not answer: ${(error as Error).message.split('\n')[0]}`,
        'systemctl status rackward-agent',
      ),
    ]
  }
}
