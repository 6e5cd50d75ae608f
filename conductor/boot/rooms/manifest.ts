/** What a served file is: its size, and the SHA-256 of each block of it. A boot room keeps and passes on nothing that
 *  does not match. */
import { createHash, webcrypto } from 'node:crypto'
import { open, stat } from 'node:fs/promises'
import * as z from 'zod/mini'
import { asFault, Fault } from '../../../kit/fault.ts'

export const BLOCK_BYTES = 4 * 1024 * 1024
const MAX_BLOCKS = 1_000_000
const IMAGES = '/images/'
const MAX_KNOWN = 1_000

export const Manifest = z.object({
  sizeBytes: z.int().check(z.nonnegative()),
  blocks: z.array(z.string().check(z.regex(/^[0-9a-f]{64}$/))).check(z.maxLength(MAX_BLOCKS)),
})
export type Manifest = z.infer<typeof Manifest>

/** Whether a path is that of the pieces of an image, which is named by its content. */
export const isImage = (path: string): boolean => path.startsWith(IMAGES)

/** The conductor's end: each version of a file is read once, one file at a time. */
export class Manifests {
  private readonly known = new Map<string, { readonly state: string; readonly manifest: Promise<Manifest> }>()
  private last: Promise<unknown> = Promise.resolve()

  /** Throws `object.missing`. */
  async of(path: string): Promise<Manifest> {
    const { mtimeMs, size, ino } = await stat(path).catch(() => {
      throw new Fault('object.missing', 'there is no such file')
    })
    const state = `${mtimeMs} ${size} ${ino}`
    const known = this.known.get(path)
    if (known?.state === state) return known.manifest
    const manifest = this.last.catch(() => undefined).then(() => read(path))
    this.last = manifest
    this.known.set(path, { state, manifest })
    manifest.catch(() => this.known.delete(path))
    const [oldest] = this.known.keys()
    if (this.known.size > MAX_KNOWN && oldest !== undefined) this.known.delete(oldest)
    return manifest
  }
}

async function read(path: string): Promise<Manifest> {
  const blocks: string[] = []
  for (let n = 0, sizeBytes = 0; ; n += 1) {
    const block = await readBlock(path, n)
    sizeBytes += block.length
    // In the thread pool: a file may have thousands of blocks.
    if (block.length > 0) blocks.push(Buffer.from(await webcrypto.subtle.digest('SHA-256', block)).toString('hex'))
    if (block.length < BLOCK_BYTES) return { sizeBytes, blocks }
  }
}

/** Shorter at the end of the file. */
export async function readBlock(path: string, n: number): Promise<Buffer> {
  const file = await open(path).catch((error: unknown) => {
    throw asFault(error, 'object.missing')
  })
  try {
    const block = Buffer.allocUnsafeSlow(BLOCK_BYTES)
    let length = 0
    for (let bytesRead = 1; length < BLOCK_BYTES && bytesRead > 0; length += bytesRead)
      ({ bytesRead } = await file.read(block, length, BLOCK_BYTES - length, n * BLOCK_BYTES + length))
    return block.subarray(0, length)
  } finally {
    await file.close()
  }
}

export const digestOf = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
