/** The users of the API and the hashes of their passwords: an Apache htpasswd file, bcrypt only. It is read again when
 *  it has changed: whoever is taken out of it is out, without a restart. */
import { readFile, stat } from 'node:fs/promises'
import { Fault } from '../../kit/fault.ts'

const BCRYPT = /^\$2[aby]\$\d{2}\$.{53}$/

type ReadText = (path: string) => Promise<string>

export class PasswordFile {
  private readonly path: string
  private readonly readText: ReadText
  private hashes: ReadonlyMap<string, string>
  private stamp: string
  /** Why the file of now is not in use; undefined: it is. */
  private trouble: string | undefined
  /** Rounds until a file that could not be read is tried again, and how many they were the last time. */
  private waits = { left: 0, rounds: 0 }

  private constructor(path: string, readText: ReadText, now: { hashes: ReadonlyMap<string, string>; stamp: string }) {
    this.path = path
    this.readText = readText
    this.hashes = now.hashes
    this.stamp = now.stamp
  }

  /** Throws `config.invalid` for a file that cannot be used. */
  static async open(path: string, readText: ReadText = (file) => readFile(file, 'utf8')): Promise<PasswordFile> {
    const stamp = await stampOf(path)
    return new PasswordFile(path, readText, { stamp, hashes: parseHtpasswd(await textOf(path, readText), path) })
  }

  hashOf = (user: string): string | undefined => this.hashes.get(user)

  /** A hash of somebody. */
  get anyHash(): string {
    return [...this.hashes.values()][0] as string
  }

  /** Why the users of before hold, in place of those of the file. */
  get problem(): string | undefined {
    return this.trouble
  }

  /** Reads a file that is another one than before; called again and again. One that cannot be read is tried again, less
   *  and less often; one with wrong content when it has changed. Throws `config.invalid`, once for each reason, for one
   *  that cannot be used: the users of before stay. */
  async reread(): Promise<void> {
    const stamp = await stampOf(this.path)
    const isSame = stamp === this.stamp
    if (isSame && (this.waits.rounds === 0 || (this.waits.left -= 1) > 0)) return
    const before = isSame ? this.waits.rounds : 0
    this.stamp = stamp
    this.waits = { left: 0, rounds: 0 }
    try {
      const text = await textOf(this.path, this.readText).catch((error: unknown) => {
        const rounds = Math.min(Math.max(1, before * 2), MAX_ROUNDS)
        this.waits = { left: rounds, rounds }
        throw error
      })
      this.hashes = parseHtpasswd(text, this.path)
      this.trouble = undefined
    } catch (error) {
      const { message } = error as Error
      const isNew = message !== this.trouble || !isSame
      this.trouble = message
      if (isNew) throw error
    }
  }
}

/** At most so many rounds are left out between two tries. */
const MAX_ROUNDS = 32

/** Another one for another file of this name, other content, or other permissions: it may be readable now. */
const stampOf = (path: string): Promise<string> =>
  stat(path, { bigint: true }).then(
    ({ ino, size, mtimeNs, ctimeNs }) => `${ino} ${size} ${mtimeNs} ${ctimeNs}`,
    () => 'missing',
  )

const textOf = (path: string, readText: ReadText): Promise<string> =>
  readText(path).catch((error: Error) => {
    throw new Fault('config.invalid', `api.auth.file: cannot read ${path}: ${error.message}`, { cause: error })
  })

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
