/** What an installed Rackward consists of: its own code and the packages that it needs at run time, found as Node.js
 *  finds them. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { Fault } from '../../kit/fault.ts'

/** The program, in few files, and the agent of the deploy ramdisk. */
const PARTS = ['bundle', 'agent.cjs'] as const
/** What the bundle finds at run time (kit/setup/packages.mjs says the same to the bundler). */
const RUNTIME = ['better-sqlite3', 'sockopt', 'fast-json-patch'] as const
/** Named as dependencies, and used while they are installed. */
const BUILD_ONLY: ReadonlySet<string> = new Set(['prebuild-install', 'nan', 'node-addon-api'])
/** Sources, types and documents that nobody runs; better-sqlite3 carries all of SQLite's source. */
const LEFT_OUT =
  /(\.map|\.md|\.markdown|\.d\.[mc]?ts|\.[mc]?ts|\.c|\.cc|\.cpp|\.h|\.gyp|\.gypi|\.o|\.a|\.mk|\.yml)$|\/(deps|obj|obj\.target|\.deps|test|tests|docs|example|examples|\.github|bench|benchmark|benchmarks)$/

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export const readManifest = async (directory: string): Promise<Manifest> =>
  JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest

/** Directories of all packages that the bundle at `root` needs at run time. Throws `input.missing` for one that is not
 *  installed. */
export async function runtimePackages(root: string): Promise<string[]> {
  const found = new Set<string>()
  const add = async (wanted: string, from: string, optional: boolean): Promise<void> => {
    const at = resolvePackage(from, wanted)
    if (at === undefined && optional) return
    if (at === undefined)
      throw new Fault('input.missing', `the npm package ${wanted} is not installed beside ${from}: npm ci`)
    if (found.has(at)) return
    found.add(at)
    const { dependencies = {}, optionalDependencies = {} } = await readManifest(at)
    for (const name of Object.keys(dependencies)) if (!BUILD_ONLY.has(name)) await add(name, at, false)
    for (const name of Object.keys(optionalDependencies)) await add(name, at, true)
  }
  for (const name of RUNTIME) await add(name, root, false)
  return [...found].sort()
}

function resolvePackage(from: string, name: string): string | undefined {
  for (let at = from; ; at = dirname(at)) {
    const candidate = join(at, 'node_modules', name)
    if (existsSync(join(candidate, 'package.json'))) return candidate
    if (dirname(at) === at) return undefined
  }
}

/** Copies it to `target` in the layout that it has here. */
export async function copyTree(root: string, target: string): Promise<void> {
  const filter = (path: string) => !LEFT_OUT.test(path)
  await mkdir(join(target, 'dist'), { recursive: true })
  await cp(join(root, 'package.json'), join(target, 'package.json'))
  for (const part of PARTS) await cp(join(root, 'dist', part), join(target, 'dist', part), { recursive: true, filter })
  for (const from of await runtimePackages(root)) {
    const inside = relative(root, from)
    // npm may have put them beside this package instead of inside it (npm i -g).
    const to = join(
      target,
      inside.startsWith('..') ? join('node_modules', from.slice(from.lastIndexOf('/node_modules/') + 14)) : inside,
    )
    // Patterns are of what lies inside a package, not of where it lies.
    await cp(from, to, { recursive: true, filter: (path) => path === from || !LEFT_OUT.test(path.slice(from.length)) })
  }
}

/** Changes when anything of it does. */
export async function treeDigest(root: string): Promise<string> {
  const hash = createHash('sha256').update(process.version)
  const visit = async (path: string): Promise<void> => {
    for (const entry of (await readdir(path, { withFileTypes: true })).sort((a, b) => a.name.localeCompare(b.name))) {
      const inside = join(path, entry.name)
      if (LEFT_OUT.test(inside)) continue
      if (entry.isDirectory()) await visit(inside)
      else hash.update(relative(root, inside)).update(await readFile(inside))
    }
  }
  await visit(join(root, 'dist/bundle'))
  hash.update(await readFile(join(root, 'dist/agent.cjs')))
  // Packages of others change with their versions alone.
  for (const directory of await runtimePackages(root))
    hash.update(`${(await readManifest(directory)).name} ${(await readManifest(directory)).version}\n`)
  return hash.digest('hex').slice(0, 20)
}
