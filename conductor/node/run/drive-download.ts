/** A config drive that is given as a URL: fetched below an allowed prefix when the request comes, and brought into the
 *  form that is stored. */
import { promisify } from 'node:util'
import { createGunzip, gzip } from 'node:zlib'
import { turn, type Clock } from '../../../kit/clock.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import { Semaphore } from '../../../kit/semaphore.ts'
import { allowedUrl, type AllowList } from '../../outbound/allow-list.ts'
import { getAllowed } from '../../outbound/get.ts'

export interface DriveDownloadParts {
  readonly list: AllowList
  readonly clock: Clock
  readonly limits: {
    readonly configDriveBytes: number
    readonly configDriveDownloads: number
    readonly configDriveSeconds: number
  }
}

/** Requests that wait for their turn, for each download at a time. */
const WAITING_EACH = 16
/** Decoded at a time; a multiple of four characters. */
const SLICE_CHARS = 1024 * 1024
const ISO_END = 32_774

/** Every URL of any scheme, so that one that is not allowed is called a URL in its refusal. */
export const isDriveUrl = (given: unknown): given is string =>
  typeof given === 'string' && /^\s*[a-z][a-z0-9+.-]*:\/\//i.test(given)

export class DriveDownload {
  private readonly parts: DriveDownloadParts
  private readonly slots: Semaphore
  private asked = 0

  constructor(parts: DriveDownloadParts) {
    this.parts = parts
    this.slots = new Semaphore(parts.limits.configDriveDownloads)
  }

  /** Throws `input.invalid` for a URL that may not be fetched. */
  check(url: string): void {
    this.named(() => allowedUrl(url.trim(), this.parts.list))
  }

  /** The gzipped ISO. Throws `input.invalid` or `url.fetch`, with the field; `url.busy` when too many wait. */
  async fetch(url: string): Promise<Buffer> {
    const { clock, limits } = this.parts
    const { configDriveDownloads, configDriveSeconds: seconds, configDriveBytes: maxBytes } = limits
    if (this.asked >= configDriveDownloads * (1 + WAITING_EACH))
      throw new Fault('url.busy', 'configdrive: too many config drives are being fetched')
    this.asked += 1
    const abort = new AbortController()
    const late = new Fault('url.fetch', `it did not come within ${seconds} s (limits.api.configDriveSeconds)`)
    const cancel = clock.after(seconds * 1000, () => abort.abort(late))
    try {
      return await this.slots.run(async () => {
        const { status, body } = await getAllowed(url.trim(), { list: this.parts.list, signal: abort.signal, maxBytes })
        if (status !== 200) throw new Fault('url.fetch', `the server answered ${status}`)
        return gzippedIso(body, maxBytes)
      }, abort.signal)
    } catch (error) {
      return this.named(() => {
        throw error
      })
    } finally {
      cancel()
      this.asked -= 1
    }
  }

  private named<T>(work: () => T): T {
    try {
      return work()
    } catch (error) {
      throw isFault(error) ? new Fault(error.code, `configdrive: ${error.detail}`, { cause: error }) : error
    }
  }
}

/** base64(gzip(ISO)) as Bifrost serves it, gzip, or a plain ISO -> gzip, of an ISO within the limit. Throws
 *  `input.invalid`. */
export async function gzippedIso(body: Buffer, limitBytes: number): Promise<Buffer> {
  const bytes = isGzip(body) || isIso(body) ? body : await decoded(body)
  if (isIso(bytes)) return promisify(gzip)(bytes, { level: 1 })
  if (!isGzip(bytes))
    throw new Fault('input.invalid', 'the answer is neither an ISO 9660 image, nor gzip or base64 of one')
  await checkGzip(bytes, limitBytes)
  return bytes
}

const isGzip = (bytes: Buffer) => bytes[0] === 0x1f && bytes[1] === 0x8b
/** ISO 9660 volume descriptors begin at sector 16; the identifier stands one byte in (ECMA-119 8.1). */
const isIso = (bytes: Buffer) => bytes.length >= ISO_END && bytes.toString('latin1', 32_769, ISO_END) === 'CD001'

/** In slices: decoding all of it at once would hold up everybody else. */
async function decoded(text: Buffer): Promise<Buffer> {
  const parts: Buffer[] = []
  let left = ''
  for (let at = 0; at < text.length; at += SLICE_CHARS) {
    const slice = left + text.toString('latin1', at, at + SLICE_CHARS).replace(/\s+/g, '')
    if (!/^[A-Za-z0-9+/]*={0,2}$/.test(slice)) return Buffer.alloc(0)
    const whole = at + SLICE_CHARS >= text.length ? slice.length : slice.length - (slice.length % 4)
    parts.push(Buffer.from(slice.slice(0, whole), 'base64'))
    left = slice.slice(whole)
    await turn()
  }
  return Buffer.concat(parts)
}

/** Unpacks it once, keeping its head alone: what unpacks to more than the limit is cut off there. */
async function checkGzip(bytes: Buffer, limitBytes: number): Promise<void> {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 })
  gunzip.end(bytes)
  let head = Buffer.alloc(0)
  let sizeBytes = 0
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) {
      if (head.length < ISO_END) head = Buffer.concat([head, chunk])
      sizeBytes += chunk.length
      if (sizeBytes > limitBytes)
        throw new Fault('input.invalid', `the ISO has more than ${limitBytes} bytes (limits.api.configDriveBytes)`)
    }
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('input.invalid', `the answer cannot be unpacked: ${(error as Error).message}`, { cause: error })
  } finally {
    gunzip.destroy()
  }
  if (!isIso(head)) throw new Fault('input.invalid', 'the answer holds no ISO 9660 image')
}
