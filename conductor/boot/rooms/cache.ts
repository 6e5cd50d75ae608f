/** Files of the conductors in a boot room: fetched once, block by block, checked before they are kept and again
 *  whenever they are read from the disk. The blocks that were used least recently go when there are too many. */
import { createHash } from 'node:crypto'
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../../../kit/clock.ts'
import { parsedOr } from '../../../kit/json.ts'
import type { Log } from '../../../kit/log.ts'
import { digestOf, isImage, Manifest } from './manifest.ts'

export interface CacheParts {
  readonly directory: string
  readonly sizeBytes: number
  readonly clock: Pick<Clock, 'now'>
  readonly log: Pick<Log, 'warn'>
  /** Of any conductor. Throws while none answers; undefined: there is no such file. */
  readonly fetchManifest: (path: string) => Promise<unknown>
  readonly fetchBlock: (path: string, n: number) => Promise<Buffer>
}

/** A conductor is asked this often whether a file is still the same one. */
const FRESH_MS = 5_000
/** An image is named by its content: only that it was packed anew is to be noticed. */
const IMAGE_FRESH_MS = 60_000
const MAX_MANIFESTS = 2_000

interface KnownFile {
  readonly manifest: Manifest
  readonly atMs: number
}

export class FileCache {
  private readonly parts: CacheParts
  /** Size by digest, the least recently used first. */
  private readonly blocks = new Map<string, number>()
  private readonly manifests = new Map<string, KnownFile>()
  private readonly fetching = new Map<string, Promise<unknown>>()
  private totalBytes = 0
  fetchedBytes = 0
  damaged = 0

  constructor(parts: CacheParts) {
    this.parts = parts
  }

  get sizeBytes(): number {
    return this.totalBytes
  }

  async load(): Promise<void> {
    const { directory } = this.parts
    await mkdir(join(directory, 'manifests'), { recursive: true, mode: 0o700 })
    await mkdir(join(directory, 'blocks'), { recursive: true, mode: 0o700 })
    const names = await readdir(join(directory, 'blocks'))
    const found = await Promise.all(
      names.map(async (name) => ({ name, ...(await stat(join(directory, 'blocks', name))) })),
    )
    for (const { name, size } of found.toSorted((a, b) => a.atimeMs - b.atimeMs))
      if (/^[0-9a-f]{64}$/.test(name)) this.enter(name, size)
      else await rm(join(directory, 'blocks', name), { force: true })
    await this.evict()
  }

  /** Undefined: there is no such file. Throws where no conductor answers and the file was never asked for. */
  manifest(path: string): Promise<Manifest | undefined> {
    const known = this.manifests.get(path)
    const freshMs = isImage(path) ? IMAGE_FRESH_MS : FRESH_MS
    if (known && this.parts.clock.now() - known.atMs < freshMs) return Promise.resolve(known.manifest)
    return this.once(`manifest ${path}`, () => this.freshManifest(path))
  }

  /** A block of a file. Throws where it cannot be had whole. */
  block(path: string, manifest: Manifest, n: number): Promise<Buffer> {
    const digest = manifest.blocks[n] ?? ''
    return this.once(digest, async () => (await this.kept(digest)) ?? this.fetched(path, n, digest))
  }

  private async freshManifest(path: string): Promise<Manifest | undefined> {
    const { clock, fetchManifest, directory } = this.parts
    const place = join(directory, 'manifests', createHash('sha256').update(path).digest('hex'))
    try {
      const answer = await fetchManifest(path)
      if (answer === undefined) {
        this.manifests.delete(path)
        await rm(place, { force: true })
        return undefined
      }
      const manifest = Manifest.parse(answer)
      this.manifests.delete(path)
      this.manifests.set(path, { manifest, atMs: clock.now() })
      const [oldest] = this.manifests.keys()
      if (this.manifests.size > MAX_MANIFESTS && oldest !== undefined) this.manifests.delete(oldest)
      await this.write(place, Buffer.from(JSON.stringify(manifest)))
      return manifest
    } catch (error) {
      const known =
        this.manifests.get(path)?.manifest ?? (await readFile(place, 'utf8').then(manifestOf, () => undefined))
      if (!known) throw error
      // The last one that is known, and not asked for again at once.
      this.manifests.set(path, { manifest: known, atMs: clock.now() })
      return known
    }
  }

  private async kept(digest: string): Promise<Buffer | undefined> {
    const size = this.blocks.get(digest)
    if (size === undefined) return undefined
    const bytes = await readFile(this.placeOf(digest)).catch(() => undefined)
    this.blocks.delete(digest)
    if (bytes && digestOf(bytes) === digest) {
      this.blocks.set(digest, size)
      return bytes
    }
    this.totalBytes -= size
    this.damaged += 1
    this.parts.log.warn({ digest }, 'a block on the disk of this boot room is damaged; it is fetched again')
    await rm(this.placeOf(digest), { force: true })
    return undefined
  }

  private async fetched(path: string, n: number, digest: string): Promise<Buffer> {
    const bytes = await this.parts.fetchBlock(path, n)
    if (digestOf(bytes) !== digest) {
      // The file was replaced meanwhile, or somebody serves another one.
      this.manifests.delete(path)
      throw new Error(`block ${n} of ${path} is not what its conductor said`)
    }
    this.fetchedBytes += bytes.length
    await this.write(this.placeOf(digest), bytes).then(
      async () => {
        this.enter(digest, bytes.length)
        await this.evict()
      },
      (error: Error) => this.parts.log.warn({ error: error.message }, 'a block cannot be kept in this boot room'),
    )
    return bytes
  }

  private enter(digest: string, size: number): void {
    if (!this.blocks.has(digest)) this.totalBytes += size
    this.blocks.set(digest, size)
  }

  private async evict(): Promise<void> {
    for (const [digest, size] of this.blocks) {
      if (this.totalBytes <= this.parts.sizeBytes) return
      this.blocks.delete(digest)
      this.totalBytes -= size
      await rm(this.placeOf(digest), { force: true })
    }
  }

  private placeOf = (digest: string): string => join(this.parts.directory, 'blocks', digest)

  /** No flush to the disk: what a crash leaves half is found by its digest. */
  private async write(place: string, bytes: Buffer): Promise<void> {
    await writeFile(`${place}.new`, bytes, { mode: 0o600 })
    await rename(`${place}.new`, place)
  }

  /** Who asks for the same thing meanwhile gets the same answer. */
  private once<T>(key: string, work: () => Promise<T>): Promise<T> {
    const before = this.fetching.get(key) as Promise<T> | undefined
    if (before) return before
    const now = work().finally(() => this.fetching.delete(key))
    this.fetching.set(key, now)
    return now
  }
}

function manifestOf(text: string): Manifest | undefined {
  const { data } = Manifest.safeParse(parsedOr(text, undefined))
  return data
}
