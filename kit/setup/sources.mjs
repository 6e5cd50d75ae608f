/** Whether the sources changed since they were compiled last. */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'

/** One text for the names, times and sizes of all sources in `rooms`, folders of `root`. */
export function sourcesKey(root, rooms) {
  const hash = createHash('sha256')
  const walk = (dir) => {
    for (const entry of readdirSync(dir, { withFileTypes: true }).sort((a, b) => a.name.localeCompare(b.name))) {
      const path = join(dir, entry.name)
      if (entry.isDirectory()) walk(path)
      else if (/\.(tsx?|js|json|css|svg)$/.test(entry.name))
        hash
          .update(path)
          .update(String(statSync(path).mtimeMs))
          .update(String(statSync(path).size))
    }
  }
  for (const room of rooms) walk(join(root, room))
  return hash
    .update(readFileSync(join(root, 'tsconfig.json')))
    .update(readFileSync(join(root, 'package-lock.json')))
    .digest('hex')
}
