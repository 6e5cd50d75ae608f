/** Checksums of whole files, as users give them: SHA-256 or SHA-512 in hexadecimal. */
import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { Fault } from '../kit/fault.ts'

export interface Checksum {
  readonly algo: 'sha256' | 'sha512'
  readonly hex: string
}

/** Parses `sha256:HEX`, `sha512:HEX` or a bare digest whose length tells. Throws `input.invalid`. */
export function parseChecksum(text: string, algo?: string): Checksum {
  const [prefix, rest] = text.includes(':') ? (text.split(':', 2) as [string, string]) : [algo, text]
  const hex = rest.trim().toLowerCase()
  const found = prefix ?? (hex.length === 128 ? 'sha512' : 'sha256')
  const digits = found === 'sha256' ? 64 : found === 'sha512' ? 128 : 0
  if (digits === 0) throw new Fault('input.invalid', `checksum algorithm ${found}: only sha256 and sha512 are accepted`)
  if (hex.length !== digits || !/^[0-9a-f]+$/.test(hex))
    throw new Fault('input.invalid', `checksum: a ${found} has ${digits} hexadecimal digits`)
  return { algo: found as Checksum['algo'], hex }
}

export async function fileDigest(path: string, algo: Checksum['algo'], signal?: AbortSignal): Promise<string> {
  const hash = createHash(algo)
  for await (const chunk of createReadStream(path, { highWaterMark: 1024 * 1024, signal })) hash.update(chunk as Buffer)
  return hash.digest('hex')
}

/** The digest that was found is not told: whoever may name any address would learn what stands there. */
export async function checkFile(
  path: string,
  at: { checksum: Checksum; what: string; signal?: AbortSignal },
): Promise<void> {
  const { algo, hex } = at.checksum
  const found = await fileDigest(path, algo, at.signal)
  if (found !== hex)
    throw new Fault('image.checksum', `${at.what} has another ${algo.replace('sha', 'SHA-')} than ${hex}`, {
      cause: new Error(`${algo} ${found}`),
    })
}
