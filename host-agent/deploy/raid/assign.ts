/** Which disk serves which hint of a volume: every hint gets a disk of its own, if there is any way to do that.
 *  Pure. */
import type { Disk } from '../../../conductor/api/agent-wire.ts'
import { matches } from '../hints.ts'

/** The disks in the order of the hints; undefined when the hints cannot be served. Disks that come first are
 *  preferred. */
export function assignDisks(
  hints: readonly Readonly<Record<string, unknown>>[],
  disks: readonly Disk[],
): Disk[] | undefined {
  const hintOf = new Map<Disk, number>()

  // Kuhn's algorithm: a disk that is taken is given up where its hint finds another.
  const serve = (hint: number, tried: Set<Disk>): boolean => {
    for (const disk of disks) {
      if (tried.has(disk) || !matches(disk, hints[hint] ?? {})) continue
      tried.add(disk)
      const other = hintOf.get(disk)
      if (other !== undefined && !serve(other, tried)) continue
      hintOf.set(disk, hint)
      return true
    }
    return false
  }
  for (const hint of hints.keys()) if (!serve(hint, new Set())) return undefined

  const chosen: Disk[] = []
  for (const [disk, hint] of hintOf) chosen[hint] = disk
  return chosen
}
