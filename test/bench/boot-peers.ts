/** What `npm run bench -- boot` measures: the boot services of Rackward as they run beside a conductor, Kea, dnsmasq
 *  and tftpd-hpa, each in a pair of network namespaces of its own: the server's and that of its clients. */
import { spawn, type ChildProcess } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { openClientFile } from '../../conductor/boot/client-file.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { BOOT_NODE_ARGS } from '../../conductor/boot/young-generation.ts'
import { until } from '../../kit/clock.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'
import { inNamespace, sh } from '../lab/shell.ts'

export const SERVER_IP = '10.99.0.1'
/** The relay, in the clients' namespace. */
export const RELAY_IP = '10.99.0.2'
/** The clients of TFTP have the addresses from this one on. */
export const FIRST_CLIENT_IP = '10.99.255.1'
export const LOADER = 'snponly.efi'
const POOL = ['10.99.1.0', '10.99.250.255'] as const
const LEASE_SECONDS = 3600
const START_MS = 30_000

export interface Peer {
  readonly name: string
  readonly serves: readonly ('dhcp' | 'tftp')[]
  /** The namespace of its clients, and its own. */
  readonly clients: string
  readonly server: string
  /** CPU time that its processes took so far. */
  cpuMs(): Promise<number>
  rssBytes(): Promise<number>
  stop(): Promise<void>
}

interface Ground {
  readonly dir: string
  readonly server: string
  readonly clients: string
  remove(): Promise<void>
}

/** `relays`: the address of each in its own subnet, all of them in the clients' namespace. */
export async function ground(dir: string, name: string, relays: readonly string[] = []): Promise<Ground> {
  const [server, clients] = [`rwb${process.pid}${name}s`, `rwb${process.pid}${name}c`]
  const at = { dir: join(dir, name), server, clients }
  await mkdir(at.dir, { recursive: true, mode: 0o700 })
  for (const namespace of [server, clients]) {
    await sh(['ip', 'netns', 'add', namespace])
    await sh(['ip', '-n', namespace, 'link', 'set', 'lo', 'up'])
  }
  await sh(['ip', '-n', server, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth0', 'netns', clients])
  await sh(['ip', '-n', server, 'addr', 'add', `${SERVER_IP}/16`, 'dev', 'eth0'])
  await sh(['ip', '-n', clients, 'addr', 'add', `${RELAY_IP}/16`, 'dev', 'eth0'])
  for (const namespace of [server, clients]) await sh(['ip', '-n', namespace, 'link', 'set', 'eth0', 'up'])
  await sh(['ip', '-n', clients, 'route', 'add', 'local', '10.99.255.0/24', 'dev', 'lo'])
  for (const relay of relays) {
    const subnet = relay.replace(/\d+\.\d+$/, '0.0/16')
    await sh(['ip', '-n', clients, 'route', 'add', 'local', subnet, 'dev', 'lo'])
    await sh(['ip', '-n', server, 'route', 'add', subnet, 'via', RELAY_IP])
  }
  const remove = async () => {
    for (const namespace of [server, clients]) await sh(['ip', 'netns', 'delete', namespace])
  }
  return { ...at, remove }
}

function run(at: Ground, argv: readonly string[], env: Record<string, string> = {}): ChildProcess {
  const log = openSync(join(at.dir, 'log'), 'a')
  const [program = '', ...rest] = inNamespace(at.server, argv)
  const child = spawn(program, rest, { stdio: ['ignore', log, log], env: { ...process.env, ...env } })
  closeSync(log)
  return child
}

/** Children that ended count with their parent. */
async function cpuMsOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8')
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  return fields.slice(11, 15).reduce((sum, ticks) => sum + Number(ticks) * 10, 0)
}

async function rssBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
}

async function peer(
  about: Pick<Peer, 'name' | 'serves'>,
  at: Ground,
  { child, ports, end }: { child: ChildProcess; ports: readonly number[]; end?: () => void },
): Promise<Peer> {
  const pid = child.pid ?? 0
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const isUp = async () => {
    if (child.exitCode !== null) throw new Error(`${about.name} ended: ${await readFile(join(at.dir, 'log'), 'utf8')}`)
    const open = await sh(inNamespace(at.server, ['ss', '-Hlun']))
    return ports.every((port) => new RegExp(`:${port}\\s`).test(open))
  }
  const stop = async () => {
    end?.()
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGTERM')
    await ended
    await at.remove()
  }
  await until(isUp, { what: about.name, timeoutMs: START_MS }).catch(async (error: unknown) => {
    await stop()
    throw error
  })
  const { clients, server } = at
  return { ...about, clients, server, cpuMs: () => cpuMsOf(pid), rssBytes: () => rssBytesOf(pid), stop }
}

/** The MAC of a client of the load generator. */
export const macOf = (n: number) =>
  `02:aa:${[24, 16, 8, 0].map((shift) => ((n >>> shift) & 255).toString(16).padStart(2, '0')).join(':')}`

