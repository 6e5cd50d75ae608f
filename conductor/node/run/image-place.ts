/** Where the bytes of an image are, and what names it in the store: for URLs, files, images of Glance and artifacts of
 *  OCI registries. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { AddressGuard } from '../../../images/address-guard.ts'
import type { ImportBudget } from '../../../images/budget.ts'
import type { Checksum } from '../../../images/checksum.ts'
import type { DiskFormat } from '../../../images/format.ts'
import type { Glance, GlanceImage } from '../../../images/glance.ts'
import type { ImportRequest, ImportTools } from '../../../images/import.ts'
import { isOci, parseOci, pinned } from '../../../images/oci-reference.ts'
import type { OciImage, OciRegistry } from '../../../images/oci-registry.ts'
import { isS3, parseS3, type S3 } from '../../../images/s3.ts'
import type { ImageStore } from '../../../images/store.ts'
import { Fault } from '../../../kit/fault.ts'
import type { ImageTrust } from '../../image-store/trust.ts'
import { recordedArchitecture } from '../policy/architecture.ts'
import { glanceId, ownPullSecret, pullSecretOf, type SourceFile } from '../policy/instance-source.ts'
import type { NodeRecord } from '../record.ts'

/** Imports of one process. `allowedPaths` for file URLs, `guard` for the others. */
export interface ImageSourceParts {
  readonly store: ImageStore
  readonly allowedPaths: readonly string[]
  readonly budget: ImportBudget
  readonly guard: AddressGuard
  /** Absent: every image may be deployed. */
  readonly trust?: ImageTrust | undefined
  readonly glance: Glance | undefined
  readonly oci: OciRegistry
  readonly s3?: S3 | undefined
  /** Directory of the signed loaders, which start partition images; absent: there are no boot services. */
  readonly loaders?: string | undefined
  /** Most bytes of a kernel or a ramdisk; absent: no limit. */
  readonly bootFileBytes?: number
  /** The id of the image that a source names by version or channel; undefined: it names none so. */
  readonly series?: (source: string) => Promise<string | undefined>
}

/** What is known of who wants an image. */
export interface Asker
  extends Pick<NodeRecord, 'instanceInfo'>, Partial<Pick<NodeRecord, 'driverInfo' | 'properties'>> {
  readonly workflow: Pick<NodeRecord['workflow'], 'project'>
}

/** Where the bytes of a source are, and with which headers. */
export type ImagePlace = Pick<ImportRequest, 'source' | 'headers' | 'ca'>

export interface FoundFile extends SourceFile {
  /** Where that is known already. */
  readonly place?: ImagePlace | undefined
}

export interface ImageFile extends FoundFile {
  readonly checksum: Checksum
  readonly format?: DiskFormat
  /** What names it in the store, instead of the checksum of the file. */
  readonly named?: Checksum
}

/** Whether an image has no other name than those of copies that were fetched for somebody. */
export const isPrivate = ({ names }: { readonly names: readonly string[] }): boolean =>
  names.every((name) => /^url-[0-9a-f]{32}$/.test(name))

/** A URL is imported once per checksum. */
export const nameOf = ({ source, checksum }: Pick<ImageFile, 'source' | 'checksum'>): string =>
  `url-${createHash('sha256').update(`${source}\n${checksum.algo}:${checksum.hex}`).digest('hex').slice(0, 32)}`

export const DISK_FORMATS: readonly string[] = ['raw', 'qcow2'] satisfies readonly DiskFormat[]
export const BOOT_FORMATS: readonly string[] = ['aki', 'ari', 'iso', 'raw']

/** An image of Glance, with the checksum and the format that Glance has for it. */
export function glanceFile({ id, checksum, diskFormat }: GlanceImage, formats: readonly string[]): ImageFile {
  if (!formats.includes(diskFormat))
    throw new Fault(
      'image.format',
      `image ${id} of Glance has the disk format ${diskFormat}; ${formats.join(', ')} can be used here`,
    )
  const source = `glance://${id}`
  return { source, checksum, ...(formats === DISK_FORMATS ? { format: diskFormat as DiskFormat } : {}) }
}

/** The name of an image that a digest of its manifest names. Throws `image.missing` for a tag: only the registry knows
 *  what it means now. */
export function pinnedName(source: string): string {
  const reference = parseOci(source)
  const { wanted } = reference
  if (!('digest' in wanted)) throw new Fault('image.missing', 'an image by a tag')
  return nameOf({ source: pinned(reference, wanted.digest), checksum: wanted.digest })
}

/** What an artifact is now, by the credentials of the node, or of this conductor. */
export async function ociImage(
  source: string,
  { instanceInfo, driverInfo = {}, properties = {} }: Asker,
  { oci, guard, signal }: Pick<ImageSourceParts, 'oci' | 'guard'> & { readonly signal: AbortSignal },
): Promise<ImageFile> {
  const reference = parseOci(source)
  const pullSecret = pullSecretOf(instanceInfo) ?? ownPullSecret(driverInfo, reference.host)
  const architecture = recordedArchitecture({ properties }) ?? undefined
  const found = await oci.image(reference, { architecture, pullSecret, guard, signal })
  return { source: found.source, checksum: found.checksum, named: found.manifest, place: placeIn(found) }
}

const placeIn = ({ url, headers, ca }: OciImage): ImagePlace => ({ source: url, headers, ca })

/** Where a source is read from, and what the import shares with others. The hosts of Glance and of S3 storage are in
 *  the configuration, so they are allowed wherever they are. */
export async function placeOf(
  { source, place: known }: FoundFile,
  { allowedPaths, glance, oci, s3, budget, guard }: ImageSourceParts,
  signal: AbortSignal,
): Promise<{ place: ImagePlace; tools: ImportTools }> {
  if (known) return { place: known, tools: { budget, signal, guard } }
  if (isOci(source)) {
    const asker = { architecture: undefined, pullSecret: undefined, guard, signal }
    return { place: placeIn(await oci.image(parseOci(source), asker)), tools: { budget, signal, guard } }
  }
  const trusting = ({ source: url }: Pick<ImagePlace, 'source'>) => ({
    ...guard,
    allowedHosts: [...guard.allowedHosts, new URL(url).hostname],
  })
  if (isS3(source)) {
    const reference = parseS3(source, 'image_source', s3?.buckets ?? [])
    const place = (s3 as S3).place(reference)
    return { place, tools: { budget, signal, guard: trusting(place), noRedirects: true } }
  }
  const id = /^glance:/i.test(source) ? glanceId(source) : undefined
  if (id && glance) {
    const place = await glance.place(id, signal)
    return { place, tools: { budget, signal, guard: trusting(place) } }
  }
  const place = { source: /^file:/i.test(source) ? await pathOf(source, allowedPaths) : source }
  return { place, tools: { budget, signal, guard } }
}

/** Links are followed before the look: a link inside an allowed directory must not lead out of it. */
async function pathOf(url: string, allowedPaths: readonly string[]): Promise<string> {
  const path = await realpath(fileURLToPath(url)).catch((error: NodeJS.ErrnoException) => {
    throw new Fault('image.source', `cannot read ${url}: ${error.code ?? error.message}`, { cause: error })
  })
  if (!allowedPaths.some((allowed) => path.startsWith(`${allowed.replace(/\/+$/, '')}/`)))
    throw new Fault(
      'input.invalid',
      `instance_info/image_source: ${url} is outside the paths that images.allowedFilePaths names`,
    )
  return path
}
