/** Packages of another Debian release, unpacked with all they need into a directory of their own, and programs run in
 *  there. Debian 12's `ansible` refuses Debian 12's own openstacksdk; nothing of this machine's system is changed.
 *  Needs root (mmdebstrap, mount, chroot). */
import { mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { defaultCache } from '../../cli/image.ts'
import { debootstrap, sourcesOf } from '../../images/recipes/apt.ts'
import { cached, cacheKey } from '../../images/recipes/cache.ts'
import { run, type RunResult } from '../../kit/run.ts'
import { ROOT } from '../lab/root.ts'

const SUITE = 'trixie'
const CLIENTS = ['ansible', 'python3-openstacksdk', 'python3-oslo.log', 'python3-pbr', 'python3-prettytable']
/** What playbooks call, and what no package needs because every Debian has it. */
const TOOLS = [
  'bash',
  'coreutils',
  'dash',
  'findutils',
  'genisoimage',
  'grep',
  'gzip',
  'hostname',
  'iproute2',
  'libc-bin',
  'sed',
  'tar',
  'util-linux',
]
const PACKAGES = [...CLIENTS, ...TOOLS]
/** What programs import at each start; unpacking alone compiles nothing, and the tree is read-only while they run. */
const COMPILED = [
  'ansible',
  'ansible_collections/ansible',
  'ansible_collections/openstack',
  'keystoneauth1',
  'openstack',
  'requests',
  'yaml',
]
const MINUTE_MS = 60_000

export interface DebianRoot {
  readonly suite: string
  /** Runs a program there. `work` of this machine is /work inside and the current directory; `lend`: NAME -> directory
   *  of this machine, read-only at /lent/NAME. */
  run(argv: readonly string[], at: Inside): Promise<RunResult>
}

export interface Inside {
  readonly work: string
  readonly timeoutMs: number
  readonly env?: Readonly<Record<string, string>>
  readonly lend?: Readonly<Record<string, string>>
}

export async function debianRoot(say: (line: string) => void): Promise<DebianRoot> {
  const { path } = await cached(
    { root: defaultCache(), name: 'clients', key: cacheKey([SUITE, ...PACKAGES, ...COMPILED]) },
    (scratch) => unpack(join(scratch, 'root'), say),
  )
  const root = join(path, 'root')

  return {
    suite: SUITE,
    run: (argv, { work, timeoutMs, env, lend = {} }) => {
      const lent = Object.entries(lend).map(([inside, dir]) => `${dir}:${inside}`)
      const enter = ['unshare', '--mount', '--propagation', 'private', join(ROOT, 'test/clients/in-root.sh')]
      return run([...enter, root, work, ...lent, '--', 'env', '-i', ...environment(env), ...argv], { timeoutMs })
    },
  }
}

const environment = (more: Readonly<Record<string, string>> = {}): string[] =>
  Object.entries({ PATH: '/usr/sbin:/usr/bin', HOME: '/work', LC_ALL: 'C.UTF-8', ...more }).map(
    ([name, value]) => `${name}=${value}`,
  )

async function unpack(target: string, say: (line: string) => void): Promise<void> {
  const sources = await sourcesOf(SUITE)
  await debootstrap({ suite: SUITE, variant: 'extract', packages: PACKAGES, target, say, sources })
  // What maintainer scripts make, of which none was run.
  const links = ['bin', 'lib', 'lib64', 'sbin'].map((name) => [`usr/${name}`, name] as const)
  for (const [to, name] of [...links, ['dash', 'usr/bin/sh'] as const])
    await symlink(to, join(target, name)).catch(exists)
  await writeFile(
    join(target, 'etc/ssl/certs/ca-certificates.crt'),
    await certificates(join(target, 'usr/share/ca-certificates/mozilla')),
  )
  await writeFile(join(target, 'etc/passwd'), 'root:x:0:0:root:/work:/bin/sh\n')
  await writeFile(join(target, 'etc/group'), 'root:x:0:\n')
  for (const name of ['proc', 'run', 'work', 'lent', 'sys']) await mkdir(join(target, name), { recursive: true })

  say('compiling its Python')
  const dirs = COMPILED.map((name) => `/usr/lib/python3/dist-packages/${name}`)
  await run(['chroot', target, 'python3', '-m', 'compileall', '-q', '-j', '2', '/usr/lib/python3.13', ...dirs], {
    timeoutMs: 10 * MINUTE_MS,
  })
}

const certificates = async (dir: string): Promise<string> =>
  (await Promise.all((await readdir(dir)).map((name) => readFile(join(dir, name), 'utf8')))).join('')

/** A link that a package brought itself. */
const exists = (error: NodeJS.ErrnoException): void => {
  if (error.code !== 'EEXIST') throw error
}

/** Names and versions of what runs in there. */
export async function versionsOf(root: DebianRoot, work: string): Promise<string> {
  const script = [
    'import json, importlib.metadata as m',
    "path = '/usr/lib/python3/dist-packages/ansible_collections/openstack/cloud/MANIFEST.json'",
    "print('openstack.cloud', json.load(open(path))['collection_info']['version'], end=', ')",
    "print(', '.join(name + ' ' + m.version(name) for name in ('ansible-core', 'openstacksdk')), end='')",
  ]
  const { stdout } = await root.run(['python3', '-c', script.join('\n')], { work, timeoutMs: MINUTE_MS })
  return `${stdout} of Debian ${SUITE}`
}
