/** Where images are kept: a directory for each, named by the hash of its raw bytes; it appears whole or not at all. */
import { chmod, mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asFault, Fault } from '../kit/fault.ts'
import { syncFolder, writeWhole } from '../kit/files.ts'
import { carryOver, type Beside } from './beside.ts'
import type { StoredImage } from './garbage.ts'
import { ImageIndex, indexFlaw } from './index.ts'
import { ImageOrigin } from './origin.ts'
import { damageText } from './scrub-text.ts'
import { markUsed } from './used.ts'

const ID = /^[0-9a-f]{64}$/
/** Beside the index of an image. */
export const ORIGIN = 'origin.json'
const DAMAGED = 'damaged.json'
/** Empty: its time counts. */
const PROVEN = 'proven'
/** Names stand in URLs and paths of users' scripts: letters, digits, dot, dash, underscore. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

export class ImageStore {
  readonly root: string
  private readonly looked = new Map<string, { state: string; why: string | undefined }>()

  constructor(root: string) {
    this.root = root
  }

  /** Every image whose index can be read. */
  async list(): Promise<ImageIndex[]> {
    const found = await Promise.all((await this.ids()).map((id) => this.read(id).catch(() => undefined)))
    return found.filter((image) => image !== undefined)
  }

  /** Images whose index cannot be read; each takes out itself alone. Cheap to ask again: an index that did not change
   *  is not read again. */
  async broken(): Promise<{ id: string; why: string }[]> {
    const found = await Promise.all((await this.ids()).map(async (id) => ({ id, why: await this.flawOf(id) })))
    return found.flatMap(({ id, why }) => (why === undefined ? [] : [{ id, why }]))
  }

  /** Removes what imports left whose process is gone, and that was not touched since; other machines that share the
   *  store have processes of their own. */
  async clean(untouchedSinceMs = Number.POSITIVE_INFINITY): Promise<void> {
    await mkdir(this.root, { recursive: true })
    for (const entry of await readdir(this.root)) {
      const [, pid, started] = /^\.part-(\d+)-(\d+)-\d+$/.exec(entry) ?? []
      const left = entry.startsWith('.part-') && (pid === undefined || (await startOf(Number(pid))) !== started)
      if (left && (await isUntouched(join(this.root, entry), untouchedSinceMs)))
        await rm(join(this.root, entry), { recursive: true, force: true })
    }
  }

  /** What is to be removed by this id or name; an image whose index is broken has its id alone. Throws
   *  `image.missing`. */
  async which(idOrName: string): Promise<{ id: string; names: readonly string[] }> {
    if (ID.test(idOrName) && (await this.ids()).includes(idOrName))
      return this.read(idOrName).catch(() => ({ id: idOrName, names: [] }))
    return this.find(idOrName)
  }

  /** An image by id or by name. Throws `image.missing`. */
  async find(idOrName: string): Promise<ImageIndex> {
    // Agents ask by id, many at once: that reads one index and not all of them.
    if (ID.test(idOrName)) return this.read(idOrName)
    const found = (await this.list()).filter((image) => image.names.includes(idOrName))
    const newest = found.sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0]
    if (!newest) {
      const broken = await this.broken()
      const others =
        broken.length === 0 ? '' : `; the index of ${broken.map(({ id }) => id.slice(0, 16)).join(', ')} cannot be read`
      throw new Fault('image.missing', `image ${JSON.stringify(idOrName)} is not in the store${others}`)
    }
    return newest
  }

  /** The compressed pieces of an image, as a path below the root. Throws `input.invalid` for anything that is no id. */
  dataPath(id: string): string {
    return join(this.directory(id), 'data.zst')
  }

  /** A directory on the same file system for work that `add` will take over. */
  async scratch(): Promise<string> {
    const dir = await this.partPath()
    await rm(dir, { recursive: true, force: true })
    await mkdir(dir, { recursive: true, mode: 0o700 })
    return dir
  }

  /** Takes over a directory that holds `data.zst`. The same content again only gains a name. */
  async add(directory: string, index: ImageIndex): Promise<ImageIndex> {
    for (const name of index.names) checkImageName(name)
    const flaw = indexFlaw(index)
    if (flaw) throw new Fault('image.format', `index of ${index.names.join(', ')}: ${flaw}`)
    const known = await this.read(index.id).catch(() => undefined)
    const names = [...new Set([...(known?.names ?? []), ...index.names])]
    const whole = { ...index, names }
    await writeWhole(join(directory, 'index.json'), JSON.stringify(whole), 0o644)
    // While it was being made, nobody else could look into it.
    await chmod(directory, 0o755)
    if (known) await carryOver(this.directory(index.id), directory)
    // The copy that is there may be the damaged one that this import replaces.
    const old = await this.partPath()
    await rename(this.directory(index.id), old).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
    })
    await rename(directory, this.directory(index.id))
    await syncFolder(this.root)
    await rm(old, { recursive: true, force: true })
    return whole
  }

  /** Sets the names of an image; other images lose them. */
  async rename(id: string, names: readonly string[]): Promise<ImageIndex> {
    for (const name of names) checkImageName(name)
    for (const other of await this.list()) {
      const left = other.names.filter((name) => !names.includes(name))
      if (other.id !== id && left.length !== other.names.length) await this.write({ ...other, names: left })
    }
    return this.write({ ...(await this.read(id)), names: [...names] })
  }

  async remove(id: string): Promise<void> {
    await rm(this.directory(id), { recursive: true })
  }

  /** An image that is about to be deployed: from now on it counts as used. */
  async use(idOrName: string, nowMs: number): Promise<ImageIndex> {
    const image = await this.find(idOrName)
    await markUsed(this.directory(image.id), nowMs)
    return image
  }

  /** Every image whose index can be read, with the time of its last use. */
  async stored(): Promise<StoredImage[]> {
    const found = await Promise.all(
      (await this.list()).map(async ({ id, names, dataBytes }) => {
        const usedAtMs = await this.usedAtMs(id)
        return usedAtMs === undefined ? undefined : { id, names, storedBytes: dataBytes, usedAtMs }
      }),
    )
    return found.filter((image) => image !== undefined)
  }

  /** Removes an image that nobody has used since. False: somebody has, or it is gone. */
  async discard(id: string, unusedSinceMs: number): Promise<boolean> {
    const isUnused = async (directory: string) => (await stat(directory)).mtimeMs <= unusedSinceMs
    const aside = await this.partPath()
    try {
      if (!(await isUnused(this.directory(id)))) return false
      await rename(this.directory(id), aside)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
    // Used between the look and the removal: it goes back where it was.
    const isUsed = !(await isUnused(aside))
    // A copy that was imported meanwhile takes its place just as well.
    if (isUsed && (await rename(aside, this.directory(id)).then(...AS_BOOLEAN))) return false
    await rm(aside, { recursive: true, force: true })
    return !isUsed
  }

  /** Where an image can be fetched again; undefined: nobody knows. */
  async originOf(id: string): Promise<ImageOrigin | undefined> {
    const text = await readFile(join(this.directory(id), ORIGIN), 'utf8').catch(() => undefined)
    return text === undefined ? undefined : ImageOrigin.safeParse(parsed(text)).data
  }

  async beside(id: string, name: Beside): Promise<string | undefined> {
    return readFile(join(this.directory(id), name), 'utf8').catch(() => undefined)
  }

  async setBeside(id: string, name: Beside, text: string): Promise<void> {
    await writeWhole(join(this.directory(id), name), text, 0o644)
  }

  /** What was found damaged of an image; none: it is whole, as far as anybody looked. */
  async setDamaged(id: string, pieces: readonly number[]): Promise<void> {
    const path = join(this.directory(id), DAMAGED)
    this.looked.delete(id)
    if (pieces.length === 0) return rm(path, { force: true })
    await writeWhole(path, JSON.stringify(pieces), 0o644)
  }

  /** Numbers of its damaged pieces. */
  async damagedOf(id: string): Promise<readonly number[]> {
    const text = await readFile(join(this.directory(id), DAMAGED), 'utf8').catch(() => undefined)
    const found = text === undefined ? [] : parsed(text)
    return Array.isArray(found) ? found.filter((one) => Number.isSafeInteger(one)) : []
  }

  /** When every piece of it was last proven; undefined: never. */
  async provenAtMs(id: string): Promise<number | undefined> {
    return stat(join(this.directory(id), PROVEN)).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    )
  }

  async setProven(id: string, nowMs: number): Promise<void> {
    const path = join(this.directory(id), PROVEN)
    await writeFile(path, '')
    await utimes(path, new Date(nowMs), new Date(nowMs))
  }

  private async usedAtMs(id: string): Promise<number | undefined> {
    return stat(this.directory(id)).then(
      ({ mtimeMs }) => mtimeMs,
      () => undefined,
    )
  }

  private async write(index: ImageIndex): Promise<ImageIndex> {
    const path = join(this.directory(index.id), 'index.json')
    await writeWhole(path, JSON.stringify(index), 0o644)
    return index
  }

  private async read(id: string): Promise<ImageIndex> {
    const text = await readFile(join(this.directory(id), 'index.json'), 'utf8').catch(
      (error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') throw new Fault('image.missing', `image ${id} is not in the store`)
        throw new Fault('image.source', `cannot read the index of image ${id}: ${error.message}`, { cause: error })
      },
    )
    try {
      return ImageIndex.parse(JSON.parse(text))
    } catch (error) {
      throw new Fault('image.broken', `the index of image ${id} is not one`, { cause: error })
    }
  }

  private async ids(): Promise<string[]> {
    await mkdir(this.root, { recursive: true })
    return (await readdir(this.root)).filter((entry) => ID.test(entry))
  }

  private async flawOf(id: string): Promise<string | undefined> {
    const stateOf = (name: string) =>
      stat(join(this.directory(id), name)).then(
        ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
        (error: NodeJS.ErrnoException) => error.code ?? 'unknown',
      )
    const state = `${await stateOf('index.json')} ${await stateOf(DAMAGED)}`
    const known = this.looked.get(id)
    if (known?.state === state) return known.why
    const why = await this.read(id).then(
      async ({ pieces, names }) => damageText({ id, names, pieces: pieces.length }, await this.damagedOf(id)),
      (error: unknown) => asFault(error, 'image.broken').detail,
    )
    this.looked.set(id, { state, why })
    return why
  }

  /** The name tells whose it is: process ids are used again, also after a restart of a container. */
  private async partPath(): Promise<string> {
    return join(this.root, `.part-${process.pid}-${await startOf(process.pid)}-${(scratchCount += 1)}`)
  }

  private directory(id: string): string {
    if (!ID.test(id)) throw new Fault('input.invalid', `image id: ${JSON.stringify(id)} is not 64 hexadecimal digits`)
    return join(this.root, id)
  }
}

let scratchCount = 0
const AS_BOOLEAN = [() => true, () => false] as const

/** Also of a directory that is gone. */
const isUntouched = async (directory: string, sinceMs: number): Promise<boolean> =>
  stat(directory).then(
    ({ mtimeMs }) => mtimeMs <= sinceMs,
    () => true,
  )

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** When a process began, in ticks since the machine did: field 22 of /proc/PID/stat. "0" for one that is not there. */
async function startOf(pid: number): Promise<string> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '')
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '0'
}

export const isImageName = (name: string): boolean => NAME.test(name)

export function checkImageName(name: string): void {
  if (!isImageName(name))
    throw new Fault(
      'input.invalid',
      `image name ${JSON.stringify(name)}: use letters, digits, dot, dash and underscore, at most 128`,
    )
}
