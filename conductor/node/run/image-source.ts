/** instance_info -> an image in the store, or files that a server boots. A name or id is looked up; a URL is imported
 *  once per checksum. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { isAbsolute } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import type { Clock } from '../../../kit/clock.ts'
import { defined } from '../../../kit/defined.ts'
import { Fault, isFault } from '../../../kit/fault.ts'
import type { BootFiles } from '../../../images/boot-files.ts'
import type { ImageIndex } from '../../../images/index.ts'
import type { DiskFormat } from '../../../images/format.ts'
import type { Glance, GlanceImage } from '../../../images/glance.ts'
import { importImage, type ImportRequest, type ImportTools } from '../../../images/import.ts'
import type { AddressGuard } from '../../../images/address-guard.ts'
import { ImportBudget } from '../../../images/budget.ts'
import type { ImageStore } from '../../../images/store.ts'
import type { Config } from '../../config.ts'
import { glanceId, imageSource, ramdiskSource, type SourceRules, type SourceFile } from '../policy/instance-source.ts'
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
  readonly glance: Glance | undefined
}

interface Asker {
  readonly instanceInfo: NodeRecord['instanceInfo']
  readonly workflow: Pick<NodeRecord['workflow'], 'project'>
}

const unwanted = () => new Fault('image.source', 'nobody waits for the image any more')

export class ImageSource {
  private readonly parts: ImageSourceParts
  private readonly imports = new SharedWork<ImageIndex>(unwanted)

  constructor(parts: ImageSourceParts) {
    this.parts = parts
  }

  /** An import ends when nobody waits for it any more. */
  async resolve(node: Asker, signal = NEVER): Promise<ImageIndex> {
    const { store, glance } = this.parts
    const { checksum, source } = imageSource(node.instanceInfo, { glance: glance !== undefined })
    if (checksum) return this.imported({ source, checksum }, signal)
    const id = glance && glanceId(source)
    if (!id || !glance) return this.whole(await store.use(source, this.now()), signal)
    // What an operator imported under the UUID of an image is meant before the image itself.
    const known = await store.use(source, this.now()).catch(() => undefined)
    if (known) return this.whole(known, signal)
    const { project } = node.workflow
    return this.imported(glanceFile(await glance.image(id, project, signal), DISK_FORMATS), signal)
  }

  /** The image of a node if it is in the store: nothing is fetched. */
  async known({ instanceInfo }: Pick<Asker, 'instanceInfo'>): Promise<ImageIndex | undefined> {
    const { store, glance } = this.parts
    try {
      const { checksum, source } = imageSource(instanceInfo, { glance: glance !== undefined })
      return await store.find(checksum ? nameOf({ source, checksum }) : source)
    } catch (error) {
      if (isFault(error)) return undefined
      throw error
    }
  }

  private async imported(wanted: ImageFile, signal: AbortSignal): Promise<ImageIndex> {
    const name = nameOf(wanted)
    const known = await this.parts.store.use(name, this.now()).catch(() => undefined)
    if (known) return this.whole(known, signal)
    // Ten nodes that want one image wait for one import.
    return this.imports.join(name, (ended) => this.import(wanted, name, ended), signal)
  }

  /** Fetches a damaged image again from where it came. Throws `image.broken` when nobody knows where that is. */
  async heal({ id, names, ...index }: ImageIndex, signal = NEVER): Promise<ImageIndex> {
    const { store } = this.parts
    const origin = await store.originOf(id)
    const name = names[0] ?? id
    if (!origin)
      throw new Fault('image.broken', `image ${name} is damaged, and where it came from is not known`, {
        cause: new Error(id),
      })
    const { osType, architecture, efiLoader, grow } = index
    return this.imports.join(
      id,
      async (ended) => {
        const { source } = origin
        const { place, tools } = await placeOf(
          isAbsolute(source) ? pathToFileURL(source).href : source,
          this.parts,
          ended,
        )
        const traits = defined({ osType, architecture, efiLoader, grow })
        return importImage(store, { ...origin, ...place, origin: source, name, traits, sameAs: id }, tools)
      },
      signal,
    )
  }

  private now = (): number => this.parts.budget.now()

  private async whole(image: ImageIndex, signal: AbortSignal): Promise<ImageIndex> {
    const damaged = await this.parts.store.damagedOf(image.id)
    return damaged.length === 0 ? image : this.heal(image, signal)
  }

  private async import(wanted: ImageFile, name: string, signal: AbortSignal): Promise<ImageIndex> {
    const { store } = this.parts
    const { checksum, format } = wanted
    const { place, tools } = await placeOf(wanted.source, this.parts, signal)
    const origin = wanted.source
    return importImage(store, { ...place, name, checksum, origin, ...(format ? { format } : {}) }, tools)
  }
}