function clientOf(n: number): BootClient {
  const order = { kind: 'ramdisk', generation: 1, rescue: false, token: true } as const
  const nodeUuid = `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
  return { mac: macOf(n), nodeUuid, label: `node-${n}`, order, fixedIp: null, hostName: `node-${n}`, card: null }
}

export interface RackwardOptions {
  readonly clients: number
  /** Further subnets, each by the address of its relay. */
  readonly relays?: readonly string[]
  /** Laid over `boot` of the configuration. */
  readonly boot?: Readonly<Record<string, unknown>>
  readonly limits?: Readonly<Record<string, number>>
  /** Arguments of Node.js. */
  readonly node?: readonly string[]
}

/** `files`: a directory with the loaders, the kernel and the ramdisk. */
export async function rackward(dir: string, files: string, options: RackwardOptions): Promise<Peer> {
  const { clients, relays = [], boot = {}, node = [], limits = {} } = options
  const at = await ground(dir, 'r', relays)
  const data = join(at.dir, 'data')
  await mkdir(data, { mode: 0o700 })
  const store = openClientFile(join(data, 'boot-clients.db'), () => undefined)
  store.write(new Map(Array.from({ length: clients }, (_, n) => [macOf(n), JSON.stringify(clientOf(n))])))
  store.close()
  const subnetOf = (cidr: string, first: string, last: string) => ({
    cidr,
    first,
    last,
    serverIp: SERVER_IP,
    leaseSeconds: LEASE_SECONDS,
  })
  const config = {
    data,
    images: { store: join(at.dir, 'images') },
    api: { listen: [{ address: SERVER_IP, port: 6385 }], auth: { strategy: 'noauth' } },
    agent: { address: SERVER_IP, port: 6386 },
    boot: {
      interfaces: [{ name: 'eth0', address: SERVER_IP }],
      http: { address: SERVER_IP, port: 8080 },
      tftp: SERVER_IP,
      subnets: [
        subnetOf('10.99.0.0/16', ...POOL),
        ...relays.map((relay) => {
          const net = relay.replace(/\.\d+\.\d+$/, '')
          return { ...subnetOf(`${net}.0.0/16`, `${net}.1.0`, `${net}.250.255`), router: relay }
        }),
      ],
      loaders: files,
      kernel: join(files, 'kernel'),
      initrd: join(files, 'initrd'),
      ...boot,
    },
    limits: { boot: limits },
  }
  await writeFile(join(at.dir, 'conductor.yaml'), stringify(config))
  const argv = [process.execPath, ...BOOT_NODE_ARGS, '--enable-source-maps', ...node, RACKWARD_MAIN, 'boot', '--config']
  const child = run(at, [...argv, join(at.dir, 'conductor.yaml')])
  let conductor: Socket | undefined
  const end = () => conductor?.destroy()
  const running = await peer({ name: 'Rackward', serves: ['dhcp', 'tftp'] }, at, { child, ports: [67, 69], end })
  // It takes what the boot services tell of each boot, as a conductor does.
  conductor = connect(join(data, 'boot.sock'))
  conductor.on('error', () => undefined).resume()
  return running
}

export async function kea(dir: string): Promise<Peer> {
  const at = await ground(dir, 'k')
  const config = {
    Dhcp4: {
      'interfaces-config': { interfaces: [`eth0/${SERVER_IP}`], 'dhcp-socket-type': 'udp' },
      'lease-database': { type: 'memfile', persist: true, name: join(at.dir, 'leases.csv') },
      'valid-lifetime': LEASE_SECONDS,
      subnet4: [
        {
          id: 1,
          subnet: '10.99.0.0/16',
          pools: [{ pool: POOL.join(' - ') }],
          'next-server': SERVER_IP,
          'boot-file-name': LOADER,
          'option-data': [{ name: 'tftp-server-name', data: SERVER_IP }],
        },
      ],
      loggers: [{ name: 'kea-dhcp4', severity: 'ERROR', output_options: [{ output: 'stdout' }] }],
    },
  }
  await writeFile(join(at.dir, 'kea.json'), JSON.stringify(config))
  const env = { KEA_LOCKFILE_DIR: at.dir, KEA_PIDFILE_DIR: at.dir }
  const child = run(at, ['kea-dhcp4', '-c', join(at.dir, 'kea.json')], env)
  return peer({ name: 'Kea (memfile, persistent)', serves: ['dhcp'] }, at, { child, ports: [67] })
}

export async function dnsmasq(dir: string, files: string): Promise<Peer> {
  const at = await ground(dir, 'd')
  const fixed =
    'dnsmasq -k --no-resolv --no-hosts --port=0 --user=root --conf-file=/dev/null --interface=eth0 --except-interface=lo --bind-interfaces --dhcp-authoritative --quiet-dhcp --no-ping --dhcp-lease-max=100000 --enable-tftp --tftp-max=200 --quiet-tftp'
  const child = run(at, [
    ...fixed.split(' '),
    `--dhcp-range=${POOL.join(',')},255.255.0.0,1h`,
    `--dhcp-boot=${LOADER},,${SERVER_IP}`,
    `--dhcp-leasefile=${join(at.dir, 'leases')}`,
    `--tftp-root=${files}`,
  ])
  return peer({ name: 'dnsmasq', serves: ['dhcp', 'tftp'] }, at, { child, ports: [67, 69] })
}

export async function tftpd(dir: string, files: string): Promise<Peer> {
  const at = await ground(dir, 't')
  const child = run(at, ['in.tftpd', '-L', '-4', '-u', 'root', '--secure', '-a', `${SERVER_IP}:69`, files])
  return peer({ name: 'tftpd-hpa', serves: ['tftp'] }, at, { child, ports: [69] })
}
