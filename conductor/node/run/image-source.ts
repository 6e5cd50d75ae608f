/** instance_info -> an image in the store. A name or id is looked up; a URL is imported once per checksum. */
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { Clock } from '../../../kit/clock.ts'
import { defined } from '../../../kit/defined.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import { ImportBudget } from '../../../images/budget.ts'
import type { Checksum } from '../../../images/checksum.ts'
import type { Glance } from '../../../images/glance.ts'
import { importImage } from '../../../images/import.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { isOci } from '../../../images/oci-reference.ts'
import type { OciRegistry } from '../../../images/oci-registry.ts'
import type { S3 } from '../../../images/s3.ts'
import type { ImageStore } from '../../../images/store.ts'
import type { Config } from '../../config.ts'
import { imageOfSeries } from '../../image-store/series.ts'
import { trustOf } from '../../image-store/trust.ts'
import type { Store } from '../../store/port.ts'
import { glanceId, imageSource, type SourceRules } from '../policy/instance-source.ts'
import { imageType } from '../policy/partition-source.ts'
import {
  DISK_FORMATS,
  glanceFile,
  isPrivate,
  nameOf,
  ociImage,
  pinnedName,
  placeOf,
  type Asker,
  type ImageFile,
  type ImagePlace,
  type ImageSourceParts,
} from './image-place.ts'
import { PartitionImages } from './partition-images.ts'
import { SharedWork } from './shared-work.ts'

const unwanted = () => new Fault('image.source', 'nobody waits for the image any more')
const NOT_SIGNED = 'it is not in the store, so nobody signed it'
const NEVER = new AbortController().signal

export class ImageSource {
  private readonly parts: ImageSourceParts
  private readonly rules: Pick<SourceRules, 'glance' | 's3'>
  private readonly imports = new SharedWork<ImageIndex>(unwanted)
  private readonly partitions: PartitionImages

  constructor(parts: ImageSourceParts) {
    this.parts = parts
    this.partitions = new PartitionImages(parts)
    this.rules = { glance: parts.glance !== undefined, s3: parts.s3?.buckets }
  }

  /** An import ends when nobody waits for it any more. Throws `image.untrusted`. */
  async resolve(node: Asker, signal = NEVER): Promise<ImageIndex> {
    const image = await this.found(node, signal)
    await this.parts.trust?.check(image)
    return image
  }

  private async found(node: Asker, signal: AbortSignal): Promise<ImageIndex> {
    if (imageType(node.instanceInfo) === 'partition') return this.partitions.resolve(node, signal)
    const { store, glance } = this.parts
    const { checksum, source } = imageSource(node.instanceInfo, this.rules)
    if (isOci(source)) return this.fromRegistry(source, node, { checksum, signal })
    if (checksum) return this.imported({ source, checksum }, signal)
    const released = await this.parts.series?.(source)
    if (released !== undefined) return this.whole(await store.use(released, this.now()), signal)
    const id = glance && glanceId(source)
    if (!id || !glance) return this.whole(await this.named(source, node), signal)
    // What an operator imported under the UUID of an image is meant before the image itself.
    const known = await store.use(source, this.now()).catch(() => undefined)
    if (known) return this.whole(known, signal)
    const { project } = node.workflow
    return this.imported(glanceFile(await glance.image(id, project, signal), DISK_FORMATS), signal)
  }

  /** An image by its own name or id. A copy that was fetched for somebody is for those who may fetch it themselves: a
   *  user of one project names its source. */
  private async named(source: string, { workflow }: Asker): Promise<ImageIndex> {
    const image = await this.parts.store.use(source, this.now())
    if (workflow.project !== null && isPrivate(image))
      throw new Fault('image.missing', `image ${JSON.stringify(source)} is not in the store`)
    return image
  }

  /** The image of a node if it is in the store: nothing is fetched. */
  async known({ instanceInfo }: Pick<Asker, 'instanceInfo'>): Promise<ImageIndex | undefined> {
    const { store } = this.parts
    try {
      if (imageType(instanceInfo) === 'partition') return await this.partitions.known({ instanceInfo })
      const { checksum, source } = imageSource(instanceInfo, this.rules)
      if (isOci(source)) return await store.find(pinnedName(source))
      const released = await this.parts.series?.(source)
      if (released !== undefined) return await store.find(released)
      return await store.find(checksum ? nameOf({ source, checksum }) : source)
    } catch (error) {
      if (isFault(error)) return undefined
      throw error
    }
  }

