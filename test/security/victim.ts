/** A real conductor process for attacks over real sockets: compiled program, configuration file, own data directory,
 *  own port. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, readFileSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { stringify } from 'yaml'
import { until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { call, type Answer } from '../conductor/client.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

export interface VictimOptions {
  /** User -> role and project; without it there is no authentication. The password of each is its name with "-password"
   *  behind it. */
  readonly users?: Readonly<Record<string, { role: 'reader' | 'operator' | 'admin'; project?: string }>>
  /** Cost of the passwords' hashes: 4 by default, which is no cost. */
  readonly rounds?: number
  /** Laid over the configuration at its top level. */
  readonly config?: Readonly<Record<string, unknown>>
  /** Network namespace to run in. */
  readonly namespace?: string
  /** Address of the API there; 127.0.0.1 otherwise. */
  readonly address?: string
  readonly env?: Readonly<Record<string, string>>
  /** Of another release. */
  readonly program?: string
  /** Limit of open files (RLIMIT_NOFILE). */
  readonly descriptors?: number
  /** How long it may take until it answers: a minute by default. */
  readonly startsMs?: number
}

const BCRYPT_ROUNDS = 4
/** On a machine whose cores are busy with other things. */
const START_MS = 60_000

export class Victim {
  readonly dir: string
  readonly base: string
  private readonly options: VictimOptions
  private child: ChildProcess | undefined

  private constructor(dir: string, base: string, options: VictimOptions) {
    this.dir = dir
    this.base = base
    this.options = options
  }

  static async start(options: VictimOptions = {}): Promise<Victim> {
    const dir = await mkdtemp(join(tmpdir(), 'rackward-victim-'))
    const address = options.address ?? '127.0.0.1'
    const port = options.namespace ? 6385 : await freePort()
    await mkdir(join(dir, 'data'), { mode: 0o700 })
    const lines = await Promise.all(
      Object.keys(options.users ?? {}).map(
        async (user) => `${user}:${await bcrypt.hash(`${user}-password`, options.rounds ?? BCRYPT_ROUNDS)}\n`,
      ),
    )
    await writeFile(join(dir, 'htpasswd'), lines.join(''), { mode: 0o600 })
    const auth = options.users
      ? { strategy: 'http_basic', file: join(dir, 'htpasswd'), users: options.users }
      : { strategy: 'noauth' }
    const config = {
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [{ address, port }], auth },
      fake: { delaySeconds: 0.01 },
      ...options.config,
    }
    await writeFile(join(dir, 'conductor.yaml'), stringify(config))
    const victim = new Victim(dir, `http://${address}:${port}`, options)
    try {
      await victim.restart()
      return victim
    } catch (error) {
      // Nobody has it yet who could remove it.
      await victim.end('SIGKILL')
      await victim.remove()
      throw error
    }
  }

  /** Starts the process (again) on the same data, and waits until it answers. Rejects when it ends instead, or does not
   *  answer in time. */
  async restart(otherwise: Pick<VictimOptions, 'descriptors'> = {}): Promise<void> {
    const { namespace, descriptors, env, program: main = RACKWARD_MAIN } = { ...this.options, ...otherwise }
    const argv = [
      process.execPath,
      '--enable-source-maps',
      '--inspect-port=127.0.0.1:0',
      main,
      'conductor',
      '--config',
      join(this.dir, 'conductor.yaml'),
    ]
    const limited = descriptors ? ['prlimit', `--nofile=${descriptors}:${descriptors}`, ...argv] : argv
    const [program = '', ...rest] = namespace ? ['ip', 'netns', 'exec', namespace, ...limited] : limited
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'], env: { ...process.env, ...env } })
    const log = createWriteStream(join(this.dir, 'conductor.log'), { flags: 'a' })
    child.stdout?.pipe(log, { end: false })
    child.stderr?.pipe(log, { end: false })
    this.child = child
    await until(
      async () => {
        if (!this.alive) throw new Error(`the conductor ended at once:\n${(await this.log()).slice(-2000)}`)
        return this.healthy()
      },
      { what: 'the conductor to answer', timeoutMs: this.options.startsMs ?? START_MS, everyMs: 50 },
    )
  }

  /** True while the process has not ended. */
  get alive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  get pid(): number {
    return this.child?.pid ?? 0
  }

  healthy = (): Promise<boolean> =>
    this.call('GET', '/healthz').then(
      (answer) => answer.status === 200,
      () => false,
    )

  /** A request as `user` (with its password), at the newest API version. */
  call(
    method: string,
    path: string,
    body?: unknown,
    options: { user?: string; headers?: Record<string, string> } = {},
  ): Promise<Answer> {
    const login = options.user === undefined ? {} : { authorization: basic(options.user) }
    return call(
      method,
      path,
      body,
      { 'OpenStack-API-Version': 'baremetal latest', ...login, ...options.headers },
      this.base,
    )
  }

  /** Resident memory in bytes. */
  async rssBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8')
    return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024
  }

  descriptors = async (): Promise<number> => (await readdir(`/proc/${this.pid}/fd`)).length
  log = (): Promise<string> => readFile(join(this.dir, 'conductor.log'), 'utf8').catch(() => '')

  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
    if (!this.alive || !this.child) return
    const gone = once(this.child, 'exit')
    this.child.kill(signal)
    await gone
  }

  /** Ends it and removes its files. */
  async remove(): Promise<void> {
    await this.end()
    await rm(this.dir, { recursive: true, force: true })
  }
}

export const basic = (user: string, password = `${user}-password`): string =>
  `Basic ${Buffer.from(`${user}:${password}`).toString('base64')}`

/** The longest that /healthz may be silent under an attack. What blocks the event loop takes far longer. */
export const MAX_SILENCE_MS = 4_000

/** How long the main thread of a process was ready to run so far, and other programs had the cores. */
const queuedMs = (pid: number): number => {
  try {
    return Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[1]) / 1e6
  } catch {
    // Ended, or a kernel that does not count it.
    return 0
  }
}

/** Asks /healthz one after the other until `stop()`, which answers the times in milliseconds, sorted: without what the
 *  machine, busy with other things, held up the conductor and the asker. */
export function healthWatch(victim: Victim): { stop(): Promise<number[]> } {
  const times: number[] = []
  let going = true
  const pids = [victim.pid, process.pid]
  const look = () => [performance.now(), ...pids.map(queuedMs)] as const
  const loop = (async () => {
    while (going) {
      const before = look()
      await victim.healthy()
      const [tookMs = 0, ...heldMs] = look().map((now, i) => now - (before[i] ?? 0))
      times.push(Math.max(0, tookMs - heldMs.reduce((sum, ms) => sum + Math.max(0, ms), 0)))
      await new Promise((resolve) => setImmediate(resolve))
    }
  })()
  return {
    async stop() {
      going = false
      await loop
      return times.toSorted((a, b) => a - b)
    },
  }
}

/** The p-th part of sorted values. */
export const quantile = (sorted: readonly number[], p: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * p))] ?? 0
