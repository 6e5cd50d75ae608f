/** A real API server, controller manager and scheduler of Kubernetes for the tests. Debian 12 has no package of them,
 *  but its source package of kubernetes holds all of it: it is fetched from the mirror that this machine's own apt
 *  sources name, built with Debian's Go, and kept in the cache. What was interrupted goes on where it was. */
import { spawnSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { isolatedApt } from './unpacked.mjs'

/** Newer suites have the client's sources alone. */
const SUITE = 'bookworm'
const PROGRAMS = ['kube-apiserver', 'kube-controller-manager', 'kube-scheduler']
const BUILD_BYTES = '2 GB'

/** Directory of the programs. Throws with what to do. */
export function ensureKubernetes(say = () => undefined) {
  const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'rackward')
  const root = join(cache, 'kubernetes')
  if (isWhole(root)) return root
  const work = join(cache, 'kubernetes-build')
  say(`Kubernetes is built from the sources of Debian ${SUITE} (5 to 30 minutes, ${BUILD_BYTES} meanwhile, once)`)
  mkdirSync(work, { recursive: true })
  const source = sources(work, say)
  const env = environment(work)
  const go = (what, ...args) => {
    say(`  ${what}`)
    if (spawnSync('go', args, { cwd: source, env, stdio: ['ignore', 2, 2] }).status !== 0)
      throw new Error(`go ${args[0]} failed for ${what}: its message stands above; what was built so far is kept`)
  }
  openApi(source, { work, env, go })
  const stamp = versionFlags(source)
  // One after the other: together, they need more memory than small machines have.
  for (const name of PROGRAMS)
    if (!existsSync(join(work, 'done', name))) {
      go(name, 'build', '-trimpath', '-ldflags', `-s -w ${stamp}`, '-o', `${join(work, 'bin')}/`, `./cmd/${name}`)
      mkdirSync(join(work, 'done'), { recursive: true })
      renameSync(join(work, 'bin', name), join(work, 'done', name))
    }
  rmSync(root, { recursive: true, force: true })
  renameSync(join(work, 'done'), root)
  // Go makes its module cache read-only; there is none here, but sources come as their package has them.
  spawnSync('chmod', ['-R', 'u+w', work])
  rmSync(work, { recursive: true, force: true })
  return root
}

const isWhole = (root) => PROGRAMS.every((name) => existsSync(join(root, name)))

/** Where the programs, and what the API server answers, have their version. */
const VERSIONS = ['component-base/version', 'client-go/pkg/version']

/** Clients ask the API server which version it is: the linker writes it in, as Kubernetes' own build does. */
function versionFlags(source) {
  const [first] = readFileSync(join(source, 'debian/changelog'), 'utf8').split('\n')
  const found = /(?:really|\()(\d+)\.(\d+)\.(\d+)-/.exec(first)
  if (!found) throw new Error(`debian/changelog of Kubernetes names no version: ${first}`)
  const [, major, minor, patch] = found
  const values = { gitMajor: major, gitMinor: minor, gitVersion: `v${major}.${minor}.${patch}` }
  return Object.entries(values)
    .flatMap(([name, value]) => VERSIONS.map((at) => `-X k8s.io/kubernetes/vendor/k8s.io/${at}.${name}=${value}`))
    .join(' ')
}

/** GOPATH mode: all that is needed stands in `vendor`, and nothing is fetched. */
function environment(work) {
  mkdirSync(join(work, 'tmp'), { recursive: true })
  return {
    ...process.env,
    GOPATH: work,
    GO111MODULE: 'off',
    CGO_ENABLED: '0',
    GOFLAGS: '',
    GOPROXY: 'off',
    GOTOOLCHAIN: 'local',
    GOCACHE: join(work, 'gocache'),
    GOTMPDIR: join(work, 'tmp'),
  }
}

/** The unpacked sources, where GOPATH mode looks for them. */
function sources(work, say) {
  const source = join(work, 'src/k8s.io/kubernetes')
  if (existsSync(join(source, 'cmd/kube-apiserver'))) return source
  const fetched = join(work, 'fetched')
  rmSync(fetched, { recursive: true, force: true })
  mkdirSync(fetched, { recursive: true })
  say(`  fetching its sources (35 MB)`)
  const apt = isolatedApt(fetched, 'deb-src', SUITE)
  if (!apt('update') || !apt('source', '--download-only', 'kubernetes'))
    throw new Error(`the sources of Kubernetes could not be fetched from Debian ${SUITE}: apt's message stands above`)
  const dsc = readdirSync(fetched).find((name) => name.endsWith('.dsc'))
  const options = { cwd: fetched, stdio: ['ignore', 'ignore', 2] }
  // apt has checked the sums by the signature of the archive.
  if (!dsc || spawnSync('dpkg-source', ['--no-check', '-x', dsc, 'tree'], options).status !== 0)
    throw new Error(`the sources of Kubernetes could not be unpacked in ${fetched}`)
  mkdirSync(join(work, 'src/k8s.io'), { recursive: true })
  renameSync(join(fetched, 'tree'), source)
  rmSync(fetched, { recursive: true })
  return source
}

/** The one generated file that the package lacks: what the API server serves as its own description. */
function openApi(source, { work, env, go }) {
  const out = join(source, 'pkg/generated/openapi/zz_generated.openapi.go')
  if (existsSync(out)) return
  const generator = join(work, 'bin/openapi-gen')
  // Without -trimpath: it finds the sources of Go's own packages by the path that it was built with.
  go('openapi-gen', 'build', '-o', generator, './vendor/k8s.io/kube-openapi/cmd/openapi-gen')
  const header = 'hack/boilerplate/boilerplate.generatego.txt'
  const args = ['--logtostderr', '-i', described(source).join(','), '-p', 'k8s.io/kubernetes/pkg/generated/openapi']
  args.push('-O', 'zz_unfinished.openapi', '-h', header, '-r', join(work, 'tmp/violations'))
  const result = spawnSync(generator, args, { cwd: source, env, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
  const made = join(source, 'pkg/generated/openapi/zz_unfinished.openapi.go')
  if (result.status !== 0 || !existsSync(made))
    throw new Error(`openapi-gen failed: ${result.stderr?.split('\n').slice(-5).join('\n')}`)
  chmodSync(made, 0o644)
  renameSync(made, out)
}

/** Packages that ask for a description of their types, by the path that Go imports them under. */
function described(source) {
  const found = new Set()
  const walk = (dir) => {
    for (const entry of readdirSync(join(source, dir), { withFileTypes: true })) {
      const path = `${dir}/${entry.name}`
      if (entry.isDirectory()) {
        if (!/^(testdata|code-generator|sample-apiserver)$/.test(entry.name)) walk(path)
      } else if (
        entry.name.endsWith('.go') &&
        /^\/\/ *\+k8s:openapi-gen=/m.test(readFileSync(join(source, path), 'utf8'))
      )
        found.add(`k8s.io/kubernetes/${dir.replace(/^staging\/src\//, 'vendor/')}`)
    }
  }
  for (const dir of ['cmd', 'pkg', 'plugin', 'staging']) walk(dir)
  return [...found].sort()
}
