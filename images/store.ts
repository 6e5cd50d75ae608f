/** Where images are kept: one directory per image, named by the hash of its raw bytes; it appears whole or not at
 *  all. */
import { mkdir, readdir, readFile, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { asFault, Fault } from '../kit/fault.ts'
import { syncFolder, writeWhole } from '../kit/files.ts'
import { ImageIndex, indexFlaw } from './index.ts'

const ID = /^[0-9a-f]{64}$/
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

  /** Removes what imports left whose process is gone. */
  async clean(): Promise<void> {
    await mkdir(this.root, { recursive: true })
    for (const entry of await readdir(this.root)) {
      const [, pid, started] = /^\.part-(\d+)-(\d+)-\d+$/.exec(entry) ?? []
      const left = entry.startsWith('.part-') && (pid === undefined || (await startOf(Number(pid))) !== started)
      if (left) await rm(join(this.root, entry), { recursive: true, force: true })
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
    await mkdir(dir, { recursive: true })
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
    const path = join(this.directory(id), 'index.json')
    const state = await stat(path).then(
      ({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`,
      (error: NodeJS.ErrnoException) => error.code ?? 'unknown',
    )
    const known = this.looked.get(id)
    if (known?.state === state) return known.why
    const why = await this.read(id).then(
      () => undefined,
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
