/** What root builds into an image store becomes its owner's, so that the service which owns the store can rename and
 *  remove it. Only what root owns changes hands, and nothing that a symbolic or a hard link leads to. */
import { constants } from 'node:fs'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImageStore } from '../images/store.ts'

interface Owner {
  readonly uid: number
  readonly gid: number
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_DIRECTORY } = constants

/** Runs `work` on the store, and hands over what it left there, also after a failure. */
export async function asOwned<T>(store: ImageStore, work: (store: ImageStore) => Promise<T>): Promise<T> {
  try {
    return await work(store)
  } finally {
    await handOver(store.root)
  }
}

async function handOver(root: string): Promise<void> {
  if (process.getuid?.() !== 0) return
  const owner = await stat(root).catch(() => undefined)
  if (!owner || owner.uid === 0) return
  for (const entry of await readdir(root)) {
    // Through the open directory: its owner may put another one in its place at any moment.
    const directory = await open(join(root, entry), O_RDONLY | O_NOFOLLOW | O_DIRECTORY).catch(() => undefined)
    if (!directory) continue
    const inside = `/proc/self/fd/${directory.fd}`
    for (const name of await readdir(inside)) {
      const file = await open(join(inside, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch(() => undefined)
      if (file) await giveTo(owner, file)
    }
    await giveTo(owner, directory)
  }
}

async function giveTo({ uid, gid }: Owner, handle: FileHandle): Promise<void> {
  try {
    const found = await handle.stat()
    const isPlain = found.isDirectory() || (found.isFile() && found.nlink === 1)
    if (found.uid === 0 && isPlain) await handle.chown(uid, gid)
  } finally {
    await handle.close()
  }
}
