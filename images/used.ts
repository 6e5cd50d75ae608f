/** When an image, or a boot file, was used last: the time stamp of its folder or file. A store that this program may
 *  only read, such as one that is shared from another machine, keeps none, and serves all the same. */
import { stat, utimes } from 'node:fs/promises'

const READ_ONLY = ['EROFS', 'EACCES', 'EPERM']

/** Throws what the file system says of a path that cannot be used, such as ENOENT. */
export async function markUsed(path: string, nowMs: number): Promise<void> {
  const now = new Date(nowMs)
  try {
    await utimes(path, now, now)
  } catch (error) {
    if (!READ_ONLY.includes((error as NodeJS.ErrnoException).code ?? '')) throw error
    await stat(path)
  }
}
