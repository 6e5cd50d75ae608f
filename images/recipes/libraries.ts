/** Copies the shared libraries of a program out of an unpacked tree: by what its ELF headers name, so that programs of
 *  every architecture are read and none is run. */
import { copyFile, lstat, mkdir, readFile, readlink } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import { Fault } from '../../kit/fault.ts'
import { runOk } from '../../kit/run.ts'

const TIMEOUT_MS = 60_000
const ELF = Buffer.from([0x7f, 0x45, 0x4c, 0x46])

export interface Trees {
  /** Where packages are unpacked. */
  readonly debian: string
  /** Where the copies go. */
  readonly root: string
  /** Of the architecture, such as aarch64-linux-gnu: its directory of libraries. */
  readonly triplet: string
}

/** What a program or a library needs (readelf -d, -l). */
export function parseNeeds(text: string): { needs: string[]; loader: string | undefined } {
  const needs = [...text.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g)].map((match) => match[1] as string)
  return { needs, loader: /\[Requesting program interpreter: ([^\]]+)\]/.exec(text)?.[1] }
}

/** Nothing for a program without any, such as a script or a static one. */
export async function copyLibraries(program: string, trees: Trees): Promise<void> {
  const todo = [program]
  const done = new Set<string>()
  for (let file = todo.pop(); file !== undefined; file = todo.pop()) {
    if (!(await readFile(file)).subarray(0, ELF.length).equals(ELF)) continue
    const { needs, loader } = parseNeeds(
      await runOk(['readelf', '--wide', '-d', '-l', file], { timeoutMs: TIMEOUT_MS }),
    )
    if (loader !== undefined) await copyAs(await inTree(trees.debian, loader), join(trees.root, loader))
    for (const name of needs) {
      if (done.has(name)) continue
      done.add(name)
      const dirs = [`lib/${trees.triplet}`, `usr/lib/${trees.triplet}`, 'lib', 'usr/lib']
      const library = await firstExisting(
        dirs.map((dir) => join(trees.debian, dir, name)),
        trees.debian,
      )
      // The loader is a library of its own, and stands at the path that programs name.
      if (!name.startsWith('ld-linux')) await copyAs(library, join(trees.root, 'lib', trees.triplet, name))
      todo.push(library)
    }
  }
}

async function copyAs(from: string, to: string): Promise<void> {
  await mkdir(dirname(to), { recursive: true })
  await copyFile(from, to)
}

/** A file of a tree by its path on the installed system, where /bin, /sbin and /lib are links into /usr. */
export const inTree = (tree: string, path: string): Promise<string> => {
  const own = path.replace(/^\/+/, '').replace(/^usr\//, '')
  return firstExisting([join(tree, own), join(tree, 'usr', own)], tree)
}

/** The first that is there, with its links followed inside the tree. */
export async function firstExisting(files: readonly string[], tree: string): Promise<string> {
  for (const file of files) if (await lstat(file).catch(() => undefined)) return realFile(file, tree)
  throw new Fault(
    'run.failed',
    `none of the packages has ${[...new Set(files.map((file) => basename(file)))].join(' or ')}`,
  )
}

/** Follows symbolic links inside a tree; absolute links are relative to the tree, never to this machine. */
async function realFile(file: string, tree: string): Promise<string> {
  for (let hop = 0; hop < 10; hop += 1) {
    if (!(await lstat(file)).isSymbolicLink()) return file
    const link = await readlink(file)
    const next = link.startsWith('/') ? join(tree, link) : join(dirname(file), link)
    file = (await lstat(next).catch(() => undefined)) ? next : await merged(next, tree)
  }
  throw new Fault('run.failed', `too many links at ${file}`)
}

/** The other of /x and /usr/x. */
const merged = (file: string, tree: string) => inTree(tree, file.slice(tree.length))
