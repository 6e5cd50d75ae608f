/** Secrets of a rack file: read from where it says, when a value is needed. Never printed, never an argument. */
import { resolve } from 'node:path'
import { readPrivateFile } from '../../kit/files.ts'
import { run } from '../../kit/run.ts'
import { CliError } from '../error.ts'
import { findAt, placeText } from './located.ts'
import type { Rack } from './resolve.ts'
import { PER_NODE, type SecretSource } from './schema.ts'

const EXEC_TIMEOUT_MS = 60_000
const MAX_SECRET_BYTES = 64 * 1024

/** The values of these names. Throws where one cannot be read, with the line of the file. */
export async function readSecrets(
  { file, root }: Pick<Rack, 'file' | 'root'>,
  names: readonly string[],
  { directory, env }: { directory: string; env: Readonly<Record<string, string | undefined>> },
): Promise<Record<string, string>> {
  const values: Record<string, string> = {}
  for (const name of names) {
    const [base = '', node] = name.split(PER_NODE)
    const source = file.secrets?.[base]
    if (!source) throw new CliError('usage', `secrets: there is no ${base}; write it under "secrets"`)
    const refuse = (says: string) =>
      new CliError('usage', `${placeText(findAt(root, ['secrets', base]).at)}: secrets/${name}: ${says}`)
    const value = await readOne(source, { directory, env, node }).catch((error: Error) =>
      Promise.reject(refuse(error.message)),
    )
    if (value === '') throw refuse('is empty; set it')
    if (Buffer.byteLength(value) > MAX_SECRET_BYTES) throw refuse(`is larger than ${MAX_SECRET_BYTES} bytes`)
    values[name] = value
  }
  return values
}

async function readOne(
  source: SecretSource,
  {
    directory,
    env,
    node,
  }: { directory: string; env: Readonly<Record<string, string | undefined>>; node: string | undefined },
): Promise<string> {
  if ('env' in source) {
    const value = env[source.env]
    if (value === undefined) throw new Error(`the environment has no ${source.env}; set it`)
    return value
  }
  if ('file' in source) return (await readPrivateFile(resolve(directory, source.file))).trimEnd()
  if (node?.startsWith('-')) throw new Error(`${node} would be read as an option; give the node another name`)
  const words = node === undefined ? source.exec : source.exec.map((word) => word.replaceAll('{name}', node))
  const { code, stdout } = await run(words, { timeoutMs: EXEC_TIMEOUT_MS, cwd: directory })
  // What it printed may be a part of the secret.
  if (code !== 0) throw new Error(`${source.exec[0]} ended with ${code}; run it by hand to see why`)
  return node === undefined ? (stdout.split(/\r?\n/)[0] ?? '') : stdout.trimEnd()
}
