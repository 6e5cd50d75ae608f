/** The virtual rack: one network namespace with a bridge, servers with BMCs, and everything gone again when it goes
 *  down. */
import { existsSync } from 'node:fs'
import { mkdir, readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { until } from '../../kit/clock.ts'
import { launch, run } from '../../kit/run.ts'
import { ipmiSimArgv, ipmitoolArgv } from '../fake/ipmi-sim.ts'
import { ROOT } from './root.ts'
import { BMC_PASSWORD, BMC_USER, makeServer, pullDisk, type Server, type ServerSpec } from './server.ts'
import { inNamespace, sh } from './shell.ts'

export const CONDUCTOR_IP = '10.77.0.1'
export const RACK_SUBNET = '10.77.0.0/24'
const BMC_NET = '10.77.255'
const STOP_TIMEOUT_MS = 10_000

export class Rack {
  readonly name: string
  readonly namespace: string
  readonly dir: string
  readonly servers: Server[] = []
  private readonly accel: 'kvm' | 'tcg'
  private cables: Promise<void> | undefined

  /** `name` marks everything that the rack makes, so that racks live side by side. */
  constructor(name: string, dir: string, accel: 'kvm' | 'tcg') {
    this.name = name
    this.namespace = `rackward-${name}`
    this.dir = dir
    this.accel = accel
  }

  /** `address`: of the namespace on the servers' network. */
  async up(address = CONDUCTOR_IP): Promise<void> {
    await mkdir(this.dir, { recursive: true, mode: 0o700 })
    await sh(['ip', 'netns', 'add', this.namespace])
    for (const argv of [
      ['ip', 'link', 'set', 'lo', 'up'],
      // No spanning tree and no learning delay: a rack switch with port-fast.
      ['ip', 'link', 'add', 'rack0', 'type', 'bridge', 'forward_delay', '0'],
      ['ip', 'address', 'add', `${address}/24`, 'dev', 'rack0'],
      ['ip', 'link', 'set', 'rack0', 'up'],
      ['ip', 'link', 'add', 'bmc0', 'type', 'bridge'],
      ['ip', 'link', 'set', 'bmc0', 'up'],
    ])
      await sh(this.in(argv))
  }

  in = (argv: readonly string[]): string[] => inNamespace(this.namespace, argv)

  async addServer(spec: ServerSpec): Promise<Server> {
    const number = this.servers.length + 1
    const hex = number.toString(16).padStart(2, '0')
    const dir = join(this.dir, spec.name)
    const server: Server = {
      ...spec,
      dir,
      mac: `52:54:00:77:00:${hex}`,
      secondMac: `52:54:00:77:01:${hex}`,
      bmcIp: `${BMC_NET}.${number}`,
      taps: [`s${number}a`, `s${number}b`],
      diskFile: join(dir, 'disk.raw'),
    }
    this.servers.push(server)
    await makeServer(server, this.accel)
    for (const tap of server.taps) {
      await sh(this.in(['ip', 'tuntap', 'add', tap, 'mode', 'tap']))
      await sh(this.in(['ip', 'link', 'set', tap, 'master', 'rack0', 'up']))
    }
    await sh(this.in(['ip', 'address', 'add', `${server.bmcIp}/32`, 'dev', 'bmc0']))
    await (this.cables ??= this.layCables())
    await this.startBmc(server)
    return server
  }

  /** With the first server, and for as long as the rack is up. */
  private async layCables(): Promise<void> {
    const program = join(ROOT, 'dist/test/lab/serial-cables.js')
    const laid = join(this.dir, 'serial-cables')
    this.launch(join(this.dir, 'serial-cables.log'), [process.execPath, '--enable-source-maps', program, laid])
    await until(() => existsSync(laid), {
      what: `the serial cables (${this.dir}/serial-cables.log)`,
      timeoutMs: 30_000,
    })
  }

  /** Answers once the BMC does. */
  async startBmc(server: Server): Promise<void> {
    const sim = ipmiSimArgv(server.dir)
    this.launch(join(server.dir, 'ipmi_sim.log'), sim)
    if (server.bmc === 'redfish') await this.startRedfish(server)
    await until(async () => (await this.ipmi(server, ['power', 'status'])).code === 0, {
      what: `the BMC of ${server.name}`,
      timeoutMs: 15_000,
      everyMs: 100,
    })
  }

  private async startRedfish(server: Server): Promise<void> {
    const program = join(ROOT, 'dist/test/lab/redfish-bmc.js')
    this.launch(join(server.dir, 'redfish-bmc.log'), [process.execPath, '--enable-source-maps', program, server.dir])
    const look = this.in(['curl', '-sk', '--max-time', '3', `https://${server.bmcIp}/redfish/v1/`])
    await until(async () => (await run(look, { timeoutMs: 5_000 })).code === 0, {
      what: `the Redfish service of ${server.name} (${server.dir}/redfish-bmc.log)`,
      timeoutMs: 30_000,
      everyMs: 200,
    })
  }

  /** A program that goes on when whoever started it has ended. */
  launch = (log: string, argv: readonly string[]) =>
    launch(this.in(['sh', '-c', 'exec "$@" >"$0" 2>&1 </dev/null', log, ...argv]))

  ipmi(server: Server, args: readonly string[]) {
    const argv = ipmitoolArgv({ address: server.bmcIp, user: BMC_USER, retries: 2 }, args)
    return run(this.in(argv), { timeoutMs: 10_000, env: { IPMI_PASSWORD: BMC_PASSWORD } })
  }

  /** Pulls the plug, behind the BMC's back. */
  async cutPower(server: Server): Promise<void> {
    const pid = Number(await readFile(join(server.dir, 'pid'), 'utf8').catch(() => '0'))
    if (pid > 0) endProcess(pid, 'SIGKILL')
    await until(() => !existsSync(`/proc/${pid}`), {
      what: `the guest of ${server.name} to be gone`,
      timeoutMs: STOP_TIMEOUT_MS,
    })
  }

  /** From the next start on, the server is without one of its disks. */
  pullDisk = (server: Server, number: number): Promise<void> => pullDisk(server, number, this.accel)

  /** Ends every process of the namespace, then the namespace, then the files. Safe to call twice and after half a
   *  start. */
  down = (): Promise<void> => removeRack(this.namespace, this.dir)
}

/** Of the database servers of a rack, which are another user's. */
export const databaseDir = (dir: string): string => `${dir}.pg`

/** The rack's own namespace, and those of its arbiters and conductors. */
async function namespacesOf(namespace: string): Promise<string[]> {
  const all = (await run(['ip', 'netns', 'list'], { timeoutMs: 5_000 })).stdout
    .split('\n')
    .map((line) => line.split(' ')[0] ?? '')
  return all.filter(
    (name) => name === namespace || (name.startsWith(namespace) && /^-[ac]\d+$/.test(name.slice(namespace.length))),
  )
}

export async function removeRack(namespace: string, dir: string): Promise<void> {
  const namespaces = await namespacesOf(namespace)
  const pids = async () =>
    (await Promise.all(namespaces.map((name) => run(['ip', 'netns', 'pids', name], { timeoutMs: 10_000 })))).flatMap(
      ({ stdout }) => stdout.split('\n').filter(Boolean),
    )
  // TERM first: the conductor stops its boot services itself; whatever is left after a moment is killed.
  for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
    for (const pid of await pids()) endProcess(Number(pid), signal)
    await until(async () => (await pids()).length === 0, {
      what: 'the processes of the rack to end',
      timeoutMs: signal === 'SIGTERM' ? 3_000 : STOP_TIMEOUT_MS,
      everyMs: 50,
    }).catch(() => undefined)
  }
  for (const name of namespaces) await sh(['ip', 'netns', 'delete', name])
  for (const one of [dir, databaseDir(dir)]) await rm(one, { recursive: true, force: true })
}

/** Without the program of that name, which a minimal Debian does not have. */
export function endProcess(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch (error) {
    // Gone already is what was wanted.
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error
  }
}
