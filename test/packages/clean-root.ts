/** A clean Debian with systemd in a namespace container: what is installed there gets no help from this machine. */
import { spawn, type ChildProcess } from 'node:child_process'
import { openSync } from 'node:fs'
import { cp, mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { defaultCache } from '../../cli/image.ts'
import { cached, cacheKey } from '../../images/recipes/cache.ts'
import { debootstrap } from '../../images/recipes/apt.ts'
import { until } from '../../kit/clock.ts'
import { run, runOk } from '../../kit/run.ts'
import { endProcess } from '../lab/rack.ts'

const SUITE = 'bookworm'
/** Debian, systemd, and what the packages depend on: there is no network in the container. */
const PACKAGES = [
  'systemd-sysv',
  'dbus',
  'udev',
  'iproute2',
  'ipmitool',
  'freeipmi-tools',
  'ipxe',
  'zstd',
  'openssl',
  'init-system-helpers',
  'curl',
] as const

export class CleanRoot {
  readonly dir: string
  private readonly child: ChildProcess
  private pid = 0

  private constructor(dir: string, child: ChildProcess) {
    this.dir = dir
    this.child = child
  }

  static async boot(say: (line: string) => void): Promise<CleanRoot> {
    const { path } = await cached(
      { root: defaultCache(), name: 'clean-root', key: cacheKey([SUITE, ...PACKAGES]) },
      (scratch) =>
        debootstrap({ suite: SUITE, variant: 'minbase', packages: PACKAGES, target: join(scratch, 'root'), say }),
    )
    const dir = await mkdtemp(join(tmpdir(), 'rackward-root-'))
    await mkdir(join(dir, 'root'))
    await runOk(['cp', '-a', '--reflink=auto', `${join(path, 'root')}/.`, join(dir, 'root')], { timeoutMs: 120_000 })
    // No registration: there is no systemd on this machine that could be asked. No network but its own loopback.
    const argv = [
      '--quiet',
      '--directory',
      join(dir, 'root'),
      '--boot',
      '--register=no',
      `--machine=rackward-${process.pid}`,
      '--keep-unit',
      '--private-network',
      '--kill-signal=SIGRTMIN+3',
      '--console=pipe',
    ]
    const child = spawn('systemd-nspawn', argv, {
      stdio: ['ignore', openSync(join(dir, 'nspawn.log'), 'w'), 'inherit'],
      detached: true,
    })
    const root = new CleanRoot(dir, child)
    await root.ready().catch(async (error: Error) => {
      const log = await readFile(join(dir, 'nspawn.log'), 'utf8').catch(() => '')
      await root.end()
      throw new Error(`${error.message}: ${log.slice(-1_500)}`)
    })
    return root
  }

  private async ready(): Promise<void> {
    this.pid = await until(
      async () => {
        const children = await readFile(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8').catch(
          () => '',
        )
        return Number(children.trim().split(' ')[0]) || undefined
      },
      { what: 'the container', timeoutMs: 20_000 },
    )
    await until(async () => /^(running|degraded)/.test((await this.try('systemctl is-system-running')).stdout), {
      what: 'its systemd',
      timeoutMs: 60_000,
      everyMs: 200,
    })
  }

  try = (script: string) => run(this.inside(script), { timeoutMs: 90_000 })
  sh = (script: string) => runOk(this.inside(script), { timeoutMs: 90_000 })
  put = (from: string, to: string) => cp(from, join(this.dir, 'root', to))

  private inside(script: string): string[] {
    const path = 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
    return [
      'nsenter',
      '-t',
      String(this.pid),
      '-m',
      '-u',
      '-i',
      '-n',
      '-p',
      '-r',
      '-w',
      'env',
      '-i',
      path,
      'HOME=/root',
      'sh',
      '-c',
      script,
    ]
  }

  async end(): Promise<void> {
    if (this.pid > 0) await run(['kill', '-RTMIN+4', String(this.pid)], { timeoutMs: 5_000 }).catch(() => undefined)
    const ended = () => this.child.exitCode !== null || this.child.signalCode !== null
    await until(ended, { what: 'the container to end', timeoutMs: 20_000 }).catch(() => {
      for (const pid of [this.pid, this.child.pid ?? 0]) if (pid > 0) endProcess(pid, 'SIGKILL')
    })
    await rm(this.dir, { recursive: true, force: true })
  }
}
