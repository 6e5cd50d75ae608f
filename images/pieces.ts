/** Cuts a raw image into pieces: hash, zero or not, compressed frame. */
import { createHash, webcrypto, type Hash } from 'node:crypto'
import { open, type FileHandle } from 'node:fs/promises'
import { piped } from '../kit/run.ts'
import { PIECE_BYTES, type ImageIndex, type Piece } from './index.ts'

type Cut = Pick<ImageIndex, 'id' | 'sizeBytes' | 'pieceBytes' | 'dataBytes' | 'pieces'>

const ZERO = Buffer.alloc(PIECE_BYTES)
/** Pieces read ahead and compressed at once. */
const IN_FLIGHT = 4

interface CutOptions {
  readonly rawPath: string
  readonly dataPath: string
  readonly signal?: AbortSignal
  readonly onBytes?: (doneBytes: number) => void
  /** Compressed bytes that were written. */
  readonly onWritten?: (bytes: number) => void
}

/** Bytes that are hashed at a stretch in the main thread: some 3 ms. */
const SLICE_BYTES = 1024 * 1024

/** The hash of the whole image goes through it in order, so it cannot be computed elsewhere; everybody else has a turn
 *  between two slices. */
async function updateInSlices(hash: Hash, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length; at += SLICE_BYTES) {
    hash.update(bytes.subarray(at, at + SLICE_BYTES))
    await new Promise((resolve) => setImmediate(resolve))
  }
}

/** In the thread pool. */
const sha256Of = async (bytes: Buffer): Promise<string> =>
  Buffer.from(await webcrypto.subtle.digest('SHA-256', bytes)).toString('hex')

/** Reads `rawPath`, writes the frames to `dataPath`, answers the index; `onBytes` hears the raw bytes done so far. */
export async function cutPieces(opts: CutOptions): Promise<Cut> {
  const raw = await open(opts.rawPath, 'r')
  const data = await open(opts.dataPath, 'w')
  try {
    const sizeBytes = (await raw.stat()).size
    const whole = createHash('sha256')
    const pieces: Piece[] = []
    let at = 0
    const count = Math.ceil(sizeBytes / PIECE_BYTES)
    for (let first = 0; first < count; first += IN_FLIGHT) {
      opts.signal?.throwIfAborted()
      const numbers = Array.from({ length: Math.min(IN_FLIGHT, count - first) }, (_, i) => first + i)
      const buffers = await Promise.all(numbers.map((number) => readPiece(raw, number, sizeBytes)))
      const frames = await Promise.all(
        buffers.map((bytes) => (isZero(bytes) ? Promise.resolve(undefined) : compress(bytes))),
      )
      for (const [i, bytes] of buffers.entries()) {
        await updateInSlices(whole, bytes)
        const frame = frames[i]
        const sha256 = await sha256Of(bytes)
        pieces.push({ sha256, zero: frame === undefined, at: frame ? at : 0, lengthBytes: frame?.length ?? 0 })
        if (frame) {
          await data.write(frame, 0, frame.length, at)
          opts.onWritten?.(frame.length)
        }
        at += frame?.length ?? 0
      }
      opts.onBytes?.(Math.min((first + IN_FLIGHT) * PIECE_BYTES, sizeBytes))
    }
    await data.sync()
    return { id: whole.digest('hex'), sizeBytes, pieceBytes: PIECE_BYTES, dataBytes: at, pieces }
  } finally {
    await raw.close()
    await data.close()
  }
}

export const isZero = (bytes: Buffer): boolean => bytes.equals(ZERO.subarray(0, bytes.length))

async function readPiece(raw: FileHandle, number: number, sizeBytes: number): Promise<Buffer> {
  const at = number * PIECE_BYTES
  const bytes = Buffer.alloc(Math.min(PIECE_BYTES, sizeBytes - at))
  for (let got = 0; got < bytes.length;) {
    const { bytesRead } = await raw.read(bytes, got, bytes.length - got, at + got)
    if (bytesRead === 0) throw new Error('the image shrank while it was read')
    got += bytesRead
  }
  return bytes
}

/** One zstd frame; level 3 writes no checksum because every piece has its SHA-256. */
async function compress(bytes: Buffer): Promise<Buffer> {
  const child = piped(['zstd', '-3', '-q', '-c', '--no-check', '-T1'])
  const chunks: Buffer[] = []
  child.stdin.on('error', () => undefined)
  child.stdin.end(bytes)
  for await (const chunk of child.stdout) chunks.push(chunk as Buffer)
  await child.done
  return Buffer.concat(chunks)
}
