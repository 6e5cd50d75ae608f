/** Digests of the files that are served, made once for each version of a file. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { readFile, stat } from 'node:fs/promises'
import { pipeline } from 'node:stream/promises'
import { authenticodeDigest } from './authenticode.ts'

type DigestKind = 'file' | 'program'
interface KnownDigest {
  readonly version: string
  readonly digest: Promise<Buffer | undefined>
}

export class FileDigests {
  private readonly known = new Map<string, KnownDigest>()

  /** SHA-256 of its bytes. Undefined: there is no such file. */
  file = (path: string): Promise<Buffer | undefined> => this.of(path, 'file')

  /** As firmware measures it. Undefined as well: it is no EFI program. */
  program = (path: string): Promise<Buffer | undefined> => this.of(path, 'program')

  private async of(path: string, kind: DigestKind): Promise<Buffer | undefined> {
    const seen = await stat(path).catch(() => undefined)
    if (!seen) return undefined
    const key = `${kind} ${path}`
    const version = `${seen.ino} ${seen.size} ${seen.mtimeMs}`
    const known = this.known.get(key)
    if (known?.version === version) return known.digest
    const digest = kind === 'file' ? hashOf(path) : readFile(path).then(authenticodeDigest)
    this.known.set(key, { version, digest })
    digest.catch(() => this.known.delete(key))
    return digest
  }
}

async function hashOf(path: string): Promise<Buffer> {
  const hash = createHash('sha256')
  await pipeline(createReadStream(path), async (chunks: AsyncIterable<Buffer>) => {
    for await (const chunk of chunks) hash.update(chunk)
  })
  return hash.digest()
}
