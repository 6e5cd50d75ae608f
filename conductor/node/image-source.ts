/** instance_info -> an image in the store. A name or id is looked up; a URL is imported once per checksum, which it must have. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Fault } from '../../kit/fault.ts'
import type { ImageIndex } from '../../images/index.ts'
import { importImage } from '../../images/import.ts'
import { parseChecksum, type Checksum } from '../../images/checksum.ts'
import type { ImageStore } from '../../images/store.ts'
import type { NodeRecord } from './record.ts'

export interface ImageWish {
  readonly source: string
  readonly checksum?: Checksum
}

/** What instance_info asks for. Throws `input.missing` or `input.invalid` with the key. */
export function imageWish(instanceInfo: Readonly<Record<string, unknown>>): ImageWish {
  const source = instanceInfo.image_source
  if (typeof source !== 'string' || source === '')
    throw new Fault('input.missing', 'instance_info/image_source is missing: name an image of the store, or a URL')
  const value = instanceInfo.image_os_hash_value ?? instanceInfo.image_checksum
  const algo = instanceInfo.image_os_hash_algo
  if (value !== undefined && typeof value !== 'string') throw new Fault('input.invalid', 'instance_info/image_checksum is not a text')
  if (!isUrl(source)) return { source }
  if (value === undefined) throw new Fault('input.missing', 'instance_info/image_checksum is missing: an image from a URL needs its SHA-256 or SHA-512')
  return { source, checksum: parseChecksum(value, typeof algo === 'string' ? algo : undefined) }
}

export class ImageSource {
  private readonly store: ImageStore
  private readonly allowedPaths: readonly string[]
  private readonly running = new Map<string, Promise<ImageIndex>>()

  constructor(store: ImageStore, allowedPaths: readonly string[]) {
    this.store = store
    this.allowedPaths = allowedPaths
  }

  async resolve(node: Pick<NodeRecord, 'instanceInfo'>): Promise<ImageIndex> {
    const wish = imageWish(node.instanceInfo)
    if (!wish.checksum) return this.store.find(wish.source)
    const name = `url-${createHash('sha256').update(`${wish.source}\n${wish.checksum.algo}:${wish.checksum.hex}`).digest('hex').slice(0, 32)}`
    const known = await this.store.find(name).catch(() => undefined)
    if (known) return known
    // Ten nodes that want one image wait for one import.
    const running = this.running.get(name) ?? this.import(wish as ImageWish & { checksum: Checksum }, name)
    this.running.set(name, running)
    return running.finally(() => this.running.delete(name))
  }

  private async import(wish: ImageWish & { checksum: Checksum }, name: string): Promise<ImageIndex> {
    if (/^file:/i.test(wish.source)) await this.checkPath(wish.source)
    return importImage(this.store, { source: wish.source, name, checksum: wish.checksum })
  }

  /** Links are followed before the look: a link inside an allowed directory must not lead out of it. */
  private async checkPath(url: string): Promise<void> {
    const path = await realpath(fileURLToPath(url)).catch((error: NodeJS.ErrnoException) => {
      throw new Fault('image.source', `cannot read ${url}: ${error.code ?? error.message}`, { cause: error })
    })
    if (!this.allowedPaths.some((allowed) => path.startsWith(`${allowed.replace(/\/+$/, '')}/`)))
      throw new Fault('input.invalid', `instance_info/image_source: ${url} is outside the paths that images.allowedFilePaths names`)
  }
}

const isUrl = (source: string) => /^[a-z][a-z0-9+.-]*:/i.test(source)
