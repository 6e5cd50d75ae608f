/** What every verb does first, with nothing but Node.js: checks the version, installs npm and Debian packages that are
 *  missing (and says which and why, on standard error), compiles, and then runs the verb. Plain JavaScript, because it
 *  runs before there is a compiler. */
import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { ensureConsul } from './consul.mjs'
import { ensureKubernetes } from './kubernetes.mjs'
import { PACKAGES, RUNTIME } from './packages.mjs'
import { disableServices, withoutServices } from './services.mjs'
import { sourcesKey } from './sources.mjs'

const ROOT = join(dirname(fileURLToPath(import.meta.url)), '../..')
const ROOMS = ['kit', 'pxe', 'images', 'conductor', 'host-agent', 'cli', 'test']
/** Bundled for browsers, and not compiled with the others. */
const UI = 'web'
const LAB = 'dist/test/lab/main.js'
/** Verbs that use what Debian starts: libvirtd, and binfmt. */
const RUNS_SERVICES = new Set(['vagrant', 'vagrant-test', 'libvirt', 'arm64'])
const [verb = '', ...args] = process.argv.slice(2)
const say = (line) => process.stderr.write(`${line}\n`)

function fail(message) {
  say(`\nrackward: ${message}`)
  process.exit(1)
}

function run(command, argv, options = {}) {
  const result = spawnSync(command, argv, { cwd: ROOT, stdio: ['ignore', 2, 2], ...options })
  return result.status ?? 1
}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node.js ${process.versions.node} is too old: 20.19 or later is needed`)
}

function debianPackages() {
  // A benchmark with peers of its own needs nothing of the others.
  const word = ['--conductors', '--kubernetes'].find((one) => args.some((arg) => arg.startsWith(one))) ?? args[0]
  const wanted = PACKAGES[`${verb} ${word}`] ?? PACKAGES[verb] ?? []
  const missing = wanted.filter(
    ([name]) =>
      spawnSync('dpkg-query', ['-W', '-f', '${db:Status-Status}', name], { encoding: 'utf8' }).stdout !== 'installed',
  )
  if (missing.length === 0) return
  if (!existsSync('/usr/bin/apt-get'))
    fail(`this is no Debian: install by hand ${missing.map(([name]) => name).join(', ')}`)
  say('Debian packages that are missing:')
  for (const [name, why] of missing) say(`  ${name.padEnd(22)} ${why}`)
  const install = ['install', '-y', '-q', '--no-install-recommends', ...missing.map(([name]) => name)]
  if (process.getuid() !== 0) fail(`they need root to install: sudo apt-get ${install.join(' ')}`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  const quiet = { env, stdio: ['ignore', 'ignore', 2] }
  if (run('apt-get', ['update', '-q'], quiet) !== 0) fail('apt-get update failed: its message stands above')
  const services = RUNS_SERVICES.has(verb)
  const installed = () => run('apt-get', install, quiet) === 0
  if (!(services ? installed() : withoutServices(installed)))
    fail(`apt-get ${install.join(' ')} failed: its message stands above`)
  if (!services) disableServices(missing.map(([name]) => name))
}

function npmPackages() {
  const stamp = join(ROOT, 'node_modules/.rackward-stamp')
  const key = createHash('sha256')
    .update(readFileSync(join(ROOT, 'package-lock.json')))
    .update(process.version)
    .digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return
  say('npm packages: installing what package-lock.json names (a minute or two, once)')
  // .npmrc silences npm so that `npm run lab -- --json` prints JSON and nothing else; here its errors are wanted.
  if (run('npm', ['ci', '--loglevel=error']) !== 0) fail('npm ci failed: its message stands above')
  writeFileSync(stamp, key)
}

function moveAll(names, from, to) {
  mkdirSync(to, { recursive: true })
  for (const name of names) if (existsSync(join(from, name))) renameSync(join(from, name), join(to, name))
}

async function compile() {
  const stamp = join(ROOT, 'dist/.stamp')
  const key = sourcesKey(ROOT, [...ROOMS, UI])
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === key) return
  say('compiling')
  // What else is in dist is not the compiler's. What was built before stays until there is more: it takes racks down.
  const made = [...ROOMS, 'bundle', '.stamp']
  const old = join(ROOT, 'dist/.old')
  const clear = () => made.forEach((name) => rmSync(join(ROOT, 'dist', name), { recursive: true, force: true }))
  if (!existsSync(old)) moveAll(made, join(ROOT, 'dist'), old)
  clear()
  if (run('npx', ['tsc', '-p', '.']) !== 0) {
    clear()
    moveAll(made, old, join(ROOT, 'dist'))
    rmSync(old, { recursive: true })
    fail('the compiler found errors')
  }
  rmSync(old, { recursive: true })
  // Programs of the lab and the bench look for Consul as this file does.
  mkdirSync(join(ROOT, 'dist/kit/setup'), { recursive: true })
  for (const file of ['kit/setup/consul.mjs', 'kit/setup/unpacked.mjs', 'kit/setup/ui.mjs', 'kit/password-thread.js'])
    copyFileSync(join(ROOT, file), join(ROOT, 'dist', file))
  const bundle = [
    'esbuild',
    'host-agent/deploy/main.ts',
    '--bundle',
    '--platform=node',
    '--target=node20',
    '--format=cjs',
    '--minify-syntax',
    '--outfile=dist/agent.cjs',
    '--log-level=warning',
  ]
  if (run('npx', bundle) !== 0) fail('the agent could not be bundled')
  // The program in a few files: it starts in half the time. Threads are loaded by themselves; three packages are found
  // at run time.
  const program = [
    'esbuild',
    'cli/main.ts',
    'host-agent/probe/prober-thread.ts',
    'kit/password-thread.js',
    '--entry-names=[name]',
    '--bundle',
    '--splitting',
    '--format=esm',
    '--platform=node',
    '--target=node20',
    '--minify-syntax',
    '--sourcemap',
    '--sources-content=false',
    ...RUNTIME.map((name) => `--external:${name}`),
    "--banner:js=import { createRequire as makeRequire } from 'node:module'; const require = makeRequire(import.meta.url);",
    '--outdir=dist/bundle',
    '--log-level=warning',
  ]
  if (run('npx', program) !== 0) fail('the program could not be bundled')
  // Loaded here, because esbuild is one of the packages that npmPackages installs.
  const { buildUi } = await import('./ui.mjs')
  await buildUi(ROOT, join(ROOT, 'dist/bundle/ui')).catch((error) =>
    fail(`the web console could not be bundled: ${error.message}`),
  )
  if (run(process.execPath, ['dist/bundle/main.js', 'man', 'dist/man']) !== 0) fail('the man pages could not be made')
  writeFileSync(stamp, key)
}

function check() {
  const steps = [
    ['types', 'tsc', ['-p', '.', '--noEmit']],
    ['types of the web console', 'tsc', ['-p', UI]],
    ['lint', 'oxlint', ['--type-aware', '--deny-warnings']],
    ['format', 'prettier', ['--check', '--log-level', 'warn', '.']],
    ['import rules', 'vitest', ['run', '--project', 'rules']],
  ]
  for (const [name, command, argv] of steps) {
    say(`check: ${name}`)
    if (run('npx', [command, ...argv]) !== 0) fail(`check failed at: ${name}`)
  }
}

/** Runs the verb's own program to its end; a signal goes on to it, so that it can clean up before we end. */
function become(command, argv) {
  // A command line in the lab, such as a serial console, reads what is typed; nothing else does.
  const input = verb === 'lab' && args.includes('rackward') ? 0 : 'ignore'
  const child = spawn(command, argv, { cwd: ROOT, stdio: [input, 1, 2] })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('exit', (code) => process.exit(code ?? 1))
}

/** Consul for the verbs that run a mesh; they find it in the environment. */
const consul = () => provide('RACKWARD_CONSUL', ensureConsul)

function provide(variable, ensure) {
  try {
    process.env[variable] = ensure(say)
  } catch (error) {
    fail(error.message)
  }
}

/** For the lab, which says at its end how long each step took. */
const beganMs = Date.now()
const steps = []
function stepped(name) {
  steps.push({ name, endMs: Date.now() })
  process.env.RACKWARD_SETUP = JSON.stringify({ beganMs, steps })
}

checkNode()
/** A rack is taken down by what was built when it came up: nothing is installed or compiled before. */
const asBuilt = verb === 'lab' && args.includes('down') && !args.includes('rackward') && existsSync(join(ROOT, LAB))
if (verb === 'lab' && !asBuilt && !existsSync(join(ROOT, 'dist/.stamp')))
  say('the first run installs packages and compiles: a few minutes, once. Then it says how long the rest takes here')
if (!asBuilt) debianPackages()
stepped('Debian packages')
if (!asBuilt) npmPackages()
stepped('npm packages')
if (!asBuilt && ['test', 'lab', 'bench', 'mesh', 'libvirt', 'vagrant', 'vagrant-test'].includes(verb)) consul()
switch (verb) {
  case 'check':
    check()
    break
  case 'build':
    await compile()
    if (args[0] !== '--only-js')
      become(process.execPath, [join('dist/bundle/main.js'), 'image', 'build', 'deb', '--out', 'dist/packages'])
    break
  case 'lab':
    if (!asBuilt) await compile()
    stepped('compiling')
    if (args.includes('--simulate'))
      become(process.execPath, [
        'dist/bundle/main.js',
        'simulate',
        ...args.map((arg) => (arg === '--simulate' ? '--nodes' : arg)),
      ])
    else become(process.execPath, ['--enable-source-maps', LAB, ...args])
    break
  case 'bench':
  case 'sim':
  case 'soak':
    await compile()
    if (verb === 'bench' && args.includes('--kubernetes')) provide('RACKWARD_KUBERNETES', ensureKubernetes)
    become(process.execPath, ['--enable-source-maps', join('dist/test', verb, 'main.js'), ...args])
    break
  case 'test':
    if (args.length === 0) check()
    await compile()
    // What has a verb of its own (mesh, nova, libvirt) is not in this one, save the daily scenarios of the mesh.
    become('npx', [
      'vitest',
      'run',
      ...(args.some((arg) => arg.startsWith('--project'))
        ? []
        : ['rules', 'unit', 'mesh', 'web', 'rack'].flatMap((name) => ['--project', name])),
      ...args,
    ])
    break
  case 'api':
  case 'clients':
    await compile()
    become(process.execPath, ['--enable-source-maps', `dist/test/${verb}/main.js`, ...args])
    break
  case 'cluster':
  case 'nova':
  case 'packages':
  case 'libvirt':
    await compile()
    become('npx', ['vitest', 'run', '--project', verb, ...args])
    break
  case 'web':
    await compile()
    become('npx', ['vitest', 'run', '--project', 'web', ...args])
    break
  case 'vagrant':
    await compile()
    become(process.execPath, ['--enable-source-maps', 'dist/test/vagrant/main.js', ...args])
    break
  case 'vagrant-test':
    await compile()
    become('npx', ['vitest', 'run', '--project', 'vagrant', ...args])
    break
  case 'rack':
    await compile()
    become('npx', ['vitest', 'run', '--project', 'rack', '--project', 'rack-long', ...args])
    break
  case 'arm64':
    // Where no systemd does it at the start of the machine.
    if (spawnSync('arch-test', ['arm64']).status !== 0) run('update-binfmts', ['--enable', 'qemu-aarch64'])
    await compile()
    become('npx', ['vitest', 'run', '--project', 'arm64', ...args])
    break
  case 'redfish':
    process.env.RACKWARD_FAULT_TABLE = 'yes'
    become('npx', ['vitest', 'run', '--project', 'unit', '--project', 'redfish-long', 'test/redfish', ...args])
    break
  case 'kubernetes':
    provide('RACKWARD_KUBERNETES', ensureKubernetes)
    become('npx', ['vitest', 'run', '--project', 'kubernetes', ...args])
    break
  case 'mesh':
    await compile()
    process.env.RACKWARD_MESH = 'all'
    become('npx', ['vitest', 'run', '--project', 'mesh', ...args])
    break
  default:
    fail(
      `unknown verb ${JSON.stringify(verb)}: use lab, test, check, bench or build (or sim, api, clients, soak, cluster, rack, arm64, redfish, mesh, kubernetes, nova, libvirt, packages, vagrant, vagrant-test)`,
    )
}
