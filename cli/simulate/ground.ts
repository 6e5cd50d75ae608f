/** A conductor of the simulation's own, with a temporary store, in a network namespace of its own: DHCP, TFTP and the
 *  BMCs have their usual ports there, and nothing of the machine's networks hears of them. */
import { spawn, type ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { openSync, closeSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { until } from '../../kit/clock.ts'
import { isRunning, run, runOk } from '../../kit/run.ts'
import { BIOS_LOADER, EFI_LOADER } from '../../pxe/firmware.ts'
import { CliError } from '../error.ts'
import type { Api } from '../server.ts'
import { stringify } from '../yaml.ts'

export const OWN = { url: 'http://127.0.0.1:6385', address: '127.0.0.1', image: 'simulated' } as const
/** The servers' addresses: of this machine, as all of 127.0.0.0/8 are. */
const SUBNET = { cidr: '127.32.0.0/12', first: '127.32.1.0', last: '127.47.255.254' } as const

/** Small, so that the machine that simulates a thousand servers can carry their downloads as well. */
const SIZES = { loader: 64 * 1024, kernel: 512 * 1024, ramdisk: 2_000_000, image: 8 * 1024 * 1024 } as const
const SECTOR_BYTES = 512
const START_MS = 60_000
const UNSHARE_MS = 10_000
const STOP_MS = 20_000

const unshare = (uid: number): string[] => [
  'unshare',
  ...(uid === 0 ? [] : ['--user', '--map-root-user']),
  '--net',
  '--',
]

/** The command line that runs this program again in such a namespace. */
export const insideNamespace = (words: readonly string[], uid: number): string[] => [
  ...unshare(uid),
  process.execPath,
  ...process.execArgv,
  process.argv[1] as string,
  ...words,
]

/** Throws where this user may not make such a namespace. */
export async function canHaveNamespace(uid: number): Promise<void> {
  const { code, stderr } = await run([...unshare(uid), 'true'], { timeoutMs: UNSHARE_MS })
  if (code !== 0)
    throw new CliError(
      'failed',
      `a conductor of its own needs a network namespace, which this user may not make (${stderr.trim()}): run it as root, allow user namespaces, or name a conductor with --conductor`,
    )
}

export class Ground {
  readonly dir: string
  private child: ChildProcess | undefined

  private constructor(dir: string) {
    this.dir = dir
  }

  /** Makes files, and starts the conductor. `config`: laid over its configuration at the top level. */
  static async start(api: Api, config: Readonly<Record<string, unknown>>, signal: AbortSignal): Promise<Ground> {
    await runOk(['ip', 'link', 'set', 'lo', 'up'], { timeoutMs: 10_000 })
    const ground = new Ground(await mkdtemp(join(tmpdir(), 'rackward-simulate-')))
    try {
      await ground.prepare(config)
      signal.throwIfAborted()
      await ground.launch(api, signal)
      return ground
    } catch (error) {
      await ground.stop()
      throw error
    }
  }

  get socket(): string {
    return join(this.dir, 'api.sock')
  }

  get pid(): number | undefined {
    return this.child?.pid
  }

  private get configFile(): string {
    return join(this.dir, 'conductor.yaml')
  }

  private async prepare(config: Readonly<Record<string, unknown>>): Promise<void> {
    const { dir } = this
    await mkdir(join(dir, 'data'), { mode: 0o700 })
    await mkdir(join(dir, 'loaders'))
    for (const loader of [BIOS_LOADER, EFI_LOADER])
      await writeFile(join(dir, 'loaders', loader), randomBytes(SIZES.loader))
    await writeFile(join(dir, 'kernel'), randomBytes(SIZES.kernel))
    await writeFile(join(dir, 'initrd'), randomBytes(SIZES.ramdisk))
    await writeFile(join(dir, 'image.raw'), diskImage())
    await importImage(new ImageStore(join(dir, 'images')), {
      source: join(dir, 'image.raw'),
      name: OWN.image,
      format: 'raw',
    })
    await writeFile(this.configFile, stringify({ ...configOf(dir, this.socket), ...config }))
  }

  private async launch(api: Api, signal: AbortSignal): Promise<void> {
    const log = openSync(join(this.dir, 'conductor.log'), 'a')
    const main = fileURLToPath(new URL('./main.js', import.meta.url))
    const argv = ['--enable-source-maps', main, 'conductor', '--config', this.configFile]
    const child = spawn(process.execPath, argv, { stdio: ['ignore', log, log], detached: true })
    closeSync(log)
    // Without a pid it was not started, which is seen below.
    child.on('error', () => undefined)
    this.child = child
    const isUp = async () => {
      if (child.exitCode !== null || child.signalCode !== null || child.pid === undefined)
        throw new CliError('failed', `the conductor ended at once:\n${(await this.log()).slice(-2000)}`)
      return api.ask('GET', '/healthz').then(
        () => true,
        () => false,
      )
    }
    await until(isUp, { what: 'the conductor', timeoutMs: START_MS, signal })
    const hasBoot = async () => (await readFile('/proc/net/udp', 'utf8')).includes(':0043 ')
    await until(hasBoot, { what: 'the boot services', timeoutMs: START_MS, signal })
  }

  private log = (): Promise<string> => readFile(join(this.dir, 'conductor.log'), 'utf8').catch(() => '')

  /** Resident memory of the conductor and of its boot services. */
  async rssBytes(): Promise<number> {
    const sizes = await Promise.all((await this.processes()).map(rssBytesOf))
    return sizes.reduce((sum, bytes) => sum + bytes, 0)
  }

  /** Boot services outlive their conductor by design; here they end with it. */
  async stop(): Promise<void> {
    try {
      await this.endAll()
    } finally {
      await rm(this.dir, { recursive: true, force: true })
    }
  }

  private async endAll(): Promise<void> {
    const { child } = this
    if (child?.pid && child.exitCode === null && child.signalCode === null) {
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      const late = setTimeout(() => child.kill('SIGKILL'), STOP_MS)
      await gone
      clearTimeout(late)
    }
    for (const pid of await this.processes()) if (isRunning(pid)) process.kill(pid, 'SIGTERM')
    await until(async () => (await this.processes()).length === 0, {
      what: 'the boot services to end',
      timeoutMs: STOP_MS,
    })
  }

  /** Those that have our configuration on their command line. */
  private async processes(): Promise<number[]> {
    const pids = (await readdir('/proc')).map(Number).filter((pid) => pid > 0 && pid !== process.pid)
    const lines = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')))
    return pids.filter((_, i) => lines[i]?.split('\0').includes(this.configFile))
  }
}

/** A partition table (MBR) with one partition of Linux, which holds noise: nothing of it compresses. */
function diskImage(): Buffer {
  const image = randomBytes(SIZES.image)
  image.fill(0, 0, SECTOR_BYTES)
  const [entry, first] = [0x1be, 2048]
  image[entry + 4] = 0x83
  image.writeUInt32LE(first, entry + 8)
  image.writeUInt32LE(image.length / SECTOR_BYTES - first, entry + 12)
  image.writeUInt16LE(0xaa55, SECTOR_BYTES - 2)
  return image
}

async function rssBytesOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
}

const configOf = (dir: string, socket: string) => ({
  data: join(dir, 'data'),
  images: { store: join(dir, 'images') },
  api: { listen: [{ address: OWN.address, port: 6385 }], socket, auth: { strategy: 'noauth' } },
  agent: { address: OWN.address, port: 6386 },
  boot: {
    interfaces: [{ name: 'lo', address: OWN.address }],
    http: { address: OWN.address, port: 8080 },
    tftp: OWN.address,
    subnets: [{ ...SUBNET, serverIp: OWN.address }],
    loaders: join(dir, 'loaders'),
    kernel: join(dir, 'kernel'),
    initrd: join(dir, 'initrd'),
  },
})
