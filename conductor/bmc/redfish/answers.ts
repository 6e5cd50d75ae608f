/** Answers of a Redfish service: their bodies, bounded in size and depth, and where they send whoever asks. */
import type { IncomingMessage } from 'node:http'
import { promisify } from 'node:util'
import { gunzip } from 'node:zlib'
import { Fault } from '../../../kit/fault.ts'
import { isDeeper } from '../../../kit/json-depth.ts'

export interface Answer {
  readonly status: number
  readonly headers: NodeJS.Dict<string | string[]>
  /** The JSON of the body; undefined when it is empty or something else. */
  readonly body: unknown
  readonly sizeBytes: number
  /** What answered, after redirections. */
  readonly path: string
}

/** Nothing that we read of a BMC is bigger: a whole BIOS registry has 2 MB. */
export const MAX_BODY_BYTES = 8 * 1024 * 1024
export const MAX_DEPTH = 32

const GUNZIP = promisify<Buffer, { maxOutputLength: number }, Buffer>(gunzip)

/** Throws `bmc.unreachable` when it breaks off, and `bmc.refused` when it is too big or too deep. */
export async function readBody(
  response: IncomingMessage,
  host: string,
): Promise<{ readonly body: unknown; readonly sizeBytes: number }> {
  const bytes = await plainBytes(response, await bytesOf(response, host), host)
  const sizeBytes = bytes.length
  if (sizeBytes === 0) return { body: undefined, sizeBytes }
  if (isDeeper(bytes, MAX_DEPTH))
    throw new Fault('bmc.refused', `BMC ${host} sent JSON of more than ${MAX_DEPTH} levels`)
  try {
    return { body: JSON.parse(bytes.toString().replace(/^\uFEFF/, '')) as unknown, sizeBytes }
  } catch {
    return { body: undefined, sizeBytes }
  }
}

async function bytesOf(response: IncomingMessage, host: string): Promise<Buffer> {
  const chunks: Buffer[] = []
  let sizeBytes = 0
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      sizeBytes += chunk.length
      if (sizeBytes > MAX_BODY_BYTES) throw tooBig(host)
      chunks.push(chunk)
    }
  } catch (error) {
    throw error instanceof Fault ? error : unreachable(host, error as Error)
  }
  return Buffer.concat(chunks)
}

const tooBig = (host: string) =>
  new Fault('bmc.refused', `BMC ${host} sent an answer of more than ${MAX_BODY_BYTES} bytes`)

/** Some compress what they were asked to send as it is. */
async function plainBytes({ headers }: IncomingMessage, bytes: Buffer, host: string): Promise<Buffer> {
  if (headers['content-encoding'] !== 'gzip' || bytes.length === 0) return bytes
  try {
    return await GUNZIP(bytes, { maxOutputLength: MAX_BODY_BYTES })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE') throw tooBig(host)
    throw new Fault('bmc.refused', `BMC ${host} sent an answer that cannot be decompressed`, { cause: error })
  }
}

export const unreachable = (origin: string, error: Error) =>
  new Fault('bmc.unreachable', `BMC ${origin}: ${error.message}`, { cause: error })

/** Those that keep method and body, and those that a read may follow too (RFC 9110, 15.4). */
const KEEPING = new Set([307, 308])
const OF_READS = new Set([301, 302, ...KEEPING])

/** The path that an answer sends on to; null: it is no redirection that may be followed. Throws `bmc.refused` where it
 *  leads to another host or port, which would be given the password. */
export function redirectOf(
  { status, headers }: Pick<Answer, 'status' | 'headers'>,
  { method, path, origin }: { readonly method: string; readonly path: string; readonly origin: string },
): string | null {
  const { location } = headers
  if (!(method === 'GET' ? OF_READS : KEEPING).has(status) || typeof location !== 'string') return null
  const from = new URL(path, origin)
  if (!URL.canParse(location, from.href)) return null
  const to = new URL(location, from)
  if (to.origin === from.origin) return `${to.pathname}${to.search}`
  throw new Fault(
    'bmc.refused',
    `BMC ${from.host} redirects to another address (${to.origin.slice(0, 100)}); if that is the BMC, give it as driver_info/redfish_address`,
  )
}
