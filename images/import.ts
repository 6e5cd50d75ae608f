/** Takes a raw or qcow2 image from a file or a URL into the store: fetched, checked, converted, cut into pieces. */
import { open, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault, isFault } from '../kit/fault.ts'
import { runOk } from '../kit/run.ts'
import { isoTime, systemClock, type Clock } from '../kit/clock.ts'
import type { AddressGuard } from './address-guard.ts'
import { ImportBudget, type Claim } from './budget.ts'
import { diskKernel } from './boot-kernel.ts'
import { checkFile, type Checksum } from './checksum.ts'
import { download } from './download.ts'
import { detectFormat, virtualSizeOf, type DiskFormat } from './format.ts'
import type { ImageIndex, ImageTraits } from './index.ts'
import { cutPieces } from './pieces.ts'
import { diskLoader } from './signed-loader.ts'
import { checkImageName, type ImageStore } from './store.ts'

export interface ImportRequest {
  /** http://, https:// or file:// URL, or a path. */
  readonly source: string
  readonly name: string
  readonly checksum?: Checksum
  readonly format?: DiskFormat
  readonly traits?: ImageTraits
  /** For the source alone: a redirection to another host does not get them. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  /** CA certificates (PEM) for the source. */
  readonly ca?: string | undefined
}

const CONVERT_TIMEOUT_MS = 60 * 60_000
const HEAD_BYTES = 4096
/** `stat` counts in these, whatever the file system's own blocks are. */
const STAT_BLOCK_BYTES = 512

export interface ImportTools {
  readonly clock?: Clock
  readonly onBytes?: (bytes: number) => void
  /** Shared by all imports; without one there are no limits. */
  readonly budget?: ImportBudget
  /** For URLs that tenants give. */
  readonly guard?: AddressGuard
  readonly noRedirects?: boolean
  readonly signal?: AbortSignal
}

export interface Work {
  readonly scratch: string
  readonly claim: Claim
  readonly signal: AbortSignal
  readonly clock: Clock
  readonly budget: ImportBudget
  readonly guard: AddressGuard | undefined
  readonly noRedirects?: boolean | undefined
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly ca?: string | undefined
}

export async function importImage(
  store: ImageStore,
  request: ImportRequest,
  tools: ImportTools = {},
): Promise<ImageIndex> {
  checkImageName(request.name)
  const { clock = systemClock, guard } = tools
  const budget = tools.budget ?? new ImportBudget({}, clock)
  return budget.run(tools.signal, async (signal) => {
    const scratch = await store.scratch()
    const claim = budget.claim(scratch)
    try {
      const work: Work = { scratch, claim, signal, clock, budget, guard, headers: request.headers, ca: request.ca }
      const raw = await rawOf(request, work)
      await claim.grow(await storedBytes(raw))
      const { signed, architecture } = await diskLoader(raw, request.traits?.efiLoader)
      const bootKernel = await diskKernel(raw)
      const cut = await cutPieces({
        rawPath: raw,
        dataPath: join(scratch, 'data.zst'),
        signal,
        onWritten: (bytes) => claim.wrote(bytes),
        ...(tools.onBytes ? { onBytes: tools.onBytes } : {}),
      })
      for (const file of ['source', 'raw']) await rm(join(scratch, file), { force: true })
      return await store.add(scratch, {
        ...cut,
        names: [request.name],
        createdAt: isoTime(clock.now()),
        ...(signed === undefined ? {} : { signedLoader: signed }),
        ...(architecture ? { architecture } : {}),
        ...(bootKernel ? { bootKernel } : {}),
        ...request.traits,
      })
    } finally {
      claim.release()
      await rm(scratch, { recursive: true, force: true })
    }
  })
}

/** Fetched, checked, and unpacked where it is a qcow2. */
async function rawOf(request: ImportRequest, work: Work): Promise<string> {
  const { budget, claim, scratch, signal } = work
  const file = await fetchSource(request.source, join(scratch, 'source'), work)
  if (request.checksum) await checkFile(file, { checksum: request.checksum, what: request.source, signal })
  const head = await readHead(file)
  const format = detectFormat(head, request.format)
  budget.checkSize(format === 'qcow2' ? virtualSizeOf(head) : (await stat(file)).size)
  if (format === 'raw') return file
  const raw = join(scratch, 'raw')
  await claim.grow(await unpackedBytes(file, signal))
  await convert(file, raw, signal)
  claim.wrote(await storedBytes(raw))
  detectFormat(await readHead(raw), 'raw')
  return raw
}

const storedBytes = async (path: string): Promise<number> => (await stat(path)).blocks * STAT_BLOCK_BYTES

/** The file of a source: fetched into `to`, or the path of one on this machine. */
export async function fetchSource(source: string, to: string, work: Work): Promise<string> {
  if (/^https?:/i.test(source)) {
    const { budget, ...parts } = work
    await download(source, to, { ...parts, leastBytesPerSecond: budget.limits.leastBytesPerSecond })
    return to
  }
  if (/^[a-z][a-z0-9+.-]*:/i.test(source) && !/^file:/i.test(source))
    throw new Fault(
      'input.invalid',
      `image source ${JSON.stringify(source.slice(0, 255))}: only http, https and file URLs, and paths, are understood`,
    )
  const path = /^file:/i.test(source) ? fileURLToPath(source) : source
  const info = await stat(path).catch((error: NodeJS.ErrnoException) => {
    throw new Fault(
      'image.source',
      `cannot read ${path}: ${error.code === 'ENOENT' ? 'there is no such file' : error.message}`,
      { cause: error },
    )
  })
  // A device or pipe such as /dev/zero would never end (CVE-2026-44919).
  if (!info.isFile()) throw new Fault('image.source', `${path} is not an ordinary file`)
  return path
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

/** How much of the disk in a qcow2 is data: clusters that are mapped, each as often as it is, compressed or not. */
async function unpackedBytes(file: string, signal: AbortSignal): Promise<number> {
  const text = await qemuImg(['measure', '--output=json', '-f', 'qcow2', '-O', 'qcow2', file], signal)
  return (JSON.parse(text) as { required: number }).required
}

const convert = (from: string, to: string, signal: AbortSignal) =>
  qemuImg(['convert', '-f', 'qcow2', '-O', 'raw', '-S', '64k', from, to], signal)

const qemuImg = (args: readonly string[], signal: AbortSignal): Promise<string> =>
  runOk(['qemu-img', ...args], { timeoutMs: CONVERT_TIMEOUT_MS, signal }).catch((error: unknown) => {
    throw isFault(error, 'run.failed')
      ? new Fault('image.format', `qemu-img cannot read the image: ${error.detail}`, { cause: error })
      : error
  })
