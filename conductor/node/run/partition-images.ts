/** instance_info of a partition image -> a whole disk in the store, made of its parts. It is made once for the same
 *  parts and the same loaders. */
import { createHash } from 'node:crypto'
import { stat } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { fileDigest } from '../../../images/checksum.ts'
import { importPartition, type PartitionFile } from '../../../images/import-partition.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { BIOS_FILES, hasBiosLoader, PARTITION_LOADERS } from '../../../images/partition-disk.ts'
import { leastRootBytes } from '../../../images/partition-layout.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import { bytesText } from '../../../kit/text.ts'
import { partitionSource, type PartitionSource } from '../policy/partition-source.ts'
import { placeOf, type Asker, type ImageSourceParts } from './image-place.ts'
import { SharedWork } from './shared-work.ts'

const unwanted = () => new Fault('image.source', 'nobody waits for the image any more')
/** Raised when the same parts make another disk than before. */
const LAYOUT = 2
const NEVER = new AbortController().signal

/** Throws `input.invalid` for a root partition that cannot hold the file system. */
export function checkRootSize(
  { rootBytes }: Pick<PartitionSource, 'rootBytes'>,
  { sizeBytes }: Pick<ImageIndex, 'sizeBytes'>,
): void {
  const least = leastRootBytes(sizeBytes)
  if (rootBytes !== null && rootBytes < least)
    throw new Fault('input.invalid', `instance_info/root_gb: the file system of the image has ${bytesText(least)}`)
}

const missing = (path: string): string =>
  BIOS_FILES.includes(path) ? `there is no ${path}` : `boot.loaders has no ${basename(path)}`
const biosFiles = (): readonly string[] => (hasBiosLoader() ? BIOS_FILES : [])

export class PartitionImages {
  private readonly parts: ImageSourceParts
  private readonly imports = new SharedWork<ImageIndex>(unwanted)
  private readonly digests = new Map<string, { readonly seen: string; readonly digest: string }>()

  constructor(parts: ImageSourceParts) {
    this.parts = parts
  }

  /** Throws `image.untrusted` where only signed images may be deployed, and `input.invalid` for a root partition that
   *  is too small for the image. */
  async resolve({ instanceInfo }: Pick<Asker, 'instanceInfo'>, signal: AbortSignal): Promise<ImageIndex> {
    const { store, trust, budget } = this.parts
    const source = this.sourceOf(instanceInfo)
    const name = await this.nameOf(source)
    const known = await store.use(name, budget.now()).catch(() => undefined)
    const damaged = known && (await store.damagedOf(known.id)).length > 0
    if (!known && trust) throw trust.refusal(source.image.source, 'it is not in the store, so nobody signed it')
    const image =
      known && !damaged
        ? known
        : await this.imports.join(name, (ended) => this.import(source, { name, sameAs: known?.id }, ended), signal)
    checkRootSize(source, image)
    return image
  }

  /** The image if it is in the store: nothing is fetched. */
  async known({ instanceInfo }: Pick<Asker, 'instanceInfo'>): Promise<ImageIndex | undefined> {
    try {
      return await this.parts.store.find(await this.nameOf(this.sourceOf(instanceInfo)))
    } catch (error) {
      if (isFault(error)) return undefined
      throw error
    }
  }

  private sourceOf(instanceInfo: Asker['instanceInfo']): PartitionSource {
    const { glance, s3 } = this.parts
    const rules = { glance: glance !== undefined, s3: s3?.buckets, uncheckedBootFiles: false }
    return partitionSource(instanceInfo, rules)
  }

  /** Known to those alone who name the same sources, like every copy that was fetched for somebody. */
  private async nameOf({ image, kernel, ramdisk }: PartitionSource): Promise<string> {
    const files = [...Object.values(PARTITION_LOADERS).map((file) => join(this.loaders(), file)), ...biosFiles()]
    const loaders = await Promise.all(files.map((path) => this.digestOf(path)))
    const text = JSON.stringify([LAYOUT, image, kernel, ramdisk, loaders])
    return `url-${createHash('sha256').update(text).digest('hex').slice(0, 32)}`
  }

  /** Of a file that is hashed again only when it was changed. */
  private async digestOf(path: string): Promise<string> {
    const { size, mtimeMs } = await stat(path).catch((error: Error) => {
      throw new Fault('input.invalid', `${missing(path)}, which starts partition images: ${error.message}`)
    })
    const seen = `${size} ${mtimeMs}`
    const known = this.digests.get(path)
    if (known?.seen === seen) return known.digest
    const digest = await fileDigest(path, 'sha256', NEVER)
    this.digests.set(path, { seen, digest })
    return digest
  }

  private loaders(): string {
    const { loaders } = this.parts
    if (loaders === undefined) throw new Fault('input.invalid', 'boot.loaders is not configured')
    return loaders
  }

  private async import(
    source: PartitionSource,
    { name, sameAs }: { name: string; sameAs: string | undefined },
    signal: AbortSignal,
  ): Promise<ImageIndex> {
    const { store, budget, bootFileBytes = Number.POSITIVE_INFINITY } = this.parts
    const file = async (part: 'image' | 'kernel' | 'ramdisk'): Promise<PartitionFile> => {
      const { checksum } = source[part]
      const { place, tools } = await placeOf(source[part], this.parts, signal)
      return { ...place, checksum, tools }
    }
    const [image, kernel, ramdisk] = [await file('image'), await file('kernel'), await file('ramdisk')]
    const request = {
      name,
      sameAs,
      image,
      kernel,
      ramdisk,
      loaders: this.loaders(),
      bios: hasBiosLoader(),
      bootFileBytes,
    }
    return importPartition(store, request, { budget, signal })
  }
}
