/** Built things are kept by the hash of everything that made them, and appear whole or not at all. */
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { inScratch, removeTree } from './scratch.ts'

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
  await inScratch({ root: place.root, name: `${place.name}-${place.key}.part` }, async (scratch) => {
    await build(scratch)
    await removeTree(target)
    await rename(scratch, target)
  })
  return { path: target, built: true }
}
