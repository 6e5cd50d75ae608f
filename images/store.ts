/** Where images are kept: one directory per image, named by the hash of its raw bytes; it appears whole or not at all. */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { Fault } from '../kit/fault.ts'
import { ImageIndex, indexFlaw } from './index.ts'

const ID = /^[0-9a-f]{64}$/
/** Names stand in URLs and paths of users' scripts: letters, digits, dot, dash, underscore. */
const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/

export class ImageStore {
  readonly root: string

  constructor(root: string) {
    this.root = root
  }

  async list(): Promise<ImageIndex[]> {
    await mkdir(this.root, { recursive: true })
    const ids = (await readdir(this.root)).filter((entry) => ID.test(entry))
    return Promise.all(ids.map((id) => this.read(id)))
  }

  /** An image by id or by name. Throws `image.missing`. */
  async find(idOrName: string): Promise<ImageIndex> {
    // Agents ask by id, many at once: that reads one index and not all of them.
    if (ID.test(idOrName)) return this.read(idOrName)
    const found = (await this.list()).filter((image) => image.names.includes(idOrName))
    const newest = found.sort((a, b) => b.createdAt.localeCompare(a.createdAt))[0]
    if (!newest) throw new Fault('image.missing', `image ${JSON.stringify(idOrName)} is not in the store`)
    return newest
  }

  /** The compressed pieces of an image, as a path below the root. Throws `input.invalid` for anything that is no id. */
  dataPath(id: string): string {
    return join(this.directory(id), 'data.zst')
  }

  /** A directory on the same file system for work that `add` will take over. */
  async scratch(): Promise<string> {
    const dir = join(this.root, `.part-${process.pid}-${(scratchCount += 1)}`)
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
    await writeFile(join(directory, 'index.json'), JSON.stringify(whole))
    await rm(this.directory(index.id), { recursive: true, force: true })
    await rename(directory, this.directory(index.id))
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
    await this.read(id)
    await rm(this.directory(id), { recursive: true })
  }

  private async write(index: ImageIndex): Promise<ImageIndex> {
    const path = join(this.directory(index.id), 'index.json')
    await writeFile(`${path}.part`, JSON.stringify(index))
    await rename(`${path}.part`, path)
    return index
  }

  private async read(id: string): Promise<ImageIndex> {
    const text = await readFile(join(this.directory(id), 'index.json'), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') throw new Fault('image.missing', `image ${id} is not in the store`)
      throw new Fault('image.source', `cannot read the index of image ${id}: ${error.message}`, { cause: error })
    })
    return ImageIndex.parse(JSON.parse(text))
  }

  private directory(id: string): string {
    if (!ID.test(id)) throw new Fault('input.invalid', `image id: ${JSON.stringify(id)} is not 64 hexadecimal digits`)
    return join(this.root, id)
  }
}

let scratchCount = 0

export function checkImageName(name: string): void {
  if (!NAME.test(name)) throw new Fault('input.invalid', `image name ${JSON.stringify(name)}: use letters, digits, dot, dash and underscore, at most 128`)
}
