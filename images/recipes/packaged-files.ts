/** Single files of Debian packages (boot loaders, the stub of a UKI), taken out of the packages and kept. */
import { copyFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debootstrap, sourcesOf } from './apt.ts'
import { cached, cacheKey } from './cache.ts'

export interface PackagedFiles {
  /** Of the directory in the cache. */
  readonly name: string
  readonly suite: string
  readonly packages: readonly string[]
  /** Path in the packages -> name in the directory. */
  readonly files: Readonly<Record<string, string>>
}

export interface PackagedFilesOptions {
  readonly cacheDir: string
  readonly say: (line: string) => void
  /** Takes them again, although the cache has them. */
  readonly force?: boolean
}

/** Answers the directory that holds them. Throws when a package cannot be fetched. */
export async function packagedFiles(wanted: PackagedFiles, opts: PackagedFilesOptions): Promise<string> {
  const { name, suite, packages, files } = wanted
  const key = cacheKey([suite, JSON.stringify([packages, files])])
  const place = { root: opts.cacheDir, name, key, ...(opts.force ? { force: true } : {}) }
  const { path } = await cached(place, async (scratch) => {
    const tree = join(scratch, 'tree')
    await debootstrap({
      suite,
      variant: 'extract',
      packages,
      architecture: 'amd64',
      sources: await sourcesOf(suite),
      target: tree,
      say: opts.say,
    })
    for (const [from, to] of Object.entries(files)) await copyFile(join(tree, from), join(scratch, to))
    await rm(tree, { recursive: true })
  })
  return path
}
