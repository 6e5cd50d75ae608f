/** instance_info -> the files that a server boots, in the store: kernel and ramdisk, or an ISO. */
import { Fault } from '../../../kit/fault.ts'
import type { BootFiles } from '../../../images/boot-files.ts'
import { isOci } from '../../../images/oci-reference.ts'
import { glanceId, ramdiskSource, type SourceFile, type SourceRules } from '../policy/instance-source.ts'
import type { InstanceBoot } from '../record.ts'
import type { Store } from '../../store/port.ts'
import { nodeSlices } from '../../store/slices.ts'
import {
  BOOT_FORMATS,
  glanceFile,
  ociImage,
  placeOf,
  type Asker,
  type FoundFile,
  type ImageSourceParts,
} from './image-place.ts'
import { SharedWork } from './shared-work.ts'

const unwanted = () => new Fault('image.source', 'nobody waits for the file any more')
const NEVER = new AbortController().signal

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

  /** The checksum of an image of Glance, or of an artifact, is the one that stands there. */
  private async known(wanted: SourceFile, node: Asker, signal: AbortSignal): Promise<FoundFile> {
    if (isOci(wanted.source)) return ociImage(wanted.source, node, { ...this.parts, signal })
    const id = glanceId(wanted.source)
    const { glance } = this.parts
    return id && glance ? glanceFile(await glance.image(id, node.workflow.project, signal), BOOT_FORMATS) : wanted
  }

  private async file(wanted: FoundFile, signal: AbortSignal): Promise<string> {
    const { files } = this.parts
    const { source, checksum } = wanted
    const found = checksum && (await files.find(checksum))
    if (found) return found
    const key = `${checksum?.hex ?? 'unchecked'} ${source}`
    return this.imports.join(key, (ended) => this.fetch(wanted, ended), signal)
  }

  private async fetch(wanted: FoundFile, signal: AbortSignal): Promise<string> {
    const { files, used } = this.parts
    const { place, tools } = await placeOf(wanted, this.parts, signal)
    const id = await files.import({ ...place, checksum: wanted.checksum }, tools)
    await files.sweep(await used())
    return id
  }
}

/** Ids of the files that nodes boot. */
export async function bootedFiles(store: Pick<Store, 'nodes'>): Promise<ReadonlySet<string>> {
  const used = new Set<string>()
  for await (const nodes of nodeSlices(store, { includeChildren: true }))
    for (const { instanceBoot: boot } of nodes)
      for (const id of boot === null ? [] : boot.kind === 'iso' ? [boot.iso] : [boot.kernel, boot.ramdisk]) used.add(id)
  return used
}
