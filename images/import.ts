/** Takes a raw or qcow2 image from a file or a URL into the store: fetched, checked, converted, cut into pieces. */
import { rm, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Fault } from '../kit/fault.ts'
import { writeWhole } from '../kit/files.ts'
import { isoTime, systemClock, type Clock } from '../kit/clock.ts'
import type { AddressGuard } from './address-guard.ts'
import { ImportBudget } from './budget.ts'
import { diskKernel } from './boot-kernel.ts'
import { checkFile, type Checksum } from './checksum.ts'
import { download } from './download.ts'
import type { DiskFormat } from './format.ts'
import type { ImageIndex, ImageTraits } from './index.ts'
import type { OpenParts } from './open-url.ts'
import { originOf } from './origin.ts'
import { cutPieces } from './pieces.ts'
import { diskLoader } from './signed-loader.ts'
import { rawDiskOf, storedBytes } from './unpack.ts'
import type { Work } from './work.ts'
import { checkImageName, ORIGIN, type ImageStore } from './store.ts'

export interface ImportRequest {
  /** http://, https:// or file:// URL, or a path. */
  readonly source: string
  readonly name: string
  readonly checksum?: Checksum | undefined
  readonly format?: DiskFormat | undefined
  readonly traits?: ImageTraits
  /** For the source alone: a redirection to another host does not get them. */
  readonly headers?: OpenParts['headers']
  /** CA certificates (PEM) for the source. */
  readonly ca?: string | undefined
  /** The id that the image must have: it replaces a damaged copy. */
  readonly sameAs?: string | undefined
  /** What is kept as the place that it came from; absent: `source`; null: `source` does not last. */
  readonly origin?: string | null | undefined
}

const FULL = /^(ENOSPC|EDQUOT)$/
const FULL_TEXT = /No space left on device|Disk quota exceeded/

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
      const { headers, ca } = request
      const { noRedirects } = tools
      const work: Work = { scratch, claim, signal, clock, budget, guard, noRedirects, headers, ca, copies: 2 }
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
      for (const file of ['source', 'unwrapped', 'copy', 'raw']) await rm(join(scratch, file), { force: true })
      if (request.sameAs !== undefined && cut.id !== request.sameAs)
        throw new Fault('image.source', `${request.name}: the source holds another image now than the one in the store`)
      const { origin: lasting = request.source } = request
      const origin = lasting === null ? undefined : originOf({ ...request, source: lasting })
      if (origin) await writeWhole(join(scratch, ORIGIN), JSON.stringify(origin))
      return await store.add(scratch, {
        ...cut,
        names: [request.name],
        createdAt: isoTime(clock.now()),
        ...(signed === undefined ? {} : { signedLoader: signed }),
        ...(architecture ? { architecture } : {}),
        ...(bootKernel ? { bootKernel } : {}),
        ...request.traits,
      })
    } catch (error) {
      throw fullDisk(error, scratch)
    } finally {
      claim.release()
      await rm(scratch, { recursive: true, force: true })
    }
  })
}

/** Something else than an import may fill a disk while an import goes on. */
export function fullDisk(error: unknown, directory: string): unknown {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (FULL.test((cause as NodeJS.ErrnoException).code ?? '') || FULL_TEXT.test(cause.message))
      return new Fault('image.space', `the disk of ${dirname(directory)} became full during the import`, {
        cause: error,
      })
  return error
}

/** Fetched, checked, and unpacked. */
async function rawOf(request: ImportRequest, work: Work): Promise<string> {
  const { scratch, signal } = work
  const file = await fetchSource(request.source, join(scratch, 'source'), work)
  if (request.checksum) await checkFile(file, { checksum: request.checksum, what: request.source, signal })
  return rawDiskOf(file, request.format, work)
}

/** The file of a source: fetched into `to`, or the path of one on this machine. */
export async function fetchSource(source: string, to: string, work: Work): Promise<string> {
  if (/^https?:/i.test(source)) {
    const { budget, ...parts } = work
    const { leastBytesPerSecond, virtualSizeBytes: mostBytes } = budget.limits
    await download(source, to, { ...parts, leastBytesPerSecond, mostBytes })
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
