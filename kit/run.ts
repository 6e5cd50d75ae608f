/** Child processes: argv only, never a shell; an own process group that is ended as a whole (TERM, then KILL); outputs
 *  capped; a child that cannot be started is a fault, never the end of this process. Secrets go by `env` or `input`,
 *  never by argv. */
import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process'
import { PassThrough, Readable, type Writable } from 'node:stream'
import { Fault } from './fault.ts'

export interface RunOptions {
  readonly timeoutMs: number
  readonly input?: string | Buffer
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  readonly signal?: AbortSignal
  readonly maxBytes?: number
  /** Open files that become its standard input and output. */
  readonly stdinFd?: number
  readonly stdoutFd?: number
}

export interface RunResult {
  /** Exit status, or null when a signal ended it. */
  readonly code: number | null
  readonly stdout: string
  readonly stderr: string
}

export type Run = (argv: readonly string[], options: RunOptions) => Promise<RunResult>

const KILL_AFTER_MS = 500
/** For programs that have something to put in order. */
const KILL_ALL_AFTER_MS = 5_000
const MAX_BYTES = 16 * 1024 * 1024
/** What a filter says on its standard error is kept for messages. */
const MAX_SAID = 2_000
/** Nothing is left to start a child with; later there may be. */
const STARVED = new Set(['EMFILE', 'ENFILE', 'ENOMEM', 'EAGAIN'])
const groups = new Set<number>()
process.on('exit', () => {
  // TERM and not KILL: mmdebstrap has mounts to take down, and there is no time here to wait for it.
  for (const pid of groups) signalGroup(pid, 'SIGTERM')
})

let isEnding = false
/** Ends all children, and starts no more: whoever waits for one hears that it failed, and can clean up. */
export function endChildren(): void {
  isEnding = true
  for (const pid of groups) endGroup(pid, KILL_ALL_AFTER_MS)
}

/** Runs `argv` to its end. Throws `run.missing`, `run.resources` or `run.timeout`; any exit status is an answer. */
export const run: Run = async (argv, options) => {
  const started = start(argv, {
    stdio: [options.stdinFd ?? (options.input === undefined ? 'ignore' : 'pipe'), options.stdoutFd ?? 'pipe', 'pipe'],
    env: { ...process.env, ...options.env },
    ...(options.cwd ? { cwd: options.cwd } : {}),
  })
  let timedOut = false
  const timer = setTimeout(() => {
    timedOut = true
    started.end()
  }, options.timeoutMs)
  options.signal?.addEventListener('abort', started.end, { once: true })
  if (options.signal?.aborted) started.end()
  try {
    const { child } = started
    const said = [child?.stdout, child?.stderr].map((stream) =>
      collect(stream, { maxBytes: options.maxBytes ?? MAX_BYTES, onFull: started.end }),
    )
    child?.stdin?.end(options.input)
    const code = await started.over
    if (timedOut) throw new Fault('run.timeout', `${argv[0]} did not end within ${options.timeoutMs} ms`)
    options.signal?.throwIfAborted()
    const [stdout = '', stderr = ''] = said.map((text) => text())
    return { code, stdout, stderr }
  } finally {
    clearTimeout(timer)
    options.signal?.removeEventListener('abort', started.end)
  }
}

/** Like `run`, but a status other than 0 throws `run.failed` with the end of what the program said. */
export const runOk = (argv: readonly string[], options: RunOptions): Promise<string> => runOkWith(run, argv, options)

/** The same with a runner that was handed in. */
export const runOkWith = async (runner: Run, argv: readonly string[], options: RunOptions): Promise<string> => {
  const { code, stdout, stderr } = await runner(argv, options)
  if (code !== 0)
    throw new Fault(
      'run.failed',
      `${argv[0]} ended with ${code ?? 'a signal'}: ${(stderr || stdout).trim().slice(-2000)}`,
    )
  return stdout
}

export interface Piped {
  readonly stdin: NodeJS.WritableStream
  readonly stdout: NodeJS.ReadableStream
  /** Resolves at a clean end; rejects with `run.failed`. */
  readonly done: Promise<void>
  /** Asks it to end: by TERM, where a program has no better way. */
  end(): void
  /** KILL. */
  stop(): void
}

/** A filter whose input is a stream and whose output goes straight into an open file, without passing through us. */
export function pipedToFile(argv: readonly string[], outputFd: number): Omit<Piped, 'stdout' | 'end'> {
  const made = filter(argv, { stdio: ['pipe', outputFd, 'pipe'] })
  return { stdin: made.stdin, done: made.done, stop: () => made.stop() }
}

/** A filter whose input is an open file. */
export function pipedFromFile(argv: readonly string[], inputFd: number): Omit<Piped, 'stdin' | 'end'> {
  const made = filter(argv, { stdio: [inputFd, 'pipe', 'pipe'] })
  return { stdout: made.stdout, done: made.done, stop: () => made.stop() }
}

