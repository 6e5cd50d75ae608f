/** A conductor inside the rack, started as a user would start it: `rackward conductor --config FILE`. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { closeSync, openSync } from 'node:fs'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { stringify } from 'yaml'
import { until } from '../../kit/clock.ts'
import { systemRandom } from '../../kit/random.ts'
import { ApiClient } from './client.ts'
import type { Architecture } from '../../kit/architecture.ts'
import { CONDUCTOR_IP, RACK_SUBNET, type Rack } from './rack.ts'
import { RACKWARD_MAIN } from './root.ts'

export interface ConductorOptions {
  readonly imageStore: string
  readonly kernel: string
  readonly initrd: string
  /** Directory of iPXE's loaders; undefined: the configuration's default. */
  readonly loaders?: string | undefined
  readonly rescueInitrd?: string
  /** The signed ramdisk. */
  readonly uki?: string
  /** For servers of other architectures. */
  readonly ramdisks?: Partial<Record<Architecture, { kernel: string; initrd: string; rescueInitrd: string }>>
  /** The boot ISO, which BMCs fetch at boot.http. */
  readonly iso?: string
  /** They fetch it at a listener of its own, with this port. */
  readonly mediaPort?: number
  /** UEFI HTTP boot fetches loaders over TLS. */
  readonly bootHttps?: { readonly port: number; readonly cert: string; readonly key: string }
  /** False: no DHCP server is on the wire. */
  readonly dhcp?: boolean
  /** URLs of the mesh's arbiters. */
  readonly arbiters?: readonly string[]
  /** One of several: a machine of its own beside the rack. */
  readonly machine?: ConductorMachine
  /** False: servers fetch images from the conductor alone. */
  readonly swarm?: boolean
  /** Parts of the configuration that a test wants otherwise. */
  readonly provision?: Record<string, number>
}

export interface ConductorMachine {
  readonly name: string
  readonly namespace: string
  readonly dir: string
  /** Its card on the servers' network. */
  readonly card: string
  /** What its configuration has besides. */
  readonly config: Readonly<Record<string, unknown>>
}

export class RackConductor {
  readonly configFile: string
  readonly api: ApiClient
  readonly password: string
  readonly logFile: string
  private readonly namespace: string
  private child: ChildProcess | undefined

  private constructor({ namespace, dir }: { namespace: string; dir: string }, password: string) {
    this.namespace = namespace
    this.password = password
    this.configFile = join(dir, 'conductor.yaml')
    this.logFile = join(dir, 'conductor.log')
    this.api = new ApiClient(join(dir, 'api.sock'), { user: 'admin', password })
  }

  /** `password`: of the administrator, where there is one already. */
  static async make(rack: Rack, options: ConductorOptions, password?: string): Promise<RackConductor> {
    const { machine } = options
    const conductor = new RackConductor(machine ?? rack, password ?? systemRandom.bytes(12).toString('base64url'))
    await mkdir(join(machine?.dir ?? rack.dir, 'data'), { recursive: true, mode: 0o700 })
    await writeFile(join(rack.dir, 'htpasswd'), `admin:${await bcrypt.hash(conductor.password, 6)}\n`, { mode: 0o600 })
    await writeFile(conductor.configFile, stringify(configOf(rack, options)))
    return conductor
  }

  async start(): Promise<void> {
    // A file and not a pipe: the conductor goes on when whoever started it has ended.
    const log = openSync(this.logFile, 'a')
    const argv = [
      'netns',
      'exec',
      this.namespace,
      process.execPath,
      '--enable-source-maps',
      RACKWARD_MAIN,
      'conductor',
      '--config',
      this.configFile,
    ]
    const child = spawn('ip', argv, { stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    child.unref()
    this.child = child
    let ended = false
    child.once('exit', () => {
      ended = true
    })
    await until(
      async () => {
        if (ended) throw new Error(`the conductor ended at once; see ${this.logFile}`)
        return (await this.api.call('GET', '/healthz').catch(() => undefined))?.status === 200
      },
      { what: `the conductor (${this.logFile})`, timeoutMs: 30_000, everyMs: 100 },
    )
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  /** kill -9: nothing is said, nothing is cleaned up. */
  kill = (): Promise<void> => this.end('SIGKILL')
  stop = (): Promise<void> => this.end('SIGTERM')

  private async end(signal: NodeJS.Signals): Promise<void> {
    const child = this.child
    if (!child || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill(signal)
    await gone
  }
}

export const configOf = (rack: Rack, options: ConductorOptions) => ({
  data: join(options.machine?.dir ?? rack.dir, 'data'),
  images: {
    store: options.imageStore,
    allowedFilePaths: [rack.dir],
    ...(options.swarm === false ? { swarm: { enabled: false } } : {}),
  },
  api: {
    listen: [{ address: CONDUCTOR_IP, port: 6385 }],
    socket: join(options.machine?.dir ?? rack.dir, 'api.sock'),
    auth: { strategy: 'http_basic', file: join(rack.dir, 'htpasswd') },
  },
  agent: { address: CONDUCTOR_IP, port: 6386 },
  boot: {
    interfaces: options.dhcp === false ? [] : [{ name: options.machine?.card ?? 'rack0', address: CONDUCTOR_IP }],
    http: { address: CONDUCTOR_IP, port: 8080 },
    tftp: CONDUCTOR_IP,
    subnets:
      options.dhcp === false
        ? []
        : [{ cidr: RACK_SUBNET, serverIp: CONDUCTOR_IP, first: '10.77.0.100', last: '10.77.0.199' }],
    kernel: options.kernel,
    initrd: options.initrd,
    ...(options.loaders ? { loaders: options.loaders } : {}),
    routerAdvertisements: true,
    ...(options.iso ? { iso: options.iso } : {}),
    ...(options.mediaPort ? { media: { address: CONDUCTOR_IP, port: options.mediaPort } } : {}),
    ...(options.bootHttps ? { https: { address: CONDUCTOR_IP, ...options.bootHttps } } : {}),
    ...(options.uki ? { uki: options.uki } : {}),
    ...(options.ramdisks ? { ramdisks: options.ramdisks } : {}),
    ...(options.rescueInitrd ? { rescueInitrd: options.rescueInitrd } : {}),
  },
  bmc: { readBootConsoles: true },
  // No switch of the rack announces itself, unless a test does.
  provision: { lldpSeconds: 0, ...options.provision },
  ...(options.arbiters
    ? { mesh: { arbiters: options.arbiters, username: 'admin', passwordFile: join(rack.dir, 'password') } }
    : {}),
  ...options.machine?.config,
})
