/** Built things are kept by the hash of everything that made them, and appear whole or not at all. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, rename, rm } from 'node:fs/promises'
import { join } from 'node:path'

/** A short stable key of the ingredients. */
export const cacheKey = (ingredients: readonly (string | Buffer)[]): string => {
  const hash = createHash('sha256')
  for (const part of ingredients) hash.update(`${part.length}:`).update(part)
  return hash.digest('hex').slice(0, 20)
}

/** Answers the directory `<root>/<name>-<key>`, made by `build` in a scratch directory beside it when it does not exist
 *  yet. */
export async function cached(
  place: { root: string; name: string; key: string; force?: boolean },
  build: (scratch: string) => Promise<void>,
) {
  const target = join(place.root, `${place.name}-${place.key}`)
  if (existsSync(target) && !place.force) return { path: target, built: false }
  const scratch = `${target}.part-${process.pid}`
  await rm(scratch, { recursive: true, force: true })
  await mkdir(scratch, { recursive: true })
  try {
    await build(scratch)
    await rm(target, { recursive: true, force: true })
    await rename(scratch, target)
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
  return { path: target, built: true }
}