/** A child whose standard input and output are streams, for filters such as `zstd -dc`. `fds`: open files of ours that
 *  it gets as its descriptors from 3 on. */
export const piped = (argv: readonly string[], env?: Record<string, string>, fds: readonly number[] = []): Piped =>
  filter(argv, { stdio: ['pipe', 'pipe', 'pipe', ...fds], env: { ...process.env, ...env } })

/** Starts a program that outlives us, with our standard error as its output. Answers its pid; undefined: it could not
 *  be started. */
export function launch(argv: readonly string[]): number | undefined {
  const { child, over } = start(argv, { stdio: ['ignore', 'inherit', 'inherit'] }, { outlives: true })
  over.catch(() => undefined)
  child?.unref()
  return child?.pid
}

/** Whether a process of ours, or one that we may signal, exists. */
export function isRunning(pid: number | undefined): boolean {
  if (pid === undefined) return false
  try {
    return process.kill(pid, 0)
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

interface How {
  readonly stdio: StdioOptions
  readonly env?: NodeJS.ProcessEnv
  readonly cwd?: string
}

interface Started {
  /** Undefined, or without streams: it could not be started. */
  readonly child: ChildProcess | undefined
  /** Its exit status, or null after a signal, once its outputs are closed too. Rejects when it could not be started. */
  readonly over: Promise<number | null>
  /** TERM, and KILL a moment later. */
  readonly end: () => void
}

function start(argv: readonly string[], how: How, { outlives = false } = {}): Started {
  const [program = '', ...words] = argv
  if (isEnding) return { child: undefined, over: Promise.reject(interrupted(program)), end: () => undefined }
  let child: ChildProcess
  try {
    child = spawn(program, words, { ...how, detached: true })
  } catch (error) {
    return { child: undefined, over: Promise.reject(notStarted(program, error)), end: () => undefined }
  }
  // Before anything else: without a listener the failure of a child would be the end of this process.
  const over = new Promise<number | null>((resolve, reject) => {
    child.on('error', (error) => reject(notStarted(program, error)))
    child.once('close', resolve)
  })
  child.stdin?.on('error', () => undefined)
  const { pid } = child
  if (pid === undefined) return { child, over, end: () => undefined }
  if (!outlives) {
    groups.add(pid)
    child.once('close', () => groups.delete(pid))
  }
  return { child, over, end: () => endGroup(pid, KILL_AFTER_MS) }
}

const interrupted = (program: string): Fault =>
  new Fault('run.failed', `${program} is not started: this program was told to end`)

function endGroup(pid: number, killAfterMs: number): void {
  signalGroup(pid, 'SIGTERM')
  setTimeout(() => signalGroup(pid, 'SIGKILL'), killAfterMs).unref()
}

function notStarted(program: string, error: unknown): Fault {
  const code = String((error as NodeJS.ErrnoException).code ?? '')
  if (STARVED.has(code)) return new Fault('run.resources', `cannot start ${program} (${code})`, { cause: error })
  if (code === 'ENOENT' || code === 'EACCES') return new Fault('run.missing', `cannot run ${program}`, { cause: error })
  return new Fault('run.failed', `cannot run ${program} (${code || (error as Error).message})`, { cause: error })
}

function filter(argv: readonly string[], how: How): Piped {
  const { child, over } = start(argv, how)
  const said = collect(child?.stderr, { maxBytes: MAX_SAID, onFull: () => undefined })
  const done = over.then((code) => {
    if (code !== 0) throw new Fault('run.failed', `${argv[0]} ended with ${code ?? 'a signal'}: ${said().trim()}`)
  })
  done.catch(() => undefined)
  const signal = (name: NodeJS.Signals) => () =>
    void (child?.pid !== undefined && groups.has(child.pid) && signalGroup(child.pid, name))
  // What could not be started swallows its input and says nothing; `done` tells why.
  return {
    stdin: child?.stdin ?? swallow(),
    stdout: child?.stdout ?? Readable.from([]),
    done,
    end: signal('SIGTERM'),
    stop: signal('SIGKILL'),
  }
}

function swallow(): Writable {
  const stream = new PassThrough()
  stream.resume()
  return stream
}

/** The text of a stream so far, up to a limit; the rest is read and dropped. */
function collect(
  stream: Readable | null | undefined,
  { maxBytes, onFull }: { maxBytes: number; onFull: () => void },
): () => string {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  stream?.on('data', (chunk: Buffer) => {
    const wanted = chunk.subarray(0, maxBytes - sizeBytes)
    if (wanted.length > 0) chunks.push(wanted)
    sizeBytes += wanted.length
    if (wanted.length < chunk.length) onFull()
  })
  return () => Buffer.concat(chunks).toString()
}

function signalGroup(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(-pid, signal)
  } catch {
    // ESRCH: the group is gone already, which is what was wanted.
  }
}
