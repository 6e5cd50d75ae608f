/** The users of the API and the hashes of their passwords: an Apache htpasswd file, bcrypt only. It is read again when
 *  it has changed: whoever is taken out of it is out, without a restart. */
import { readFile, stat } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'

const BCRYPT = /^\$2[aby]\$\d{2}\$.{53}$/

export class PasswordFile {
  private readonly path: string
  private hashes: ReadonlyMap<string, string>
  private stamp: string

  private constructor(path: string, hashes: ReadonlyMap<string, string>, stamp: string) {
    this.path = path
    this.hashes = hashes
    this.stamp = stamp
  }

  /** Throws `config.invalid` for a file that cannot be used. */
  static async open(path: string): Promise<PasswordFile> {
    const stamp = await stampOf(path)
    return new PasswordFile(path, await read(path), stamp)
  }

  hashOf = (user: string): string | undefined => this.hashes.get(user)

  /** A hash of somebody. */
  get anyHash(): string {
    return [...this.hashes.values()][0] as string
  }

  /** Reads a file that is another one than before. Throws `config.invalid`, once for each change, for one that cannot
   *  be used: the users of before stay. */
  async reread(): Promise<void> {
    const stamp = await stampOf(this.path)
    if (stamp === this.stamp) return
    this.stamp = stamp
    this.hashes = await read(this.path)
  }
}

/** Another one for another file of this name, other content, or other permissions: it may be readable now. */
const stampOf = (path: string): Promise<string> =>
  stat(path, { bigint: true }).then(
    ({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
    () => 'missing',
  )

async function read(path: string): Promise<Map<string, string>> {
  const text = await readFile(path, 'utf8').catch((error: Error) => {
    throw new Fault('config.invalid', `api.auth.file: cannot read ${path}: ${error.message}`, { cause: error })
  })
  return parseHtpasswd(text, path)
}

function parseHtpasswd(text: string, path: string): Map<string, string> {
  const users = new Map<string, string>()
  for (const [i, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const colon = line.indexOf(':')
    const hash = line.slice(colon + 1).trim()
    if (colon < 1 || !BCRYPT.test(hash))
      throw new Fault(
        'config.invalid',
        `api.auth.file: line ${i + 1} of ${path} is not "user:bcrypt hash" (make it with: htpasswd -B)`,
      )
    users.set(line.slice(0, colon), hash)
  }
  if (users.size === 0) throw new Fault('config.invalid', `api.auth.file: ${path} has no user`)
  return users
}
