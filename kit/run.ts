/** Child processes: argv only, never a shell; an own process group that is ended as a whole (TERM, then KILL); outputs capped.
 *  execa's own timeout leaves grandchildren alive, hence the group. Secrets go by `env` or `input`, never by argv. */
import { spawn } from 'node:child_process'
import { execa } from 'execa'
import { Fault } from './fault.ts'

export interface RunOptions {
  readonly timeoutMs: number
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly signal?: AbortSignal
  readonly maxBytes?: number
}

export interface RunResult {
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export type Run = (argv: readonly string[], options: RunOptions) => Promise<RunResult>

const KILL_AFTER_MS = 500
const groups = new Set<number>()
process.on('exit', () => {
  // TERM and not KILL: mmdebstrap has mounts to take down, and there is no time here to wait for it.
  for (const pid of groups) signalGroup(pid, 'SIGTERM')
})

/** Runs `argv` to its end. Throws `run.missing` or `run.timeout`; any exit status is an answer. */
export const run: Run = async (argv, options) => {
  const child = start(argv, options)
  const result = await supervise(child, options)
  const missing = result.code === 'ENOENT' || result.code === 'EACCES'
  if (missing) throw new Fault('run.missing', `cannot run ${argv[0]}`, { cause: result.cause })
  if (result.timedOut) throw new Fault('run.timeout', `${argv[0]} did not end within ${options.timeoutMs} ms`)
  options.signal?.throwIfAborted()
  return { code: result.exitCode, stdout: result.stdout, stderr: result.stderr }
}

/** Like `run`, but a status other than 0 throws `run.failed` with the end of what the program said. */
export const runOk = (argv: readonly string[], options: RunOptions): Promise<string> => runOkWith(run, argv, options)

/** The same with a runner that was handed in. */
export const runOkWith = async (runner: Run, argv: readonly string[], options: RunOptions): Promise<string> => {
  const { code, stdout, stderr } = await runner(argv, options)
  if (code !== 0) throw new Fault('run.failed', `${argv[0]} ended with ${code ?? 'a signal'}: ${(stderr || stdout).trim().slice(-2000)}`)
  return stdout
}

export interface Piped {
  readonly stdin: NodeJS.WritableStream
  readonly stdout: NodeJS.ReadableStream
  /** Resolves at a clean end; rejects with `run.failed`. */
  readonly done: Promise<void>
  /** Asks it to end (TERM). */
  end(): void
  /** KILL. */
  stop(): void
}

/** A filter whose input is a stream and whose output goes straight into an open file, without passing through us. */
export function pipedToFile(argv: readonly string[], outputFd: number): Omit<Piped, 'stdout' | 'end'> {
  const child = spawn(argv[0] as string, argv.slice(1), { detached: true, stdio: ['pipe', outputFd, 'pipe'] })
  const pid = child.pid
  if (pid) groups.add(pid)
  let said = ''
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < 2000) said += chunk.toString()
  })
  const done = new Promise<void>((resolve, reject) => {
    child.once('error', (error) => reject(new Fault('run.missing', `cannot run ${argv[0]}`, { cause: error })))
    child.once('close', (code) => {
      if (pid) groups.delete(pid)
      if (code === 0) resolve()
      else reject(new Fault('run.failed', `${argv[0]} ended with ${code ?? 'a signal'}: ${said.trim()}`))
    })
  })
  done.catch(() => undefined)
  return { stdin: child.stdin as NodeJS.WritableStream, done, stop: () => void (pid && signalGroup(pid, 'SIGKILL')) }
}

/** A child whose standard input and output are streams, for filters such as `zstd -dc`. */
export function piped(argv: readonly string[], env?: Record<string, string>): Piped {
  const child = execa(argv[0] as string, argv.slice(1), {
    detached: true,
    reject: false,
    buffer: { stdout: false, stderr: true },
    encoding: 'buffer',
    stdin: 'pipe',
    maxBuffer: 64 * 1024,
    ...(env ? { env } : {}),
  })
  if (child.pid) groups.add(child.pid)
  const stop = () => child.pid && signalGroup(child.pid, 'SIGKILL')
  const end = () => child.pid && signalGroup(child.pid, 'SIGTERM')
  const done = child.then((result) => {
    if (child.pid) groups.delete(child.pid)
    if (result.failed) throw new Fault('run.failed', `${argv[0]}: ${Buffer.from(result.stderr).toString().trim() || result.shortMessage}`)
  })
  done.catch(() => undefined)
  return { stdin: child.stdin, stdout: child.stdout, done, end, stop }
}

/** Starts a program that outlives us, with our standard error as its output. Answers its pid. */
export function launch(argv: readonly string[]): number | undefined {
  const child = execa(argv[0] as string, argv.slice(1), {
    detached: true,
    reject: false,
    cleanup: false,
    stdin: 'ignore',
    stdout: 'inherit',
    stderr: 'inherit',
    buffer: false,
  })
  child.unref()
  child.catch(() => undefined)
  return child.pid
}

function start(argv: readonly string[], options: RunOptions) {
  return execa(argv[0] as string, argv.slice(1), {
    detached: true,
    reject: false,
    stripFinalNewline: false,
    cleanup: false,
    maxBuffer: options.maxBytes ?? 16 * 1024 * 1024,
    env: options.env ?? {},
    ...(options.cwd ? { cwd: options.cwd } : {}),
    ...(options.input === undefined ? { stdin: 'ignore' as const } : { input: options.input }),
  })
}

async function supervise(child: ReturnType<typeof start>, options: RunOptions) {
  let timedOut = false
  const pid = child.pid
  if (pid) groups.add(pid)
  const end = () => {
    if (!pid) return
    signalGroup(pid, 'SIGTERM')
    setTimeout(() => signalGroup(pid, 'SIGKILL'), KILL_AFTER_MS).unref()
  }
  const timer = setTimeout(() => {
    timedOut = true
    end()
  }, options.timeoutMs)
  options.signal?.addEventListener('abort', end, { once: true })
  const result = await child
  clearTimeout(timer)
  options.signal?.removeEventListener('abort', end)
  if (pid) groups.delete(pid)
  return {
    code: (result.cause as NodeJS.ErrnoException | undefined)?.code,
    cause: result.cause,
    timedOut,
    exitCode: result.exitCode ?? null,
    stdout: String(result.stdout ?? ''),
    stderr: String(result.stderr ?? ''),
  }
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // ESRCH: the group is gone already, which is what was wanted.
  }
}