interface ImageFile extends Required<SourceFile> {
  readonly format?: DiskFormat
}

/** A URL is imported once per checksum. */
export const nameOf = ({ source, checksum }: Pick<ImageFile, 'source' | 'checksum'>): string =>
  `url-${createHash('sha256').update(`${source}\n${checksum.algo}:${checksum.hex}`).digest('hex').slice(0, 32)}`

const NEVER = new AbortController().signal
const DISK_FORMATS: readonly string[] = ['raw', 'qcow2'] satisfies readonly DiskFormat[]
const BOOT_FORMATS: readonly string[] = ['aki', 'ari', 'iso', 'raw']

/** An image of Glance, with the checksum and the format that Glance has for it. */
function glanceFile({ id, checksum, diskFormat }: GlanceImage, formats: readonly string[]): ImageFile {
  if (!formats.includes(diskFormat))
    throw new Fault(
      'image.format',
      `image ${id} of Glance has the disk format ${diskFormat}; ${formats.join(', ')} can be used here`,
    )
  const source = `glance://${id}`
  return { source, checksum, ...(formats === DISK_FORMATS ? { format: diskFormat as DiskFormat } : {}) }
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
  async resolve(node: Asker, signal = NEVER): Promise<InstanceBoot> {
    const files = ramdiskSource(node.instanceInfo, this.parts.rules)
    const file = async (one: SourceFile) => this.file(await this.known(one, node, signal), signal)
    if (files.kind === 'iso') return { kind: 'iso', iso: await file(files.iso) }
    const [kernel, ramdisk] = await Promise.all([file(files.kernel), file(files.ramdisk)])
    return { kind: 'kernel', kernel, ramdisk, args: files.args }
  }

  /** The checksum of an image of Glance is the one that Glance has. */
  private async known(wanted: SourceFile, { workflow }: Asker, signal: AbortSignal): Promise<SourceFile> {
    const id = glanceId(wanted.source)
    const { glance } = this.parts
    return id && glance ? glanceFile(await glance.image(id, workflow.project, signal), BOOT_FORMATS) : wanted
  }

  private async file({ source, checksum }: SourceFile, signal: AbortSignal): Promise<string> {
    const { files } = this.parts
    const found = checksum && (await files.find(checksum))
    if (found) return found
    const key = `${checksum?.hex ?? 'unchecked'} ${source}`
    return this.imports.join(key, (ended) => this.fetch({ source, ...(checksum ? { checksum } : {}) }, ended), signal)
  }

  private async fetch({ source, checksum }: SourceFile, signal: AbortSignal): Promise<string> {
    const { files, used } = this.parts
    const { place, tools } = await placeOf(source, this.parts, signal)
    const id = await files.import({ ...place, checksum }, tools)
    await files.sweep(await used())
    return id
  }
}

/** Where a source is read from, and what the import shares with others. The host of Glance is in the configuration, so
 *  it is allowed wherever it is. */
async function placeOf(
  source: string,
  { allowedPaths, glance, budget, guard }: ImageSourceParts,
  signal: AbortSignal,
): Promise<{ place: Pick<ImportRequest, 'source' | 'headers' | 'ca'>; tools: ImportTools }> {
  const id = /^glance:/i.test(source) ? glanceId(source) : undefined
  if (id && glance) {
    const place = await glance.place(id, signal)
    const allowedHosts = [...guard.allowedHosts, new URL(place.source).hostname]
    return { place, tools: { budget, signal, guard: { ...guard, allowedHosts } } }
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
  parts: { store: ImageStore; glance: Glance | undefined; clock: Clock },
): ImageSourceParts => ({
  glance: parts.glance,
  store: parts.store,
  allowedPaths: images.allowedFilePaths,
  budget: new ImportBudget(limits.images, parts.clock),
  guard: { allowedHosts: images.allowedHosts },
})
