/** instance_info -> an image in the store, or files that a server boots. A name or id is looked up; a URL is imported once per checksum. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { BootFiles } from '../../../images/boot-files.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { importImage, type ImportTools } from '../../../images/import.ts'
import type { Checksum } from '../../../images/checksum.ts'
import type { AddressGuard } from '../../../images/address-guard.ts'
import { ImportBudget } from '../../../images/budget.ts'
import type { ImageStore } from '../../../images/store.ts'
import type { Config } from '../../config.ts'
import { imageWish, ramdiskWish, type SourceRules, type SourceWish } from '../policy/instance-source.ts'
import type { Store } from '../../store/port.ts'
import { nodeSlices } from '../../store/slices.ts'
import type { InstanceBoot, NodeRecord } from '../record.ts'
import { SharedWork } from './shared-work.ts'

/** Imports of one process. `allowedPaths` for file URLs, `guard` for the others. */
export interface ImageSourceParts {
  readonly store: ImageStore
  readonly allowedPaths: readonly string[]
  readonly budget: ImportBudget
  readonly guard: AddressGuard
}

type Asker = Pick<NodeRecord, 'instanceInfo'>

const unwanted = () => new Fault('image.source', 'nobody waits for the image any more')

export class ImageSource {
  private readonly parts: ImageSourceParts
  private readonly imports = new SharedWork<ImageIndex>(unwanted)

  constructor(parts: ImageSourceParts) {
    this.parts = parts
  }

  /** An import ends when nobody waits for it any more. */
  async resolve(node: Asker, signal?: AbortSignal): Promise<ImageIndex> {
    const { checksum, source } = imageWish(node.instanceInfo)
    if (!checksum) return this.parts.store.find(source)
    const name = `url-${createHash('sha256').update(`${source}\n${checksum.algo}:${checksum.hex}`).digest('hex').slice(0, 32)}`
    const known = await this.parts.store.find(name).catch(() => undefined)
    if (known) return known
    // Ten nodes that want one image wait for one import.
    return this.imports.join(name, (ended) => this.import({ source, checksum }, name, ended), signal)
  }

  private async import(
    { source, checksum }: { source: string; checksum: Checksum },
    name: string,
    signal: AbortSignal,
  ): Promise<ImageIndex> {
    const { store } = this.parts
    return importImage(store, { ...(await placeOf(source, this.parts)), name, checksum }, tools(this.parts, signal))
  }
}

export interface BootSourceParts extends ImageSourceParts {
  readonly files: BootFiles
  readonly rules: SourceRules
  /** Ids of files that a node boots. */
  readonly used: () => Promise<ReadonlySet<string>>
}

export class BootSource {
  private readonly parts: BootSourceParts
  private readonly imports = new SharedWork<string>(unwanted)

  constructor(parts: BootSourceParts) {
    this.parts = parts
  }

  /** Every file that the instance boots is in the store when this answers. */
  async resolve(node: Asker, signal?: AbortSignal): Promise<InstanceBoot> {
    const wish = ramdiskWish(node.instanceInfo, this.parts.rules)
    if (wish.kind === 'iso') return { kind: 'iso', iso: await this.file(wish.iso, signal) }
    const [kernel, ramdisk] = await Promise.all([this.file(wish.kernel, signal), this.file(wish.ramdisk, signal)])
    return { kind: 'kernel', kernel, ramdisk, args: wish.args }
  }

  private async file({ source, checksum }: SourceWish, signal: AbortSignal | undefined): Promise<string> {
    const { files } = this.parts
    const known = checksum && (await files.find(checksum))
    if (known) return known
    const key = `${checksum?.hex ?? 'unchecked'} ${source}`
    return this.imports.join(key, (ended) => this.fetch({ source, ...(checksum ? { checksum } : {}) }, ended), signal)
  }

  private async fetch({ source, checksum }: SourceWish, signal: AbortSignal): Promise<string> {
    const { files, used } = this.parts
    const id = await files.import({ ...(await placeOf(source, this.parts)), checksum }, tools(this.parts, signal))
    await files.sweep(await used())
    return id
  }
}

const tools = ({ budget, guard }: ImageSourceParts, signal: AbortSignal): ImportTools => ({ budget, guard, signal })

/** Where a source is read from. */
async function placeOf(source: string, parts: ImageSourceParts): Promise<{ source: string }> {
  return { source: /^file:/i.test(source) ? await pathOf(source, parts.allowedPaths) : source }
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

/** Ids of the files that nodes boot. */
export async function bootedFiles(store: Pick<Store, 'nodes'>): Promise<ReadonlySet<string>> {
  const used = new Set<string>()
  for await (const nodes of nodeSlices(store, { includeChildren: true }))
    for (const { instanceBoot: boot } of nodes)
      for (const id of boot === null ? [] : boot.kind === 'iso' ? [boot.iso] : [boot.kernel, boot.ramdisk]) used.add(id)
  return used
}

/** What both kinds of imports share. */
export const importParts = (
  { images, limits }: Pick<Config, 'images' | 'limits'>,
  store: ImageStore,
  clock: Clock,
): ImageSourceParts => ({
  store,
  allowedPaths: images.allowedFilePaths,
  budget: new ImportBudget(limits.images, clock),
  guard: { allowedHosts: images.allowedHosts },
})
