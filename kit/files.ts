/** Files that are either whole or not there: written under a temporary name, flushed, renamed. And files that hold a
 *  key. */
import { randomBytes } from 'node:crypto'
import { lstat, open, readFile, rename, rm, stat, symlink } from 'node:fs/promises'
import { dirname } from 'node:path'
import { Fault, type FaultCode } from './fault.ts'

/** Replaces the file at `path`. After a crash or on a full disk the old file is still there, whole; a leftover `.new`
 *  file is harmless. */
export async function writeWhole(path: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const part = `${path}.${randomBytes(6).toString('hex')}.new`
  try {
    const file = await open(part, 'wx', mode)
    try {
      // Whatever the umask is.
      await file.chmod(mode)
      await file.writeFile(data)
      await file.sync()
    } finally {
      await file.close()
    }
    await rename(part, path)
  } catch (error) {
    await rm(part, { force: true })
    throw error
  }
  await syncFolder(dirname(path))
}

/** Points the symbolic link at `path` to `target`: whoever opens it finds the old target or the new one. Throws
 *  `input.invalid` for anything else than a link. */
export async function linkWhole(path: string, target: string): Promise<void> {
  const info = await lstat(path).catch(() => undefined)
  if (info && !info.isSymbolicLink())
    throw new Fault('input.invalid', `${path} is there and is no symbolic link: name another path, or remove it`)
  const part = `${path}.${randomBytes(6).toString('hex')}.new`
  await symlink(target, part)
  await rename(part, path)
  await syncFolder(dirname(path))
}

/** Makes a rename in this folder last over a power failure. */
export async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}

const OTHERS = 0o077

/** Whether there is a file at `path`. Throws `code` when others than its owner can read or write it, or nobody can
 *  tell. */
export async function isPrivateFile(path: string, code: FaultCode = 'secret.key'): Promise<boolean> {
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new Fault(code, `cannot look at ${path}: ${error.message}`, { cause: error })
  })
  const mode = (info?.mode ?? 0) & 0o777
  if ((mode & OTHERS) !== 0)
    throw new Fault(code, `${path} can be read by others (mode ${mode.toString(8)}): chmod 600 it`)
  return info !== undefined
}

/** The text of a file that holds secrets. Throws `code` when others can read it, or it cannot be read. */
export async function readPrivateFile(path: string, code: FaultCode = 'secret.key'): Promise<string> {
  await isPrivateFile(path, code)
  return readFile(path, 'utf8').catch((error: Error) => {
    throw new Fault(code, `cannot read ${path}: ${error.message}`, { cause: error })
  })
}

/** The key of `lengthBytes` that stands in hexadecimal at `path`, made on first use with mode 0600. Throws `code` for a
 *  file that does not hold exactly such a key. */
export async function keyFile(
  path: string,
  wanted: { lengthBytes: number; make: () => Uint8Array; code: FaultCode },
): Promise<Buffer> {
  const { lengthBytes, make, code } = wanted
  const read = () =>
    readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined
      throw new Fault(code, `cannot read ${path}: ${error.message}`, { cause: error })
    })
  if ((await read()) === undefined) await writeWhole(path, `${Buffer.from(make()).toString('hex')}\n`)
  const text = ((await read()) ?? '').trim()
  if (!/^[0-9a-f]*$/.test(text) || text.length !== lengthBytes * 2)
    throw new Fault(code, `${path} does not hold a key of ${lengthBytes} bytes`)
  return Buffer.from(text, 'hex')
}
