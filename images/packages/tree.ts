/** What an installed Rackward consists of: its own code and the packages that it needs at run time, found as Node.js finds them. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile } from 'node:fs/promises'
import { dirname, join, relative } from 'node:path'
import { Fault } from '../../kit/fault.ts'

const ROOMS = ['cli', 'conductor', 'host-agent', 'images', 'kit', 'pxe', 'agent.cjs'] as const
/** Sources, types and documents that nobody runs; better-sqlite3 carries all of SQLite's source. */
const LEFT_OUT =
  /(\.map|\.md|\.markdown|\.d\.[mc]?ts|\.[mc]?ts|\.c|\.cc|\.cpp|\.h|\.gyp|\.gypi|\.o|\.a|\.mk|\.yml)$|\/(deps|obj|obj\.target|\.deps|test|tests|docs|example|examples|\.github|bench|benchmark|benchmarks)$/

interface Manifest {
  readonly name: string
  readonly version: string
  readonly dependencies?: Readonly<Record<string, string>>
  readonly optionalDependencies?: Readonly<Record<string, string>>
}

export const readManifest = async (directory: string): Promise<Manifest> => JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest

/** Directories of all packages that `root` needs at run time, its own not among them. Throws `input.missing` for one that is not installed. */
export async function runtimePackages(root: string): Promise<string[]> {
  const found = new Set<string>()
  const visit = async (directory: string): Promise<void> => {
    const { name, dependencies = {}, optionalDependencies = {} } = await readManifest(directory)
    for (const wanted of Object.keys({ ...dependencies, ...optionalDependencies })) {
      const at = resolvePackage(directory, wanted)
      if (at === undefined && wanted in optionalDependencies) continue
      if (at === undefined) throw new Fault('input.missing', `${name} needs the npm package ${wanted}, which is not installed beside it: npm ci`)
      if (found.has(at)) continue
      found.add(at)
      await visit(at)
    }
  }
  await visit(root)
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
  for (const room of ROOMS) await cp(join(root, 'dist', room), join(target, 'dist', room), { recursive: true, filter })
  for (const from of await runtimePackages(root)) {
    const inside = relative(root, from)
    // npm may have put them beside this package instead of inside it (npm i -g).
    const to = join(target, inside.startsWith('..') ? join('node_modules', from.slice(from.lastIndexOf('/node_modules/') + 14)) : inside)
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
  for (const room of ROOMS) if (!room.includes('.')) await visit(join(root, 'dist', room))
  // Packages of others change with their versions alone.
  for (const directory of await runtimePackages(root)) hash.update(`${(await readManifest(directory)).name} ${(await readManifest(directory)).version}\n`)
  return hash.digest('hex').slice(0, 20)
}
