/** instance_info -> an image in the store. A name or id is looked up; a URL is imported once per checksum, which it must have. */
import { createHash } from 'node:crypto'
import { realpath } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import type { Clock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import type { ImageIndex } from '../../../images/index.ts'
import { importImage } from '../../../images/import.ts'
import { parseChecksum, type Checksum } from '../../../images/checksum.ts'
import type { AddressGuard } from '../../../images/address-guard.ts'
import { ImportBudget } from '../../../images/budget.ts'
import { isImageName, type ImageStore } from '../../../images/store.ts'
import type { Config } from '../../config.ts'
import type { NodeRecord } from '../record.ts'

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
  if (value !== undefined && typeof value !== 'string')
    throw new Fault('input.invalid', 'instance_info/image_checksum is not a text')
  const scheme = /^([a-z][a-z0-9+.-]*):/i.exec(source)?.[1]?.toLowerCase()
  const named = scheme === undefined && isImageName(source)
  if (!named && !(scheme !== undefined && SCHEMES.has(scheme) && URL.canParse(source)))
    throw new Fault(
      'input.invalid',
      `instance_info/image_source: ${JSON.stringify(source.slice(0, 255))} is neither the name of an image nor an http, https or file URL`,
    )
  if (named) return { source }
  if (value === undefined)
    throw new Fault(
      'input.missing',
      'instance_info/image_checksum is missing: an image from a URL needs its SHA-256 or SHA-512',
    )
  return { source, checksum: parseChecksum(value, typeof algo === 'string' ? algo : undefined) }
}

const SCHEMES: ReadonlySet<string> = new Set(['http', 'https', 'file'])

/** Imports of one process. `allowedPaths` for file URLs, `guard` for the others. */
export interface ImageSourceParts {
  readonly store: ImageStore
  readonly allowedPaths: readonly string[]
  readonly budget: ImportBudget
  readonly guard: AddressGuard
}

interface Running {
  readonly image: Promise<ImageIndex>
  readonly abort: AbortController
  waiting: number
}

export class ImageSource {
  private readonly parts: ImageSourceParts
  private readonly running = new Map<string, Running>()

  constructor(parts: ImageSourceParts) {
    this.parts = parts
  }

  /** An import ends when nobody waits for it any more. */
  async resolve(node: Pick<NodeRecord, 'instanceInfo'>, signal?: AbortSignal): Promise<ImageIndex> {
    const wish = imageWish(node.instanceInfo)
    const { checksum, source } = wish
    if (!checksum) return this.parts.store.find(source)
    const name = `url-${createHash('sha256').update(`${source}\n${checksum.algo}:${checksum.hex}`).digest('hex').slice(0, 32)}`
    const known = await this.parts.store.find(name).catch(() => undefined)
    if (known) return known
    // Ten nodes that want one image wait for one import.
    const running = this.running.get(name) ?? this.start({ source, checksum }, name)
    running.waiting += 1
    try {
      return await Promise.race([running.image, ...(signal ? [aborted(signal)] : [])])
    } finally {
      running.waiting -= 1
      if (running.waiting === 0) {
        running.abort.abort(new Fault('image.source', 'nobody waits for the image any more'))
        if (this.running.get(name) === running) this.running.delete(name)
      }
    }
  }

  private start(wish: Required<ImageWish>, name: string): Running {
    const abort = new AbortController()
    const image = this.import(wish, name, abort.signal)
    image.catch(() => undefined)
    const running = { image, abort, waiting: 0 }
    this.running.set(name, running)
    return running
  }

  private async import(
    { source, checksum }: Required<ImageWish>,
    name: string,
    signal: AbortSignal,
  ): Promise<ImageIndex> {
    const { store, budget, guard } = this.parts
    const from = /^file:/i.test(source) ? await this.pathOf(source) : source
    return importImage(store, { source: from, name, checksum }, { budget, guard, signal })
  }

  /** Links are followed before the look: a link inside an allowed directory must not lead out of it. */
  private async pathOf(url: string): Promise<string> {
    const path = await realpath(fileURLToPath(url)).catch((error: NodeJS.ErrnoException) => {
      throw new Fault('image.source', `cannot read ${url}: ${error.code ?? error.message}`, { cause: error })
    })
    if (!this.parts.allowedPaths.some((allowed) => path.startsWith(`${allowed.replace(/\/+$/, '')}/`)))
      throw new Fault(
        'input.invalid',
        `instance_info/image_source: ${url} is outside the paths that images.allowedFilePaths names`,
      )
    return path
  }
}

export const imageSource = (
  { images, limits }: Pick<Config, 'images' | 'limits'>,
  store: ImageStore,
  clock: Clock,
): ImageSource =>
  new ImageSource({
    store,
    allowedPaths: images.allowedFilePaths,
    budget: new ImportBudget(limits.images, clock),
    guard: { allowedHosts: images.allowedHosts },
  })

const aborted = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => {
    if (signal.aborted) return reject(signal.reason as Error)
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
  })
