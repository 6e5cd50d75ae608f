/** `rackward image ...`: builds and imports into an image store. */
import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { homedir } from 'node:os'
import { basename, join, resolve } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Limits } from '../conductor/limits.ts'
import { ImportBudget } from '../images/budget.ts'
import { parseChecksum } from '../images/checksum.ts'
import { importImage, type ImportRequest } from '../images/import.ts'
import { buildPackages } from '../images/packages/deb.ts'
import { treeDigest } from '../images/packages/tree.ts'
import { SUITES } from '../images/recipes/catalogue.ts'
import type { Extras } from '../images/recipes/debian.ts'
import { buildVagrantBox } from '../images/recipes/vagrant.ts'
import { buildLoaders } from '../images/recipes/loaders.ts'
import { buildRamdisk, type Ramdisk } from '../images/recipes/ramdisk.ts'
import { inScratch } from '../images/recipes/scratch.ts'
import { ImageStore } from '../images/store.ts'
import { architectureOf, type Architecture } from '../kit/architecture.ts'
import { systemClock } from '../kit/clock.ts'
import { Fault } from '../kit/fault.ts'
import { linkWhole } from '../kit/files.ts'
import { endChildren, run } from '../kit/run.ts'
import { bytesText } from '../kit/text.ts'
import { completionScript } from './completion.ts'
import { buildDebianImage } from './image-debian.ts'
import { formatOf, pairs, print, said, show } from './show.ts'
import { asOwned } from './store-owner.ts'

type Say = (line: string) => void
/** As shells have it for a program that SIGINT ended. */
const INTERRUPTED = 130

export const defaultCache = (): string => join(process.env.XDG_CACHE_HOME ?? join(homedir(), '.cache'), 'rackward')
const agentFile = () => fileURLToPath(new URL('../agent.cjs', import.meta.url))
const root = () => fileURLToPath(new URL('../..', import.meta.url))

export async function build(
  recipe: string,
  options: {
    store?: string
    cache?: string
    force?: boolean
    out: string
    arch: string
    config?: string
    key?: string
    cert?: string
    link?: string
    packages?: string
    hardened?: boolean
    mesh?: boolean
    name?: string
    signKey?: string
  },
): Promise<void> {
  const architecture = architectureOf(options.arch)
  if (!architecture)
    throw new Fault('input.invalid', `--arch: ${JSON.stringify(options.arch)} is neither amd64 nor arm64`)
  const cache = options.cache ?? defaultCache()
  endChildrenOnSignal()
  switch (recipe) {
    case 'ramdisk': {
      const ramdisk = await ramdiskFor(cache, print, { force: options.force ?? false, architecture })
      const { kernel, initrd, rescueInitrd, iso } = ramdisk
      if (options.link !== undefined) await linkWhole(options.link, resolve(ramdisk.path))
      return print(
        [`kernel  ${kernel}`, `initrd  ${initrd}`, `rescue  ${rescueInitrd}`, ...(iso ? [`iso     ${iso}`] : [])].join(
          '\n',
        ),
      )
    }
    case 'uki': {
      const { buildSignedRamdisk } = await import('./uki.ts')
      return print(await buildSignedRamdisk({ ...options, cacheDir: cache }, print))
    }
    case 'loaders':
      return print(await buildLoaders({ cacheDir: cache, say: print, force: options.force ?? false }))
    case 'deb': {
      for (const path of await packagesFor(options.out, print)) print(path)
      return
    }
    case 'vagrant-box':
      return print(await vagrantBox(options.out, cache, print))
    default: {
      if (await buildDebianImage(recipe, { ...options, cacheDir: cache, architecture }, { say: print, meshExtras }))
        return
      throw new Fault(
        'input.invalid',
        `there is no recipe ${JSON.stringify(recipe)}; there are ${Object.keys(SUITES).join(', ')} (--mesh: with the agent and Consul), ramdisk, uki (the ramdisk, signed), loaders, deb and vagrant-box`,
      )
    }
  }
}

/** An interrupted build fails where it is, and so clears away what it has begun. Told twice it ends at once. */
function endChildrenOnSignal(): void {
  const onSignal = () => {
    if (process.exitCode === INTERRUPTED) process.exit()
    process.exitCode = INTERRUPTED
    endChildren()
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, onSignal)
}

export const ramdiskFor = (
  cacheDir: string,
  say: Say,
  opts: { force?: boolean; agentFile?: string; architecture?: Architecture } = {},
): Promise<Ramdisk> =>
  buildRamdisk({
    cacheDir,
    agentFile: opts.agentFile ?? agentFile(),
    nodeFile: process.execPath,
    architecture: opts.architecture ?? 'x86_64',
    say,
    ...(opts.force ? { force: true } : {}),
  })

