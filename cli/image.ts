/** `rackward image ...`: builds and imports into an image store. */
import { rm } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parseChecksum } from '../images/checksum.ts'
import { importImage } from '../images/import.ts'
import type { ImageIndex } from '../images/index.ts'
import { buildDebian, debianKey } from '../images/recipes/debian.ts'
import { buildRamdisk, type Ramdisk } from '../images/recipes/ramdisk.ts'
import { ImageStore } from '../images/store.ts'
import { Fault } from '../kit/fault.ts'
import { bytesText } from '../kit/text.ts'

type Say = (line: string) => void

export const defaultCache = (): string => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'rackward')
const agentFile = () => fileURLToPath(new URL('../agent.cjs', import.meta.url))
const print: Say = (line) => void process.stdout.write(`${line}\n`)

export async function build(recipe: string, options: { store?: string; cache?: string; force?: boolean }): Promise<void> {
  const cache = options.cache ?? defaultCache()
  switch (recipe) {
    case 'ramdisk': {
      const ramdisk = await ramdiskFor(cache, print, { force: options.force ?? false })
      return print(`kernel  ${ramdisk.kernel}\ninitrd  ${ramdisk.initrd}\nrescue  ${ramdisk.rescueInitrd}`)
    }
    case 'debian-12': {
      const image = await debianFor(options.store ?? join(cache, 'images'), cache, { say: print, force: options.force ?? false })
      return print(`debian-12  ${image.id}  ${bytesText(image.sizeBytes)} raw, ${bytesText(image.dataBytes)} stored`)
    }
    default:
      throw new Fault('input.invalid', `there is no recipe ${JSON.stringify(recipe)}; there are debian-12 and ramdisk`)
  }
}

export const ramdiskFor = (cacheDir: string, say: Say, opts: { force?: boolean; agentFile?: string } = {}): Promise<Ramdisk> =>
  buildRamdisk({ cacheDir, agentFile: opts.agentFile ?? agentFile(), nodeFile: process.execPath, say, ...(opts.force ? { force: true } : {}) })

/** The lab's Debian, from the store when the same recipe made it before. */
export async function debianFor(storeDir: string, cacheDir: string, opts: { say: Say; force?: boolean }): Promise<ImageIndex> {
  const store = new ImageStore(storeDir)
  const keyed = `debian-12-${debianKey()}`
  const { say } = opts
  const known = opts.force ? undefined : await store.find(keyed).catch(() => undefined)
  if (known) return known
  const workDir = join(cacheDir, `debian-work-${process.pid}`)
  try {
    const disk = join(workDir, 'disk.raw')
    const traits = await buildDebian({ workDir, disk, say })
    say('cutting the image into pieces')
    const image = await importImage(store, { source: disk, name: keyed, format: 'raw', traits })
    // The plain name moves to the newest build.
    return await store.rename(image.id, ['debian-12', keyed])
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}

export async function importOne(source: string, options: { name: string; checksum?: string; format?: string; store?: string }): Promise<void> {
  if (options.format !== undefined && options.format !== 'raw' && options.format !== 'qcow2')
    throw new Fault('input.invalid', `--format: ${options.format} is neither raw nor qcow2`)
  const image = await importImage(new ImageStore(options.store ?? join(defaultCache(), 'images')), {
    source,
    name: options.name,
    ...(options.checksum ? { checksum: parseChecksum(options.checksum) } : {}),
    ...(options.format ? { format: options.format } : {}),
  })
  print(`${options.name}  ${image.id}  ${bytesText(image.sizeBytes)} raw, ${bytesText(image.dataBytes)} stored`)
}

export async function list(options: { store?: string; json?: boolean }): Promise<void> {
  const images = await new ImageStore(options.store ?? join(defaultCache(), 'images')).list()
  if (options.json)
    return print(
      JSON.stringify(
        images.map((image) => ({ ...image, pieces: image.pieces.length })),
        null,
        2,
      ),
    )
  if (images.length === 0) return print('the store is empty; try: rackward image build debian-12')
  for (const image of images)
    print(
      `${image.names.join(', ').padEnd(28)} ${image.id.slice(0, 16)}  ${bytesText(image.sizeBytes).padStart(9)} raw  ${bytesText(image.dataBytes).padStart(9)} stored  ${image.createdAt}`,
    )
}
