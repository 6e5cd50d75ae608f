/** The body of a request: JSON of a bounded size, before and after it is inflated, and of a bounded depth. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { brotliDecompress, gunzip, inflate } from 'node:zlib'
import { turn } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { isDeeper } from '../../kit/json-depth.ts'
import { gather } from '../../kit/gather.ts'

export interface BodyLimits {
  readonly limitBytes: number
  readonly inflate: boolean
  readonly depth: number
}

const INFLATE = { gzip: promisify(gunzip), deflate: promisify(inflate), br: promisify(brotliDecompress) } as const
/** Making one costs more than to decode a small body. */
const DECODER = new TextDecoder()
const BIG_BYTES = 1024 * 1024
const JSON_TYPE = /^application\/(?:[\w.+-]+\+)?json$/
const UTF8 = /^(?:utf-?8|us-ascii)$/i

/** Undefined without a body. Throws `input.type` (415), `input.large` (413), `input.invalid` (400). */
export async function readBody(request: IncomingMessage, limits: BodyLimits): Promise<unknown> {
  const { 'content-length': length, 'transfer-encoding': chunked } = request.headers
  if (length === undefined && chunked === undefined) return undefined
  if (Number(length ?? 0) > limits.limitBytes) throw tooLarge(limits)
  if (length === '0') return {}
  mustBeJson(request.headers['content-type'])
  const encoding = (request.headers['content-encoding'] ?? 'identity').trim().toLowerCase()
  if (encoding !== 'identity' && !(limits.inflate && Object.hasOwn(INFLATE, encoding)))
    throw new Fault(
      'input.type',
      `Content-Encoding: ${encoding.slice(0, 40)} is not taken here${limits.inflate ? '; gzip, deflate and br are' : ''}`,
    )
  const sent = await gather(request, limits.limitBytes)
  const bytes = encoding === 'identity' ? sent : await inflated(sent, encoding as keyof typeof INFLATE, limits)
  return await parse(bytes, limits)
}

function mustBeJson(header: string | undefined): void {
  if (header === undefined) return
  const [type = '', ...parameters] = header.split(';').map((part) => part.trim())
  if (!JSON_TYPE.test(type.toLowerCase()))
    throw new Fault(
      'input.type',
      `Content-Type: ${type.slice(0, 80)} is not taken: send JSON with the header "Content-Type: application/json"`,
    )
  const charset = parameters.find((parameter) => /^charset=/i.test(parameter))?.slice('charset='.length)
  if (charset !== undefined && !UTF8.test(charset.replaceAll('"', '')))
    throw new Fault('input.type', 'Content-Type: the charset of JSON is UTF-8')
}

async function inflated(sent: Buffer, encoding: keyof typeof INFLATE, limits: BodyLimits): Promise<Buffer> {
  try {
    return await INFLATE[encoding](sent, { maxOutputLength: limits.limitBytes })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooLarge(limits)
    throw new Fault('input.invalid', `the body is not ${encoding}, as Content-Encoding says`)
  }
}

/** The bytes as they were sent, for a signature over them. Throws `input.large` (413), `input.type` (415). */
export async function readBytes(request: IncomingMessage, limitBytes: number): Promise<Buffer> {
  const { 'content-length': length, 'content-encoding': encoding = 'identity' } = request.headers
  if (Number(length ?? 0) > limitBytes) throw tooLarge({ limitBytes })
  if (encoding.trim().toLowerCase() !== 'identity')
    throw new Fault('input.type', `Content-Encoding: ${encoding.slice(0, 40)} is not taken here`)
  return gather(request, limitBytes)
}

/** A big body is worked on in steps, with a turn of the event loop between them. */
export async function parse(bytes: Buffer, { depth }: Pick<BodyLimits, 'depth'>): Promise<unknown> {
  if (bytes.length === 0) return {}
  const pause = bytes.length > BIG_BYTES ? turn : () => undefined
  if (isDeeper(bytes, depth)) throw new Fault('input.invalid', `the body is nested deeper than ${depth} levels`)
  await pause()
  const text = DECODER.decode(bytes)
  await pause()
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    throw new Fault('input.invalid', 'the body is not JSON (send a JSON object with content-type application/json)')
  }
  await pause()
  return value
}

const tooLarge = ({ limitBytes }: Pick<BodyLimits, 'limitBytes'>) =>
  new Fault(
    'input.large',
    `the body is too large: at most ${limitBytes} bytes are taken, before and after it is inflated`,
  )
