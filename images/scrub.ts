/** Reads an image of the store whole, and tells which of its pieces are not what its index says. */
import { open, type FileHandle } from 'node:fs/promises'
import { webcrypto } from 'node:crypto'
import { isFault } from '../kit/fault.ts'
import { piped } from '../kit/run.ts'
import { pieceLength, type ImageIndex } from './index.ts'
import type { ImageStore } from './store.ts'

export interface ScrubOptions {
  readonly signal?: AbortSignal | undefined
  /** Between two pieces: others want the disk too. */
  readonly pause?: (() => Promise<void>) | undefined
}

/** Numbers of the pieces that are damaged; none: the image is whole. Throws `run.missing` or `run.resources` where it
 *  cannot be told. */
export async function damagedPieces(
  store: ImageStore,
  index: ImageIndex,
  { signal, pause }: ScrubOptions = {},
): Promise<number[]> {
  const file = await open(store.dataPath(index.id), 'r').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  const stored = index.pieces.flatMap(({ zero }, number) => (zero ? [] : [number]))
  if (!file) return stored
  try {
    const bad: number[] = []
    for (const number of stored) {
      signal?.throwIfAborted()
      if (!(await isWhole(file, index, number))) bad.push(number)
      await pause?.()
    }
    return bad
  } finally {
    await file.close()
  }
}

async function isWhole(file: FileHandle, index: ImageIndex, number: number): Promise<boolean> {
  const { at, lengthBytes, sha256 } = index.pieces[number] as ImageIndex['pieces'][number]
  const frame = await readAll(file, at, lengthBytes)
  const raw = frame && (await unpacked(frame, pieceLength(index, number)))
  if (!raw) return false
  return Buffer.from(await webcrypto.subtle.digest('SHA-256', raw)).toString('hex') === sha256
}

/** Undefined: the file is too short, or the disk cannot read it. */
async function readAll(file: FileHandle, at: number, lengthBytes: number): Promise<Buffer | undefined> {
  const bytes = Buffer.alloc(lengthBytes)
  try {
    for (let got = 0; got < lengthBytes;) {
      const { bytesRead } = await file.read(bytes, got, lengthBytes - got, at + got)
      if (bytesRead === 0) return undefined
      got += bytesRead
    }
    return bytes
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return undefined
    throw error
  }
}

/** Undefined: it is no frame of a piece of this length. */
async function unpacked(frame: Buffer, mostBytes: number): Promise<Buffer | undefined> {
  const child = piped(['zstd', '-dc', '-q', '--memory=64MB'])
  const chunks: Buffer[] = []
  let sizeBytes = 0
  child.stdin.end(frame)
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    sizeBytes += chunk.length
    if (sizeBytes > mostBytes) {
      child.stop()
      return undefined
    }
    chunks.push(chunk)
  }
  const failed = await child.done.then(
    () => false,
    (error: unknown) => {
      if (isFault(error, 'run.failed')) return true
      throw error
    },
  )
  return failed || sizeBytes !== mostBytes ? undefined : Buffer.concat(chunks)
}
