/** Kernels, ramdisks and ISO images that servers boot as they are: plain files beside the disk images, each named by
 *  the checksum that it was checked against. A file appears whole or not at all; what nobody needs any more goes when
 *  there is too much of it. */
import { constants } from 'node:fs'
import { chmod, copyFile, mkdir, open, readdir, rename, rm, stat, utimes } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { syncFolder } from '../kit/files.ts'
import { bytesText } from '../kit/text.ts'
import type { Claim } from './budget.ts'
import { checkFile, fileDigest, type Checksum } from './checksum.ts'
import { fetchSource, type ImportTools } from './import.ts'
import { ImportBudget } from './budget.ts'
import type { OpenParts } from './open-url.ts'
import type { ImageStore } from './store.ts'
import { markUsed } from './used.ts'

const ID = /^(?:sha256-[0-9a-f]{64}|sha512-[0-9a-f]{128})$/
/** A file that was asked for this recently is kept: the record that will name it may not be saved yet. */
const FRESH_MS = 60 * 60_000

export interface BootFileRequest {
  /** http://, https:// or file:// URL, or a path. */
  readonly source: string
  readonly checksum?: Checksum | undefined
  readonly headers?: OpenParts['headers']
  readonly ca?: string | undefined
}

export const isBootFileId = (text: string): boolean => ID.test(text)
/** Where a file stands below the root of the image store. Throws `input.invalid` for anything that is no id. */
export function bootFilePath(storeRoot: string, id: string): string {
  if (!isBootFileId(id)) throw new Fault('input.invalid', `boot file: ${JSON.stringify(id.slice(0, 64))} is not an id`)
  return join(storeRoot, 'boot', id)
}

export class BootFiles {
  private readonly store: ImageStore
  private readonly clock: Clock
  private readonly limits: { readonly fileBytes: number; readonly unusedBytes: number }

  constructor(store: ImageStore, clock: Clock, limits: { fileBytes: number; unusedBytes: number }) {
    this.store = store
    this.clock = clock
    this.limits = limits
  }

  /** The id of a file with this checksum, if it is there; it counts as used now. */
  async find(checksum: Checksum): Promise<string | undefined> {
    const id = idOf(checksum)
    return markUsed(bootFilePath(this.store.root, id), this.clock.now()).then(
      () => id,
      () => undefined,
    )
  }

  /** Fetches and checks a file, and answers its id. Without a checksum it is named by what came. */
  async import({ source, checksum, headers, ca }: BootFileRequest, tools: ImportTools): Promise<string> {
    const { clock } = this
    const budget = tools.budget ?? new ImportBudget({}, clock)
    return budget.run(tools.signal, async (signal) => {
      const scratch = await this.store.scratch()
      const claim = limited(budget.claim(scratch), this.limits.fileBytes, source)
      try {
        const work = {
          scratch,
          claim,
          signal,
          clock,
          budget,
          guard: tools.guard,
          noRedirects: tools.noRedirects,
          headers,
          ca,
        }
        const file = await this.own(await fetchSource(source, join(scratch, 'file'), work), { scratch, claim })
        if (checksum) await checkFile(file, { checksum, what: source, signal })
        const id = idOf(checksum ?? { algo: 'sha256', hex: await fileDigest(file, 'sha256', signal) })
        await this.keep(file, id)
        return id
      } finally {
        claim.release()
        await rm(scratch, { recursive: true, force: true })
      }
    })
  }

  /** Removes files that `used` does not name, those first that were not asked for the longest, while there are more
   *  bytes of them than the limit. */
  async sweep(used: ReadonlySet<string>): Promise<void> {
    const root = join(this.store.root, 'boot')
    const ids = (await readdir(root).catch(() => [])).filter((id) => isBootFileId(id) && !used.has(id))
    const unused = await Promise.all(ids.map(async (id) => ({ id, info: await stat(join(root, id)) })))
    let bytes = unused.reduce((sum, { info }) => sum + info.size, 0)
    for (const { id, info } of unused.sort((a, b) => a.info.mtimeMs - b.info.mtimeMs)) {
      if (bytes <= this.limits.unusedBytes || this.clock.now() - info.mtimeMs < FRESH_MS) return
      await rm(join(root, id), { force: true })
      bytes -= info.size
    }
  }

  /** A file of this machine is copied: whoever changes it later must not change what servers boot. */
  private async own(path: string, { scratch, claim }: { scratch: string; claim: Claim }): Promise<string> {
    if (path.startsWith(`${scratch}/`)) return path
    await claim.grow((await stat(path)).size)
    const copy = join(scratch, 'file')
    await copyFile(path, copy, constants.COPYFILE_FICLONE)
    return copy
  }

  private async keep(file: string, id: string): Promise<void> {
    const root = join(this.store.root, 'boot')
    await mkdir(root, { recursive: true })
    await chmod(file, 0o644)
    const opened = await open(file)
    try {
      await opened.sync()
    } finally {
      await opened.close()
    }
    const now = new Date(this.clock.now())
    await utimes(file, now, now)
    await rename(file, bootFilePath(this.store.root, id))
    await syncFolder(root)
  }
}

const idOf = ({ algo, hex }: Checksum): string => `${algo}-${hex}`

/** A claim that refuses to grow beyond `mostBytes`. */
function limited(claim: Claim, mostBytes: number, source: string): Claim {
  let claimed = 0
  return {
    ...claim,
    grow: async (bytes) => {
      claimed += bytes
      if (claimed > mostBytes)
        throw new Fault(
          'image.source',
          `${source}: a file that servers boot may have ${bytesText(mostBytes)} (limits.images.bootFileBytes)`,
        )
      await claim.grow(bytes)
    },
  }
}
