/** Where Debian packages come from: the machine's own apt configuration, so that a local mirror is used wherever one is
 *  set. */
import { runOk } from '../../kit/run.ts'
import { Fault } from '../../kit/fault.ts'

const MINUTE_MS = 60_000
/** What a program mounts ends with it, however it ends, and is seen by nobody else. */
const OWN_MOUNTS = ['unshare', '--mount', '--propagation', 'private']

/** One-line apt sources for `suite` (and its updates and security suites where the machine has them), component
 *  main. */
export async function machineSources(suite: string): Promise<string[]> {
  const format = '$(REPO_URI)|$(SUITE)|$(CODENAME)|$(COMPONENT)|$(ORIGIN)|$(RELEASE)'
  const text = await runOk(['apt-get', 'indextargets', '--format', format, 'Created-By: Packages'], {
    timeoutMs: MINUTE_MS,
  })
  const lines = new Set<string>()
  for (const line of text.split('\n')) {
    const [uri, , codename, component, origin, release] = line.split('|')
    if (origin !== 'Debian' || component !== 'main' || !codename?.startsWith(suite)) continue
    lines.add(`deb ${uri} ${release ?? codename} main`)
  }
  if (lines.size === 0)
    throw new Fault(
      'input.missing',
      `apt has no sources of Debian ${suite}: run apt-get update, or add them to /etc/apt/sources.list`,
    )
  return [...lines]
}

/** The machine's own sources of `suite`; where it has none, those of its own Debian with the suite's name in them. */
export async function sourcesOf(suite: string): Promise<string[]> {
  const own = await machineSources(suite).catch(() => [])
  if (own.length > 0) return own
  const [line = ''] = await machineSources('')
  const [, uri = ''] = line.split(' ')
  return [`deb ${uri} ${suite} main`]
}

/** Builds a tree of Debian packages. `variant`: `extract` unpacks and runs nothing; `minbase` installs a system. */
export async function debootstrap(opts: {
  suite: string
  variant: 'extract' | 'minbase'
  packages: readonly string[]
  /** Debian's name; otherwise this machine's own. `minbase` runs programs of it. */
  architecture?: 'amd64' | 'arm64'
  target: string
  hooks?: readonly string[]
  /** Run before anything is unpacked, with the tree as $1. */
  setupHooks?: readonly string[]
  /** One-line apt sources; otherwise the machine's own for this suite. */
  sources?: readonly string[]
  say: (line: string) => void
}): Promise<void> {
  const sources = opts.sources ?? (await machineSources(opts.suite))
  opts.say(`unpacking Debian ${opts.suite}: ${opts.packages.length} packages and what they need`)
  await runOk(
    [
      ...(opts.variant === 'minbase' ? OWN_MOUNTS : []),
      'mmdebstrap',
      '--quiet',
      '--mode=root',
      `--variant=${opts.variant}`,
      ...(opts.architecture ? [`--architectures=${opts.architecture}`] : []),
      `--include=${opts.packages.join(',')}`,
      '--aptopt=Acquire::Retries "3"',
      '--aptopt=Acquire::Languages "none"',
      '--dpkgopt=path-exclude=/usr/share/doc/*',
      '--dpkgopt=path-exclude=/usr/share/man/*',
      '--dpkgopt=path-exclude=/usr/share/locale/*',
      '--skip=check/empty',
      ...(opts.setupHooks ?? []).map((hook) => `--setup-hook=${hook}`),
      ...(opts.hooks ?? []).map((hook) => `--customize-hook=${hook}`),
      opts.suite,
      opts.target,
      ...sources,
    ],
    // A system of another architecture is emulated, which takes several times as long.
    { timeoutMs: (opts.variant === 'minbase' ? 60 : 20) * MINUTE_MS },
  )
}
