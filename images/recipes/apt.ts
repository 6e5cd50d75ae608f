/** Where Debian packages come from: the machine's own apt configuration, so that a local mirror is used wherever one is
 *  set. */
import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runOk } from '../../kit/run.ts'
import { Fault } from '../../kit/fault.ts'

const APT_HELPER = '/usr/lib/apt/apt-helper'
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
  return own.length > 0 ? own : renamed(await machineSources(''), suite)
}

/** Sources of another suite from the same places, with its updates where these have them. */
export function renamed(lines: readonly string[], suite: string): string[] {
  const others = lines
    .map((line) => line.split(' '))
    .map(([deb, uri, name = '', ...rest]) => {
      const [, suffix = ''] = /^[a-z]+(|-updates|-security)$/.exec(name) ?? []
      return [deb, uri, `${suite}${suffix}`, ...rest].join(' ')
    })
  return [...new Set(others)]
}

/** When the newest of these sources was made, in seconds: what they hold does not change until they are made anew. */
export async function releasedAt(sources: readonly string[], workDir: string): Promise<number> {
  const times: number[] = []
  for (const [i, line] of sources.entries()) {
    const [, uri = '', suite = ''] = line.split(' ')
    const to = join(workDir, `InRelease-${i}`)
    // As apt fetches: through its proxies.
    await runOk([APT_HELPER, 'download-file', `${uri.replace(/\/*$/, '')}/dists/${suite}/InRelease`, to], {
      timeoutMs: MINUTE_MS,
    })
    times.push(releaseDate(await readFile(to, 'utf8')))
    await rm(to)
  }
  return Math.max(...times)
}

/** The field `Date` of a Release file, in seconds. */
export function releaseDate(text: string): number {
  const ms = Date.parse(/^Date:\s*(.+)$/m.exec(text)?.[1] ?? '')
  if (!Number.isFinite(ms)) throw new Fault('run.failed', 'the Release file of an apt source has no date')
  return Math.floor(ms / 1000)
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
  /** Whether the licences of the packages stay: what is handed on must have them. */
  licences?: boolean
  env?: Readonly<Record<string, string>>
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
      ...(opts.licences ? ['--dpkgopt=path-include=/usr/share/doc/*/copyright'] : []),
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
    { timeoutMs: (opts.variant === 'minbase' ? 60 : 20) * MINUTE_MS, ...(opts.env ? { env: opts.env } : {}) },
  )
}
