/** Takes a raw or qcow2 image from a file or a URL into the store: fetched, checked, converted, cut into pieces. */
import { createWriteStream } from 'node:fs'
import { open, rm, stat, statfs } from 'node:fs/promises'
import { get as httpGet, type IncomingMessage } from 'node:http'
import { get as httpsGet } from 'node:https'
import { dirname, join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'
import { Fault, isFault } from '../kit/fault.ts'
import { runOk } from '../kit/run.ts'
import { bytesText } from '../kit/text.ts'
import { isoTime, systemClock, type Clock } from '../kit/clock.ts'
import { checkFile, type Checksum } from './checksum.ts'
import { detectFormat, type DiskFormat } from './format.ts'
import type { ImageIndex, ImageTraits } from './index.ts'
import { cutPieces } from './pieces.ts'
import { checkImageName, type ImageStore } from './store.ts'

export interface ImportRequest {
  /** http://, https:// or file:// URL, or a path. */
  readonly source: string
  readonly name: string
  readonly checksum?: Checksum
  readonly format?: DiskFormat
  readonly traits?: ImageTraits
}

const CONVERT_TIMEOUT_MS = 60 * 60_000
const STALL_MS = 60_000
const MAX_REDIRECTS = 5
const HEAD_BYTES = 4096
/** A disk that is full to the last byte stops more than a download. */
const RESERVE_BYTES = 1024 ** 3

export async function importImage(
  store: ImageStore,
  request: ImportRequest,
  tools: { clock?: Clock; onBytes?: (bytes: number) => void } = {},
): Promise<ImageIndex> {
  checkImageName(request.name)
  const scratch = await store.scratch()
  try {
    const file = await fetchSource(request.source, join(scratch, 'source'))
    if (request.checksum) await checkFile(file, request.checksum, request.source)
    const format = detectFormat(await readHead(file), request.format)
    const raw = format === 'raw' ? file : await convert(file, join(scratch, 'raw'))
    if (format === 'qcow2') detectFormat(await readHead(raw), 'raw')
    const cut = await cutPieces({ rawPath: raw, dataPath: join(scratch, 'data.zst'), ...(tools.onBytes ? { onBytes: tools.onBytes } : {}) })
    for (const file of ['source', 'raw']) await rm(join(scratch, file), { force: true })
    return await store.add(scratch, { ...cut, names: [request.name], createdAt: isoTime((tools.clock ?? systemClock).now()), ...request.traits })
  } finally {
    await rm(scratch, { recursive: true, force: true })
  }
}

async function fetchSource(source: string, to: string): Promise<string> {
  if (/^https?:/i.test(source)) {
    await download(source, to)
    return to
  }
  const path = /^file:/i.test(source) ? fileURLToPath(source) : source
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new Fault('image.source', `cannot read ${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`, { cause: error })
  })
  // A device or pipe such as /dev/zero would never end (CVE-2026-44919).
  if (!info.isFile()) throw new Fault('image.source', `${path} is not an ordinary file`)
  return path
}

async function download(url: string, to: string, redirects = 0): Promise<void> {
  if (redirects > MAX_REDIRECTS) throw new Fault('image.source', `${url}: too many redirects`)
  const response = await request(url)
  const status = response.statusCode ?? 0
  if (status >= 300 && status < 400 && response.headers.location) {
    response.resume()
    return download(new URL(response.headers.location, url).href, to, redirects + 1)
  }
  if (status !== 200) {
    response.resume()
    throw new Fault('image.source', `${url} answered ${status}`)
  }
  const promised = response.headers['content-length']
  const { bavail, bsize } = await statfs(dirname(to))
  const roomBytes = bavail * bsize - RESERVE_BYTES
  const full = () => new Fault('image.source', `${url}: more than the ${bytesText(Math.max(0, roomBytes))} that ${dirname(to)} has room for`)
  if (Number(promised ?? 0) > roomBytes) {
    response.destroy()
    throw full()
  }
  let gotBytes = 0
  response.on('data', (chunk: Buffer) => {
    gotBytes += chunk.length
    if (gotBytes > roomBytes) response.destroy(full())
  })
  try {
    await pipeline(response, createWriteStream(to))
  } catch (error) {
    if (isFault(error)) throw error
    throw new Fault('image.source', `${url}: the download broke off`, { cause: error })
  }
  const got = (await stat(to)).size
  if (promised !== undefined && Number(promised) !== got) throw new Fault('image.source', `${url}: ${got} of ${promised} bytes came`)
}

function request(url: string): Promise<IncomingMessage> {
  if (!URL.canParse(url)) throw new Fault('input.invalid', `image source ${JSON.stringify(url)} is not a URL`)
  const get = url.startsWith('https:') ? httpsGet : httpGet
  return new Promise((resolve, reject) => {
    const call = get(url, { timeout: STALL_MS }, resolve)
    call.on('timeout', () => call.destroy(new Error(`nothing came for ${STALL_MS / 1000} s`)))
    call.on('error', (error) => reject(isFault(error) ? error : new Fault('image.source', `${url}: ${error.message}`, { cause: error })))
  })
}

async function readHead(path: string): Promise<Buffer> {
  const file = await open(path, 'r')
  try {
    const head = Buffer.alloc(HEAD_BYTES)
    const { bytesRead } = await file.read(head, 0, HEAD_BYTES, 0)
    return head.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function convert(from: string, to: string): Promise<string> {
  await runOk(['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', '-S', '64k', from, to], { timeoutMs: CONVERT_TIMEOUT_MS }).catch((error: unknown) => {
    throw isFault(error, 'run.failed') ? new Fault('image.format', `qemu-img cannot read the image: ${error.detail}`, { cause: error }) : error
  })
  return to
}
