/** The root of the repository, from the sources as from what is compiled. */
import { existsSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

function find(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from
  return find(dirname(from))
}

export const ROOT = find(dirname(fileURLToPath(import.meta.url)))
export const RACKWARD_MAIN = join(ROOT, 'dist/bundle/main.js')
