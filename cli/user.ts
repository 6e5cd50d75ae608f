/** `rackward user set`: a line of an htpasswd file (bcrypt, as Apache's `htpasswd -B` writes it). The password comes
 *  from the standard input or is made up; never from an argument, which everybody on the machine could read. */
import { readFile, stat } from 'node:fs/promises'
import bcrypt from 'bcryptjs'
import { writeWhole } from '../kit/files.ts'
import { systemRandom, type Random } from '../kit/random.ts'
import { CliError } from './error.ts'

const ROUNDS = 10
const RANDOM_BYTES = 18

/** What a line of an htpasswd file can begin with. */
export const isUserName = (text: string): boolean => /^[^:\s\p{Cc}]{1,64}$/u.test(text)
export const randomPassword = (random: Random): string => random.bytes(RANDOM_BYTES).toString('base64url')
/** Without its end. */
export const passwordLine = async (name: string, password: string): Promise<string> =>
  `${name}:${(await bcrypt.hash(password, ROUNDS)).replace('$2b$', '$2y$')}`

export async function setUser(name: string, options: { file: string; random?: boolean }): Promise<void> {
  if (!isUserName(name))
    throw new CliError('usage', `${JSON.stringify(name)}: a user has up to 64 characters, no colon and no space`)
  const password = options.random ? randomPassword(systemRandom) : await readPassword()
  const text = await readFile(options.file, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return ''
    throw new CliError('failed', `cannot read ${options.file}: ${error.message}`)
  })
  const others = text.split('\n').filter((line) => line !== '' && !line.startsWith(`${name}:`))
  const line = await passwordLine(name, password)
  const mode = await stat(options.file).then(
    (info) => info.mode & 0o777,
    () => 0o600,
  )
  await writeWhole(options.file, `${[...others, line].join('\n')}\n`, mode)
  if (options.random) process.stdout.write(`${password}\n`)
}

async function readPassword(): Promise<string> {
  if (process.stdin.isTTY) process.stderr.write('password (it is shown as you type): ')
  let text = ''
  for await (const chunk of process.stdin) {
    text += String(chunk)
    if (text.includes('\n')) break
  }
  const password = text.split('\n')[0] ?? ''
  if (password === '') throw new CliError('usage', 'no password: write it to the standard input, or use --random')
  // bcrypt reads 72 bytes; a longer one would seem to be safer than it is.
  if (Buffer.byteLength(password) > 72)
    throw new CliError('usage', 'the password has more than 72 bytes, which is all that bcrypt reads')
  return password
}