/** A directory of current iPXE loaders; undefined where they cannot be fetched, after saying what that means. */
export const loadersFor = (cacheDir: string, say: Say): Promise<string | undefined> =>
  buildLoaders({ cacheDir, say }).catch((error: Error) => {
    say(
      `current iPXE loaders cannot be fetched, so each network boot takes up to 17 s longer with those of /usr/lib/ipxe: ${error.message}`,
    )
    return undefined
  })

/** Debian packages of the program that runs this. */
export async function packagesFor(outDir: string, say: Say): Promise<string[]> {
  return buildPackages({
    root: root(),
    outDir: resolve(outDir),
    nodeFile: process.execPath,
    completion: completionScript('bash'),
    say,
  })
}

/** The agent and Consul, for hosts that come into the mesh by themselves. Consul is the one of this machine. */
export async function meshExtras(
  cacheDir: string,
  say: Say,
  names = ['rackward-common', 'rackward-agent'],
): Promise<Extras> {
  const consul = process.env.RACKWARD_CONSUL ?? 'consul'
  const { stdout } = await run(['sh', '-c', 'command -v "$0"', consul], { timeoutMs: 5_000 })
  const program = stdout.trim()
  if (program === '')
    throw new Fault(
      'input.missing',
      'there is no Consul here to put into the image: install Consul 1.8 or newer, or name it in RACKWARD_CONSUL',
    )
  const packages = join(cacheDir, `packages-${await treeDigest(root())}`)
  const find = async () => {
    const all = await readdir(packages).catch(() => [])
    return names.flatMap((name) => all.filter((file) => file.startsWith(`${name}_`)))
  }
  if ((await find()).length < names.length) await packagesFor(packages, say)
  const debs = (await find()).map((file) => join(packages, file))
  return {
    packages: [],
    // What they are made of, since two builds of the same differ in their times.
    debs: debs.map((path) => ({ path, digest: `${basename(packages)}/${basename(path)}` })),
    files: [{ from: program, to: '/usr/bin/consul', digest: await digestOf(program) }],
  }
}

/** A box for Vagrant's libvirt provider: Debian with the packages of this program, so that nothing has to be
 *  downloaded. */
export async function vagrantBox(outDir: string, cacheDir: string, say: Say): Promise<string> {
  const extras = await meshExtras(cacheDir, say, ['rackward-common', 'rackward', 'rackward-agent'])
  return inScratch({ root: cacheDir, name: 'vagrant-work' }, (workDir) =>
    buildVagrantBox({ extras, workDir, outFile: resolve(outDir, 'rackward.box'), say }),
  )
}

const digestOf = async (path: string) =>
  createHash('sha256')
    .update(await readFile(path))
    .digest('hex')

export async function importOne(
  source: string,
  options: { name: string; checksum?: string; format?: string; store?: string },
): Promise<void> {
  const { name, checksum, format } = options
  if (format !== undefined && format !== 'raw' && format !== 'qcow2')
    throw new Fault('input.invalid', `--format: ${format} is neither raw nor qcow2`)
  const wanted: ImportRequest = {
    source,
    name,
    ...(checksum ? { checksum: parseChecksum(checksum) } : {}),
    ...(format ? { format } : {}),
  }
  const budget = new ImportBudget(Limits.parse({}).images, systemClock)
  const image = await asOwned(new ImageStore(options.store ?? join(defaultCache(), 'images')), (store) =>
    importImage(store, wanted, { budget }),
  )
  print(`${options.name}  ${image.id}  ${bytesText(image.sizeBytes)} raw, ${bytesText(image.dataBytes)} stored`)
}

export async function list(options: { store?: string; json?: boolean }): Promise<void> {
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  const [images, broken] = [await store.list(), await store.broken()]
  for (const { id, why } of broken)
    process.stderr.write(`rackward: ${said(why)}; remove it with: rackward image rm ${id}\n`)
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

export async function showImage(name: string, options: { store?: string; output?: string }): Promise<void> {
  const image = await new ImageStore(options.store ?? join(defaultCache(), 'images')).find(name)
  const { pieces, ...about } = image
  await show({ ...about, pieces: pieces.length }, formatOf(options.output), () =>
    pairs([...Object.entries(about), ['pieces', pieces.length]]),
  )
}

export async function removeImages(names: readonly string[], options: { store?: string }): Promise<void> {
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  // All are looked up first: a name that is wrong leaves the others where they are.
  for (const { id, names: known } of await Promise.all(names.map((name) => store.which(name)))) {
    await store.remove(id)
    print(`${known.join(', ') || 'a broken image'} (${id.slice(0, 16)}) is removed`)
  }
}
