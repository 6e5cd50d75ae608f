/** A file of the cache as the answer to an HTTP request, whole or one range of it. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { FileCache } from './cache.ts'
import { BLOCK_BYTES, type Manifest } from './manifest.ts'

/** Answers the status that is to be refused with; undefined: it was answered. */
export type CachedFiles = (at: {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly path: string
}) => Promise<number | undefined>

export async function serveCached(
  cache: Pick<FileCache, 'manifest' | 'block'>,
  { request, response, path }: Parameters<CachedFiles>[0],
): ReturnType<CachedFiles> {
  // Its client may have gone while it waited for its turn.
  if (response.destroyed) return undefined
  const manifest = await cache.manifest(path).catch(() => null)
  if (manifest === null) return 503
  if (manifest === undefined) return 404
  const range = rangeOf(request.headers.range, manifest.sizeBytes)
  if (range === 'none') {
    response.setHeader('Content-Range', `bytes */${manifest.sizeBytes}`)
    return 416
  }
  const { start, end } = range ?? { start: 0, end: manifest.sizeBytes - 1 }
  const head = {
    'Accept-Ranges': 'bytes',
    'Content-Type': 'application/octet-stream',
    'Content-Length': end - start + 1,
    ...(range ? { 'Content-Range': `bytes ${start}-${end}/${manifest.sizeBytes}` } : {}),
  }
  if (request.method === 'HEAD' || manifest.sizeBytes === 0)
    return void response.writeHead(range ? 206 : 200, head).end()
  // Nothing is promised before the first block is there.
  const first = await cache.block(path, manifest, Math.floor(start / BLOCK_BYTES)).catch(() => undefined)
  if (!first) return 503
  response.writeHead(range ? 206 : 200, head)
  return send({ cache, response, path, manifest, start, end, first })
}

async function send(at: {
  cache: Pick<FileCache, 'block'>
  response: ServerResponse
  path: string
  manifest: Manifest
  start: number
  end: number
  first: Buffer
}): Promise<undefined> {
  const { cache, response, path, manifest, start, end, first } = at
  const gone = new Promise<void>((resolve) => response.once('close', () => resolve()))
  const from = Math.floor(start / BLOCK_BYTES)
  for (let n = from; n * BLOCK_BYTES <= end && !response.destroyed; n += 1) {
    const block = n === from ? first : await cache.block(path, manifest, n).catch(() => undefined)
    // A short answer is one that the client asks for again.
    if (!block) return void response.destroy()
    const part = block.subarray(Math.max(0, start - n * BLOCK_BYTES), end + 1 - n * BLOCK_BYTES)
    if (!response.write(part))
      await Promise.race([new Promise<void>((resolve) => response.once('drain', () => resolve())), gone])
  }
  response.end()
}

/** One range, as loaders and agents ask for it. `none`: there is no such range. Undefined: all of it. */
export function rangeOf(
  header: string | undefined,
  sizeBytes: number,
): { start: number; end: number } | 'none' | undefined {
  const [, from = '', to = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(header ?? '') ?? []
  if (from === '' && to === '') return undefined
  const start = from === '' ? Math.max(0, sizeBytes - Number(to)) : Number(from)
  const end = from === '' || to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1)
  return start > end || start >= sizeBytes ? 'none' : { start, end }
}
