/** Memory for reads and writes that leave the page cache out (O_DIRECT, open(2)): such a buffer begins at a page, as
 *  other buffers of Node.js do not. It is lent and given back, for a new one costs a page fault every 4 KiB. */

/** Of WebAssembly, whose memory the kernel maps for itself. */
const PAGE_BYTES = 64 * 1024
/** Of every disk: 512 or this. */
const SECTOR_BYTES = 4 * 1024
/** Those that are kept for the next. */
const MOST_FREE = 8

interface Memory {
  readonly buffer: ArrayBuffer
}
const { WebAssembly } = globalThis as unknown as {
  WebAssembly: { readonly Memory: new (pages: { initial: number; maximum: number }) => Memory }
}

const made = new WeakSet<ArrayBufferLike>()
const free: Buffer[] = []

/** Whether the kernel can move these bytes to or from this place of a disk by itself. */
export const isAligned = (bytes: Buffer, at: number): boolean =>
  made.has(bytes.buffer) && [bytes.byteOffset, bytes.length, at].every((count) => count % SECTOR_BYTES === 0)

/** Lends at least `sizeBytes` until `work` is over, with what the last one left in them. */
export async function withAligned<T>(sizeBytes: number, work: (buffer: Buffer) => Promise<T>): Promise<T> {
  const buffer = take(sizeBytes)
  try {
    return await work(buffer)
  } finally {
    if (free.length < MOST_FREE) free.push(buffer)
  }
}

function take(sizeBytes: number): Buffer {
  const at = free.findIndex(({ length }) => length >= sizeBytes)
  const [found] = at < 0 ? [] : free.splice(at, 1)
  if (found) return found
  const pages = Math.max(1, Math.ceil(sizeBytes / PAGE_BYTES))
  const { buffer } = new WebAssembly.Memory({ initial: pages, maximum: pages })
  made.add(buffer)
  return Buffer.from(buffer)
}
