/** Answers requests for boot ISOs: GET and HEAD, whole or by one range (RFC 9110, 14), with the region of the boot laid
 *  over the template. Whoever asks has the name, which is all that is checked: a BMC asks from an address that nobody
 *  knows beforehand. */
import { createReadStream } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { isFault } from '../../kit/fault.ts'
import type { BootMedia, Medium } from './media.ts'

/** Ends in .iso, for firmware and BMCs that look at it. */
const PATH = /^\/media\/([A-Za-z0-9_-]{43})\/boot\.iso$/

export const mediaPath = (name: string): string => `/media/${name}/boot.iso`

/** The name in a path; undefined for any other path. */
export const mediaNameOf = (path: string): string | undefined => PATH.exec(path)?.[1]

export async function answerMedia(
  media: BootMedia,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  name: string,
): Promise<void> {
  const found = await media.begin(name).catch((error: unknown) => {
    if (!isFault(error)) throw error
    return error.code
  })
  if (found === undefined) return refuse(response, 404)
  if (typeof found === 'string') return refuse(response, 503, { 'retry-after': '1' })
  try {
    await answer(found.medium, { request, response }, found.sent)
  } finally {
    found.end()
  }
}

async function answer(
  medium: Medium,
  { request, response }: { request: IncomingMessage; response: ServerResponse },
  sent: (bytes: number) => void,
): Promise<void> {
  const { sizeBytes, tag } = medium
  const range = rangeOf(request, medium)
  if (range === 'none') return refuse(response, 416, { 'content-range': `bytes */${sizeBytes}` })
  const { start, end } = range ?? { start: 0, end: sizeBytes - 1 }
  response.writeHead(range ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    'accept-ranges': 'bytes',
    'cache-control': 'no-store',
    etag: tag,
    ...(range ? { 'content-range': `bytes ${start}-${end}/${sizeBytes}` } : {}),
  })
  if (request.method === 'HEAD') return void response.end()
  await pipeline(createReadStream(medium.path, { start, end }), overlay(medium, start, sent), response).catch(
    (error: NodeJS.ErrnoException) => {
      response.destroy()
      if (!GONE.has(error.code ?? '')) throw error
    },
  )
}

/** Whoever goes away while it reads is nobody's fault. */
const GONE: ReadonlySet<string> = new Set(['ERR_STREAM_PREMATURE_CLOSE', 'ECONNRESET', 'EPIPE', 'ETIMEDOUT'])

/** The one range that is asked for; `none`: it is outside of the image. Undefined: the whole image, as for several
 *  ranges and for what is no range (RFC 9110, 14.2). */
function rangeOf({ headers }: IncomingMessage, { sizeBytes, tag }: Medium) {
  const condition = headers['if-range']
  if (condition !== undefined && condition !== tag) return undefined
  const [, first = '', last = ''] = /^bytes=(\d{0,15})-(\d{0,15})$/.exec(headers.range ?? '') ?? []
  if (first === '' && last === '') return undefined
  if (first === '') return last === '0' ? 'none' : { start: Math.max(0, sizeBytes - Number(last)), end: sizeBytes - 1 }
  const [start, end] = [Number(first), last === '' ? sizeBytes - 1 : Math.min(Number(last), sizeBytes - 1)]
  if (last !== '' && Number(last) < start) return undefined
  return start < sizeBytes ? { start, end } : 'none'
}

/** Bytes of the image from `start` on, with the region in its place. */
function overlay({ region }: Medium, start: number, sent: (bytes: number) => void): Transform {
  let at = start
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      const from = Math.max(at, region.offset)
      const to = Math.min(at + chunk.length, region.offset + region.bytes.length)
      if (from < to) region.bytes.copy(chunk, from - at, from - region.offset, to - region.offset)
      at += chunk.length
      sent(chunk.length)
      done(null, chunk)
    },
  })
}

function refuse(response: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(`${status}\n`)
}