  /** What a deploy would be refused for, as far as it is known now; nothing is fetched. Throws `image.untrusted`. */
  async checkTrust({ instanceInfo }: Pick<Asker, 'instanceInfo'>): Promise<void> {
    const { trust } = this.parts
    if (!trust || instanceInfo.image_source === undefined) return
    const image = await this.known({ instanceInfo })
    if (image) return trust.check(image)
    const { checksum, source } = imageSource(instanceInfo, this.rules)
    // A registry or Glance says first which file it is, which may be in the store.
    if (checksum && !isOci(source)) throw trust.refusal(source, NOT_SIGNED)
  }

  /** The registry is asked each time, also for what is in the store: nobody gets an image through the copy that
   *  somebody else was allowed to pull. */
  private async fromRegistry(
    source: string,
    node: Asker,
    { checksum, signal }: { checksum: Checksum | undefined; signal: AbortSignal },
  ): Promise<ImageIndex> {
    const found = await ociImage(source, node, { ...this.parts, signal })
    if (checksum && (checksum.algo !== found.checksum.algo || checksum.hex !== found.checksum.hex))
      throw new Fault(
        'image.checksum',
        `instance_info/image_checksum is not the digest of the file in the registry (${found.checksum.algo}): leave it out, or name the manifest by its digest`,
      )
    return this.imported(found, signal)
  }

  private async imported(wanted: ImageFile, signal: AbortSignal): Promise<ImageIndex> {
    const name = nameOf({ source: wanted.source, checksum: wanted.named ?? wanted.checksum })
    const known = await this.parts.store.use(name, this.now()).catch(() => undefined)
    if (known) return this.whole(known, signal, wanted.place)
    // Nothing is fetched that could not be deployed.
    if (this.parts.trust) throw this.parts.trust.refusal(wanted.source, NOT_SIGNED)
    // Ten nodes that want one image wait for one import.
    return this.imports.join(name, (ended) => this.import(wanted, name, ended), signal)
  }

  /** Fetches a damaged image again from where it came. Throws `image.broken` when nobody knows where that is. */
  async heal({ id, names, ...index }: ImageIndex, signal = NEVER, known?: ImagePlace): Promise<ImageIndex> {
    const { store } = this.parts
    const origin = await store.originOf(id)
    const name = names[0] ?? id
    if (!origin)
      throw new Fault('image.broken', `image ${name} is damaged, and where it came from is not known`, {
        cause: new Error(id),
      })
    const { osType, architecture, efiLoader, grow, signedLoader, bootKernel } = index
    return this.imports.join(
      id,
      async (ended) => {
        const { source } = origin
        const url = isAbsolute(source) ? pathToFileURL(source).href : source
        const { place, tools } = await placeOf({ source: url, place: known }, this.parts, ended)
        const traits = defined({ osType, architecture, efiLoader, grow, signedLoader, bootKernel })
        return importImage(store, { ...origin, ...place, origin: source, name, traits, sameAs: id }, tools)
      },
      signal,
    )
  }

  private now = (): number => this.parts.budget.now()

  private async whole(image: ImageIndex, signal: AbortSignal, place?: ImagePlace): Promise<ImageIndex> {
    const damaged = await this.parts.store.damagedOf(image.id)
    return damaged.length === 0 ? image : this.heal(image, signal, place)
  }

  private async import(wanted: ImageFile, name: string, signal: AbortSignal): Promise<ImageIndex> {
    const { store } = this.parts
    const { checksum, format } = wanted
    const { place, tools } = await placeOf(wanted, this.parts, signal)
    const origin = wanted.source
    return importImage(store, { ...place, name, checksum, origin, ...(format ? { format } : {}) }, tools)
  }
}

/** What both kinds of imports share. */
export const importParts = (
  { images, limits, boot }: Pick<Config, 'images' | 'limits' | 'boot'>,
  parts: {
    store: ImageStore
    records: Pick<Store, 'objects'>
    glance: Glance | undefined
    oci: OciRegistry
    s3: S3 | undefined
    clock: Clock
  },
): ImageSourceParts => ({
  trust: trustOf(images, parts.store),
  glance: parts.glance,
  oci: parts.oci,
  s3: parts.s3,
  series: (source) => imageOfSeries(parts.records, source),
  store: parts.store,
  loaders: boot?.loaders,
  bootFileBytes: limits.images.bootFileBytes,
  allowedPaths: images.allowedFilePaths,
  budget: new ImportBudget(limits.images, parts.clock),
  guard: { allowedHosts: images.allowedHosts },
})
