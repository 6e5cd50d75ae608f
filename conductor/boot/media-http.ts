/** Answers requests for boot ISOs: GET and HEAD, whole or by one range (RFC 9110, 14), with the region of the boot laid
 *  over the template. Whoever asks has the name, which is all that is checked: a BMC asks from an address that nobody
 *  knows beforehand. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { isFault } from '../../kit/fault.ts'
import type { BootMedia, Medium } from './media.ts'
import { sendFile, type SendMemory } from './send-file.ts'

export type ServedMedia = Pick<BootMedia, 'begin'>

interface MediaExchange {
  readonly request: IncomingMessage
  readonly response: ServerResponse
  readonly memory: SendMemory
}

/** Ends in .iso, for firmware and BMCs that look at it. */
const PATH = /^\/media\/([A-Za-z0-9_-]{43})\/boot\.iso$/

export const mediaPath = (name: string): string => `/media/${name}/boot.iso`

/** The name in a path; undefined for any other path. */
export const mediaNameOf = (path: string): string | undefined => PATH.exec(path)?.[1]

export async function answerMedia(media: ServedMedia, at: MediaExchange, name: string): Promise<void> {
  const { response } = at
  const found = await media.begin(name).catch((error: unknown) => {
    if (!isFault(error)) throw error
    return error.code
  })
  if (found === undefined) return refuse(response, 404)
  if (typeof found === 'string') return refuse(response, 503, { 'retry-after': '1' })
  try {
    await answer(found.medium, at, found.sent)
  } finally {
    found.end()
  }
}

async function answer(
  medium: Medium,
  { request, response, memory }: MediaExchange,
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
  const onPart = (bytes: Buffer, at: number) => {
    overlay(medium, bytes, at)
    sent(bytes.length)
  }
  await sendFile(medium.path, { start, end }, { request, response, memory, onPart })
}

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

/** Lays the region over bytes of the image that begin at `at`. */
function overlay({ region }: Medium, bytes: Buffer, at: number): void {
  const from = Math.max(at, region.offset)
  const to = Math.min(at + bytes.length, region.offset + region.bytes.length)
  if (from < to) region.bytes.copy(bytes, from - at, from - region.offset, to - region.offset)
}

function refuse(response: ServerResponse, status: number, headers: Readonly<Record<string, string>> = {}): void {
  response.writeHead(status, { 'content-type': 'text/plain', ...headers }).end(`${status}\n`)
}
