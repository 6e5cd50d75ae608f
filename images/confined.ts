/** Programs that open what strangers made: with nothing of the environment, without privileges and without a network
 *  where they can be taken away, and with limits on memory, time and output. Files come as open descriptors, so they
 *  need no path. */
import { Fault, isFault } from '../kit/fault.ts'
import { pipedFromFile, run, runOk } from '../kit/run.ts'

export interface Confines {
  readonly timeoutMs: number
  /** Largest file that it may write. */
  readonly mostBytes?: number | undefined
}

/** nobody and nogroup of Debian. */
export const NOBODY = 65_534
const MEMORY_BYTES = 2 * 1024 ** 3
const MAX_FILES = 64
const PATH = 'PATH=/usr/sbin:/usr/bin:/sbin:/bin'
const PROBE_MS = 10_000

/** Whether files must be given to `NOBODY`: only root can be somebody else. */
export const changesUser = (): boolean => process.getuid?.() === 0

let alone: Promise<readonly string[]> | undefined
/** Not every container or service lets a program have a network of its own. */
const withoutNetwork = (): Promise<readonly string[]> => {
  const words = ['unshare', ...(changesUser() ? [] : ['--user']), '--net', '--ipc', '--']
  alone ??= run([...words, 'true'], { timeoutMs: PROBE_MS }).then(
    ({ code }) => (code === 0 ? words : []),
    (error: unknown) => {
      alone = undefined
      if (isFault(error, 'run.missing')) throw notInstalled('unshare')
      return []
    },
  )
  return alone
}

/** Debian's packages of the programs that stand in such commands. */
const PACKAGES: Readonly<Record<string, string>> = {
  prlimit: 'util-linux',
  setpriv: 'util-linux',
  unshare: 'util-linux',
  gzip: 'gzip',
  xz: 'xz-utils',
  zstd: 'zstd',
  'qemu-img': 'qemu-utils',
}
/** What env, prlimit, unshare and setpriv say of a program that they do not find, with the exit status 127. */
const NOT_FOUND =
  /ended with 127: (?:env|prlimit|unshare|setpriv): (?:failed to execute )?['‘]?([\w-]+)['’]?: No such file/

const notInstalled = (program: string, cause?: unknown): Fault =>
  new Fault('run.missing', `${program} is not installed: install the package ${PACKAGES[program] ?? program}`, {
    cause,
  })

/** Who is not root already has no more to give up than what a service manager gave it (ambient capabilities). */
export const unprivileged = (isRoot: boolean): readonly string[] => [
  'setpriv',
  '--no-new-privs',
  '--inh-caps=-all',
  '--ambient-caps=-all',
  ...(isRoot ? [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--bounding-set=-all'] : []),
  '--',
]

/** The words that come before a program. */
export async function confined(argv: readonly string[], { timeoutMs, mostBytes }: Confines): Promise<string[]> {
  const seconds = Math.ceil(timeoutMs / 1000)
  const size = mostBytes === undefined ? [] : [`--fsize=${mostBytes}`]
  const limits = [`--as=${MEMORY_BYTES}`, `--cpu=${seconds}`, `--nofile=${MAX_FILES}`, '--core=0', ...size]
  const clean = ['env', '-i', PATH, 'LC_ALL=C.UTF-8']
  return [...clean, 'prlimit', ...limits, ...(await withoutNetwork()), ...unprivileged(changesUser()), ...argv]
}

/** Answers what it prints. Throws `image.format` where it fails. */
export async function runConfined(
  argv: readonly string[],
  opts: Confines & { readonly stdinFd: number; readonly stdoutFd?: number; readonly signal: AbortSignal },
): Promise<string> {
  const { timeoutMs, stdinFd, stdoutFd, signal } = opts
  const more = stdoutFd === undefined ? {} : { stdoutFd }
  return runOk(await confined(argv, opts), { timeoutMs, signal, stdinFd, ...more }).catch((error: unknown) => {
    throw asFormat(error, argv)
  })
}

/** Its output, piece by piece; the reader ends it by leaving. */
export async function* readConfined(
  argv: readonly string[],
  opts: Confines & { readonly stdinFd: number; readonly signal: AbortSignal },
): AsyncGenerator<Buffer> {
  const child = pipedFromFile(await confined(argv, opts), opts.stdinFd)
  const onAbort = () => child.stop()
  opts.signal.addEventListener('abort', onAbort, { once: true })
  try {
    opts.signal.throwIfAborted()
    for await (const chunk of child.stdout) yield chunk as Buffer
    opts.signal.throwIfAborted()
    await child.done.catch((error: unknown) => {
      throw asFormat(error, argv)
    })
  } finally {
    opts.signal.removeEventListener('abort', onAbort)
    child.stop()
  }
}

/** What a failure of a confined program means: a program that is not there, or an image that it does not read. */
export function asFormat(error: unknown, [program]: readonly string[]): unknown {
  if (!isFault(error, 'run.failed') && !isFault(error, 'run.timeout')) return error
  const [, missing] = NOT_FOUND.exec(error.detail) ?? []
  if (missing !== undefined && Object.hasOwn(PACKAGES, missing)) return notInstalled(missing, error)
  return new Fault('image.format', `${program} cannot read the image: ${reason(error.detail)}`, { cause: error })
}

/** Without the words that confine it. */
const reason = (detail: string): string => detail.replace(/^env ended with/, 'it ended with')
