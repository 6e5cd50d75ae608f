/** The conductor under soak: started as a user would start it, killed, stopped and continued as nobody would. */
import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, type WriteStream } from 'node:fs'
import { readdir, readFile } from 'node:fs/promises'
import { until } from '../../kit/clock.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const START_MS = 60_000
/** Open files that it may have: what a flood takes must be felt. */
const DESCRIPTORS = 4096

export class Conductor {
  private readonly configFile: string
  private readonly base: string
  private readonly log: WriteStream
  private child: ChildProcess | undefined
  /** Ends that nobody asked for. */
  readonly crashes: string[] = []
  kills = 0
  private expected = false

  constructor(configFile: string, base: string, logFile: string) {
    this.configFile = configFile
    this.base = base
    this.log = createWriteStream(logFile, { flags: 'a' })
  }

  async start(): Promise<void> {
    const argv = [
      `--nofile=${DESCRIPTORS}:${DESCRIPTORS}`,
      process.execPath,
      '--enable-source-maps',
      RACKWARD_MAIN,
      'conductor',
      '--config',
      this.configFile,
    ]
    const child = spawn('prlimit', argv, { stdio: ['ignore', 'pipe', 'pipe'] })
    child.stdout.pipe(this.log, { end: false })
    child.stderr.pipe(this.log, { end: false })
    child.once('exit', (code, signal) => {
      if (!this.expected) this.crashes.push(`the conductor ended by itself (${signal ?? code})`)
    })
    this.child = child
    this.expected = false
    await until(() => this.healthy(), { what: 'the conductor to answer', timeoutMs: START_MS, everyMs: 50 })
  }

  healthy = (): Promise<boolean> =>
    fetch(`${this.base}/healthz`).then(
      (answer) => answer.ok,
      () => false,
    )

  get alive(): boolean {
    return this.child !== undefined && this.child.exitCode === null && this.child.signalCode === null
  }

  get pid(): number {
    return this.child?.pid ?? 0
  }

  signal(name: NodeJS.Signals): void {
    this.child?.kill(name)
  }

  /** kill -9, and a new one on the same data. Seconds until it answers. */
  async killAndRestart(): Promise<number> {
    await this.end('SIGKILL')
    this.kills += 1
    const startMs = performance.now()
    await this.start()
    return (performance.now() - startMs) / 1000
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.expected = true
    if (!this.child || !this.alive) return
    const gone = once(this.child, 'exit')
    this.child.kill(signal)
    await gone
  }

  async use(): Promise<{ memoryBytes: number; descriptors: number }> {
    const status = await readFile(`/proc/${this.pid}/status`, 'utf8')
    return {
      memoryBytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) * 1024,
      descriptors: (await readdir(`/proc/${this.pid}/fd`)).length,
    }
  }
}
