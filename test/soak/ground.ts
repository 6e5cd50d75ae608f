/** Where the soak runs: namespaces of its own for processes, mounts and networks, so that a full disk, a flood and a
 *  leftover process touch nothing else and end with it. */
import { spawn } from 'node:child_process'
import { mkdir, open, rm, statfs, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { stringify } from 'yaml'
import { runOk } from '../../kit/run.ts'

const STRANGERS = 'strangers'
const SERVER_IP = '10.99.0.1'
const STRANGER_IP = '10.99.0.200'
const DISK_MB = 1024
const RAMDISK_BYTES = 32 * 1024 * 1024
const TIMEOUT_MS = 30_000
const INSIDE = 'RACKWARD_SOAK_INSIDE'

/** Users of the soak; the password of each is its name with "-password" behind it. */
const USERS = {
  admin: { role: 'admin' },
  operator: { role: 'operator' },
  reader: { role: 'reader' },
  arbiter: { role: 'operator' },
  tenant: { role: 'operator', project: 'tenant' },
} as const

export const inside = (): boolean => process.env[INSIDE] !== undefined

/** Runs this program again in namespaces of its own. Answers its exit status. */
export function enter(argv: readonly string[]): Promise<number> {
  const unshare = ['--mount', '--net', '--pid', '--fork', '--kill-child', '--mount-proc', '--propagation', 'private']
  const child = spawn('unshare', [...unshare, process.execPath, '--enable-source-maps', ...argv], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  })
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill('SIGKILL'))
  return new Promise((resolve) => {
    child.once('exit', (code) => resolve(code ?? 1))
  })
}

export interface Ground {
  readonly configFile: string
  readonly dataDir: string
  readonly logFile: string
  readonly api: string
  readonly agents: { readonly host: string; readonly port: number }
  readonly boot: { readonly host: string; readonly httpPort: number }
  /** Words before a command that is to run where strangers are. */
  readonly asStranger: readonly string[]
}

/** Lays out network, disk and configuration. Everything but `dir` ends with the namespaces. */
export async function layOut(dir: string): Promise<Ground> {
  const ip = (...words: string[]) => runOk(['ip', ...words], { timeoutMs: TIMEOUT_MS })
  await mkdir('/run/netns', { recursive: true })
  await runOk(['mount', '-t', 'tmpfs', 'tmpfs', '/run/netns'], { timeoutMs: TIMEOUT_MS })
  // The links that /sys shows are those of the namespace that mounted it.
  await runOk(['mount', '-t', 'sysfs', 'sysfs', '/sys'], { timeoutMs: TIMEOUT_MS })
  await ip('link', 'set', 'lo', 'up')
  await ip('netns', 'add', STRANGERS)
  await ip('link', 'add', 'soak0', 'type', 'veth', 'peer', 'name', 'wire0', 'netns', STRANGERS)
  await ip('addr', 'add', `${SERVER_IP}/24`, 'dev', 'soak0')
  await ip('link', 'set', 'soak0', 'up')
  for (const words of [
    ['addr', 'add', `${STRANGER_IP}/24`, 'dev', 'wire0'],
    ['link', 'set', 'lo', 'up'],
    ['link', 'set', 'wire0', 'up'],
  ])
    await ip('-n', STRANGERS, ...words)

  const dataDir = join(dir, 'data')
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  await runOk(['mount', '-t', 'tmpfs', '-o', `size=${DISK_MB}m,mode=0700`, 'tmpfs', dataDir], { timeoutMs: TIMEOUT_MS })
  await writeFile(join(dir, 'ramdisk'), Buffer.alloc(RAMDISK_BYTES))
  const lines = await Promise.all(
    Object.keys(USERS).map(async (user) => `${user}:${await bcrypt.hash(`${user}-password`, 10)}\n`),
  )
  await writeFile(join(dir, 'htpasswd'), lines.join(''), { mode: 0o600 })
  const configFile = join(dir, 'conductor.yaml')
  await writeFile(configFile, stringify(configOf(dir)))
  return {
    configFile,
    dataDir,
    logFile: join(dir, 'conductor.log'),
    api: 'http://127.0.0.1:6385',
    agents: { host: SERVER_IP, port: 6386 },
    boot: { host: SERVER_IP, httpPort: 8080 },
    asStranger: ['ip', 'netns', 'exec', STRANGERS],
  }
}

const configOf = (dir: string) => ({
  data: join(dir, 'data'),
  images: { store: join(dir, 'images') },
  api: {
    listen: [{ address: '127.0.0.1', port: 6385 }],
    auth: { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: USERS },
  },
  agent: { address: SERVER_IP, port: 6386 },
  boot: {
    interfaces: [{ name: 'soak0', address: SERVER_IP }],
    http: { address: SERVER_IP, port: 8080 },
    tftp: SERVER_IP,
    subnets: [{ cidr: '10.99.0.0/24', serverIp: SERVER_IP, first: '10.99.0.10', last: '10.99.0.99' }],
    kernel: join(dir, 'ramdisk'),
    initrd: join(dir, 'ramdisk'),
  },
  fake: { delaySeconds: 0.05 },
})

/** A disk that has no room left, until `empty()`. */
export async function fillDisk(dataDir: string): Promise<{ empty(): Promise<void> }> {
  const path = join(dataDir, 'filler')
  const file = await open(path, 'w')
  const chunk = Buffer.alloc(1024 * 1024)
  try {
    for (;;) await file.write(chunk)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
  } finally {
    await file.close()
  }
  return { empty: () => rm(path) }
}

/** Bytes of the disk that are in use. */
export async function usedBytes(dataDir: string): Promise<number> {
  const { blocks, bfree, bsize } = await statfs(dataDir)
  return (blocks - bfree) * bsize
}
