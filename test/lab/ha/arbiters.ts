/** Three arbiters beside the rack: a namespace each, on the rack's bridge, set up as a person would set them up. */
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { closeSync, openSync } from 'node:fs'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { until } from '../../../kit/clock.ts'
import { run, runOk } from '../../../kit/run.ts'
import { CONDUCTOR_IP, type Rack } from '../rack.ts'
import { RACKWARD_MAIN, ROOT } from '../root.ts'
import { inNamespace, sh } from '../shell.ts'
import { CLOUD_PORT } from './host.ts'

const COUNT = 3
const TIMEOUT_MS = 60_000
export const API_PORT = 7461

export interface Arbiter {
  readonly name: string
  readonly namespace: string
  readonly address: string
  readonly dir: string
}

export const arbiterNamespaces = (namespace: string): string[] =>
  Array.from({ length: COUNT }, (_, i) => `${namespace}-a${i + 1}`)
export const arbiterUrls = Array.from({ length: COUNT }, (_, i) => `http://10.77.0.${11 + i}:${API_PORT}`)

export class Arbiters {
  readonly all: readonly Arbiter[]
  private readonly rack: Rack
  private readonly consul: string

  constructor(rack: Rack, consul: string) {
    this.rack = rack
    this.consul = consul
    this.all = arbiterNamespaces(rack.namespace).map((namespace, i) => ({
      name: `arbiter-${i + 1}`,
      namespace,
      address: `10.77.0.${11 + i}`,
      dir: join(rack.dir, `arbiter-${i + 1}`),
    }))
  }

  /** `password`: of the conductor's API and of theirs. */
  async up(password: string): Promise<void> {
    const passwordFile = join(this.rack.dir, 'password')
    await writeFile(passwordFile, password, { mode: 0o600 })
    for (const [i, arbiter] of this.all.entries()) await this.make(arbiter, { number: i + 1, passwordFile })
    const [first, ...others] = this.all as [Arbiter, ...Arbiter[]]
    await this.cli(first, ['init', first.name, '--address', first.address])
    this.start(first)
    const finish = () =>
      run(this.argv(first, ['init', first.name, '--finish', '--directory', join(first.dir, 'consul')]), {
        timeoutMs: 15_000,
      })
    await until(async () => (await finish()).code === 0, {
      what: `Consul of ${first.name}`,
      timeoutMs: TIMEOUT_MS,
      everyMs: 500,
    })
    for (const arbiter of others) {
      const bundle = join(arbiter.dir, 'bundle')
      await this.cli(first, ['invite', arbiter.name, '--arbiter', '--out', bundle])
      await this.cli(arbiter, ['join', bundle, '--address', arbiter.address])
      this.start(arbiter)
    }
  }

  /** A server's way in, for its config drive. */
  async invite(name: string): Promise<string> {
    const first = this.all[0] as Arbiter
    const bundle = join(first.dir, `bundle-${name}`)
    await this.cli(first, ['invite', name, '--out', bundle])
    return readFile(bundle, 'utf8')
  }

  private async make(arbiter: Arbiter, about: { number: number; passwordFile: string }): Promise<void> {
    const { namespace, dir, address } = arbiter
    await mkdir(dir, { mode: 0o700 })
    await sh(['ip', 'netns', 'add', namespace])
    const port = `a${about.number}`
    await sh(this.rack.in(['ip', 'link', 'add', port, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', namespace]))
    await sh(this.rack.in(['ip', 'link', 'set', 'dev', port, 'master', 'rack0', 'up']))
    for (const argv of [
      ['ip', 'link', 'set', 'lo', 'up'],
      ['ip', 'address', 'add', `${address}/24`, 'dev', 'eth0'],
      ['ip', 'link', 'set', 'dev', 'eth0', 'up'],
    ])
      await sh(inNamespace(namespace, argv))
    const config = {
      name: arbiter.name,
      role: 'arbiter',
      data: join(dir, 'data'),
      planes: { management: { address } },
      consul: {
        tokenFile: join(dir, 'consul/token'),
        run: { binary: this.consul, configDirectory: join(dir, 'consul/config') },
      },
      bmc: { conductor: { url: `http://${CONDUCTOR_IP}:6385`, username: 'admin', passwordFile: about.passwordFile } },
      driver: {
        kind: 'command',
        argv: [
          process.execPath,
          join(ROOT, 'dist/test/lab/ha/practice.js'),
          'driver',
          CONDUCTOR_IP,
          String(CLOUD_PORT),
        ],
      },
      api: {
        listen: [{ address, port: API_PORT }],
        url: `http://${address}:${API_PORT}`,
        auth: { strategy: 'http_basic', file: join(this.rack.dir, 'htpasswd') },
      },
    }
    await writeFile(join(dir, 'agent.yaml'), stringify(config))
  }

  private start({ namespace, dir }: Arbiter): void {
    // A file and not a pipe: it goes on when whoever started it has ended.
    const log = openSync(join(dir, 'agent.log'), 'a')
    const argv = inNamespace(namespace, [
      process.execPath,
      '--enable-source-maps',
      RACKWARD_MAIN,
      'agent',
      '--config',
      join(dir, 'agent.yaml'),
    ])
    spawn(argv[0] as string, argv.slice(1), { stdio: ['ignore', log, log], detached: true }).unref()
    closeSync(log)
  }

  private argv = ({ namespace }: Arbiter, args: readonly string[]): string[] =>
    inNamespace(namespace, [process.execPath, RACKWARD_MAIN, 'mesh', ...args])

  private cli = (arbiter: Arbiter, args: readonly string[]): Promise<string> =>
    runOk(this.argv(arbiter, [...args, '--directory', join(arbiter.dir, 'consul'), '--consul', this.consul]), {
      timeoutMs: TIMEOUT_MS,
    })
}
