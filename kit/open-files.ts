/** How many files and sockets this process may have open (RLIMIT_NOFILE). */
import { readFile } from 'node:fs/promises'

/** The soft limit, which Node.js raises to the hard one when it starts. Infinite where there is no /proc or no
 *  limit. */
export async function openFilesLimit(): Promise<number> {
  const text = await readFile('/proc/self/limits', 'utf8').catch(() => '')
  return Number(/^Max open files\s+(\d+)/m.exec(text)?.[1] ?? Number.POSITIVE_INFINITY)
}
