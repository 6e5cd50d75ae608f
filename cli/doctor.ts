/** `rackward doctor`: what will hurt, and how to mend it. Looks at this machine and its boot networks where the
 *  configuration of a conductor is, at the conductor through its API, and at Consul where an agent is. */
import { access } from 'node:fs/promises'
import { loadConfig, type Config } from '../conductor/config.ts'
import { bad, ok, unknown, unseen, warn, type Finding, type Level } from '../conductor/doctor/finding.ts'
import { bootFiles } from '../conductor/doctor/boot-files.ts'
import { clock, images, limits, ports, space, tools } from '../conductor/doctor/machine.ts'
import { links, otherServers } from '../conductor/doctor/wire.ts'
import { loadAgentConfig } from '../host-agent/config.ts'
import { systemClock } from '../kit/clock.ts'
import { openConsul } from '../kit/consul.ts'
import { systemRandom } from '../kit/random.ts'
import { run } from '../kit/run.ts'
import { quietSockopt } from './daemon.ts'
import { apiFindings } from './doctor-api.ts'
import { findPlace, openApi, type ServerOptions } from './server.ts'
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
  quietSockopt()
  const isThere = (file: string) =>
    access(file).then(
      () => true,
      () => false,
    )
  const [conductor, agent] = [await isThere(options.config), await isThere(options.agentConfig)]
  const findings: Finding[] = []
  if (conductor) findings.push(...(await conductorFindings(options.config)))
  findings.push(...(await serverFindings(options, { conductor, agent })))
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

/** An agent's machine may have nothing to do with the conductor, unless one is named. */
async function serverFindings(options: DoctorOptions, has: { conductor: boolean; agent: boolean }): Promise<Finding[]> {
  const { server, cloud } = options
  const { RACKWARD_SERVER, OS_CLOUD, OS_ENDPOINT } = process.env
  const isNamed = [server, cloud, RACKWARD_SERVER, OS_CLOUD, OS_ENDPOINT].some(Boolean)
  if (has.agent && !has.conductor && !isNamed) return []
  const findings = await apiFindings(openApi(await findPlace(options, process.env)), () => systemClock.now())
  if (has.conductor || has.agent) return findings
  const says = `there is neither ${options.config} nor ${options.agentConfig}: nothing of this machine itself was looked at`
  const mend = isNamed
    ? 'run rackward doctor on the machine of the conductor, or name its file with --config'
    : 'make a configuration with rackward init, name one with --config, or name a conductor with --server'
  return [...findings, (isNamed ? unseen : bad)('this machine', says, mend)]
}

async function conductorFindings(file: string): Promise<Finding[]> {
  let config: Config
  try {
    config = await loadConfig(file)
  } catch (error) {
    return [
      bad('configuration', (error as Error).message, `correct it: rackward conductor --config ${file} --check-config`),
    ]
  }
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
  ]
  return (
    await Promise.all(looks.map(([check, look]) => look.catch((error: unknown) => [unknown(check, error)])))
  ).flat()
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
