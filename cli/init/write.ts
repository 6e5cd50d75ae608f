/** Writes what `rackward init` made: nothing that is there is overwritten, and after a failure nothing new is left. */
import { access, chown, constants, mkdir, mkdtemp, readFile, rm, rmdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { CONDUCTOR_CONFIG } from '../../images/packages/scripts.ts'
import { writeWhole } from '../../kit/files.ts'
import { isDict } from '../../kit/json.ts'
import { CliError } from '../error.ts'
import { parse } from '../yaml.ts'
import type { filesOf } from './answers.ts'

export interface NewFile {
  readonly path: string
  readonly text: string
  readonly mode: number
  /** The service reads it. */
  readonly isOfService?: boolean
}

type Files = ReturnType<typeof filesOf>

const textOf = (path: string): Promise<string | undefined> =>
  readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw new CliError('failed', `cannot read ${path}: ${error.message}`)
  })

/** The user and password that the Debian package made, where its configuration is unchanged; undefined where there is
 *  nothing yet. Throws for everything else that is there. */
export async function packageUser(files: Files): Promise<{ user: string; password: string } | undefined> {
  const texts = new Map<string, string>()
  for (const path of [files.config, files.users, files.clouds, files.cert, files.key]) {
    const text = await textOf(path)
    if (text !== undefined) texts.set(path, text)
  }
  if (texts.size === 0) return undefined
  const clouds = texts.get(files.clouds)
  const known = clouds === undefined ? undefined : userOf(clouds)
  const isUnchanged = texts.get(files.config) === CONDUCTOR_CONFIG
  const madeBefore = [files.cert, files.key].find((path) => texts.has(path))
  const isOfPackage = isUnchanged && madeBefore === undefined
  if (isOfPackage && !texts.has(files.users) && clouds === undefined) return undefined
  if (isOfPackage && known && hasUser(texts.get(files.users), known.user)) return known
  const [first] = isUnchanged ? [madeBefore ?? files.clouds] : texts.keys()
  throw new CliError(
    'refused',
    `${first} is there already, and init overwrites nothing: change it by hand (rackward conductor --config FILE --check-config), or write elsewhere with --out DIR`,
  )
}

const hasUser = (users: string | undefined, user: string): boolean =>
  users?.split('\n').some((line) => line.startsWith(`${user}:`)) ?? false

function userOf(clouds: string): { user: string; password: string } | undefined {
  const at = (value: unknown, ...path: string[]): unknown =>
    path.reduce((inside, key) => (isDict(inside) ? inside[key] : undefined), value)
  let all: unknown
  try {
    all = parse(clouds)
  } catch {
    return undefined
  }
  const auth = at(all, 'clouds', 'rackward', 'auth')
  const [user, password] = [at(auth, 'username'), at(auth, 'password')]
  // Nothing else may be lost with it.
  const isAlone = isDict(at(all, 'clouds')) && Object.keys(at(all, 'clouds') as object).length === 1
  return isAlone && typeof user === 'string' && typeof password === 'string' ? { user, password } : undefined
}

/** Throws where `dir`, or the directory that it would be made in, cannot be written: before anybody is asked. */
export async function checkWritable(dir: string): Promise<void> {
  const failed = (error: NodeJS.ErrnoException) => error
  const denied = await access(dir, constants.W_OK | constants.X_OK).catch(failed)
  if (denied?.code === 'ENOENT' && dirname(dir) !== dir) return checkWritable(dirname(dir))
  // As far as access(2) knows, root may write into /proc; there, a recursive mkdir of Node.js never ends.
  const error = denied ?? (await mkdtemp(join(dir, '.rackward-')).then(rmdir, failed))
  if (!error) return
  throw new CliError('failed', `cannot write into ${dir}: ${error.message}; run this as root, or name --out DIR`)
}

/** The configuration comes last: without it, nothing has happened. */
export async function writeAll(files: readonly NewFile[], owner: { uid: number; gid: number } | undefined) {
  const before = new Map<string, string | undefined>()
  for (const { path } of files) before.set(path, await textOf(path))
  const written: NewFile[] = []
  try {
    for (const file of files) {
      await mkdir(dirname(file.path), { recursive: true })
      written.push(file)
      await writeWhole(file.path, file.text, file.mode)
      if (owner && file.isOfService) await chown(file.path, owner.uid, owner.gid)
    }
  } catch (error) {
    for (const { path, mode } of written) {
      const text = before.get(path)
      await (text === undefined ? rm(path, { force: true }) : writeWhole(path, text, mode)).catch(() => undefined)
    }
    throw new CliError('failed', `nothing was written: ${(error as Error).message}`)
  }
}
