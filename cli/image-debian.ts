/** `rackward image build debian-*`: from the store when the same order made it before; otherwise built, with its
 *  bill of materials and, where there is a key, a signature. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { importImage } from '../images/import.ts'
import type { ImageIndex } from '../images/index.ts'
import { debianOrder, PLAIN, type DebianRecipe } from '../images/recipes/catalogue.ts'
import { buildDebian, debianKey, type Extras } from '../images/recipes/debian.ts'
import { inScratch } from '../images/recipes/scratch.ts'
import { signImage } from '../images/sign-image.ts'
import { checkSignKey } from '../images/signature.ts'
import { checkImageName, ImageStore } from '../images/store.ts'
import { architectureOf, type Architecture } from '../kit/architecture.ts'
import { Fault } from '../kit/fault.ts'
import { bytesText } from '../kit/text.ts'
import { asOwned } from './store-owner.ts'

interface BuildOptions {
  readonly store?: string
  readonly cacheDir: string
  readonly force?: boolean
  readonly architecture: Architecture
  readonly packages?: string
  readonly hardened?: boolean
  readonly mesh?: boolean
  readonly name?: string
  readonly signKey?: string
}

interface BuildTools {
  readonly say: (line: string) => void
  /** The agent and Consul. */
  readonly meshExtras: (cacheDir: string, say: (line: string) => void) => Promise<Extras>
}

/** False: there is no such recipe. */
export async function buildDebianImage(
  recipe: string,
  options: BuildOptions,
  { say, meshExtras }: BuildTools,
): Promise<boolean> {
  const { architecture, cacheDir, force = false, signKey } = options
  const order = debianOrder(recipe, options, architecture)
  if (!order) return false
  if (order.mesh && architecture !== architectureOf(process.arch))
    throw new Fault('input.invalid', '--arch: --mesh takes the agent and the Consul of this machine')
  // What would end the build when it is done is known before.
  checkImageName(order.name)
  const signPem = signKey === undefined ? undefined : await readFile(signKey, 'utf8')
  if (signPem !== undefined) checkSignKey(signPem)
  const extras = order.mesh ? await meshExtras(cacheDir, say) : undefined
  const epochSeconds = epochOf(process.env.SOURCE_DATE_EPOCH)
  const image = await debianFor(options.store ?? join(cacheDir, 'images'), cacheDir, {
    say,
    force,
    name: order.name,
    architecture,
    recipe: order.recipe,
    ...(epochSeconds === undefined ? {} : { epochSeconds }),
    ...(extras ? { extras } : {}),
    ...(signPem === undefined ? {} : { signKey: signPem }),
  })
  say(
    `${order.name}  ${image.id}  ${bytesText(image.sizeBytes)} raw, ${bytesText(image.dataBytes)} stored${signKey === undefined ? '' : ', signed'}`,
  )
  return true
}

/** As reproducible-builds.org specifies it. */
export function epochOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '') return undefined
  // Beyond it, ext4 and FAT count otherwise.
  if (/^\d{1,10}$/.test(text) && Number(text) > MIN_EPOCH && Number(text) < 2 ** 31) return Number(text)
  throw new Fault('input.invalid', 'SOURCE_DATE_EPOCH: give seconds since 1970, after 1980 and before 2038')
}
/** The first day that FAT knows, and one more for time zones. */
const MIN_EPOCH = 315_619_200

/** A Debian, from the store when the same order made it before. */
export async function debianFor(
  storeDir: string,
  cacheDir: string,
  opts: {
    say: (line: string) => void
    force?: boolean
    name?: string
    architecture?: Architecture
    extras?: Extras
    recipe?: DebianRecipe
    epochSeconds?: number
    /** Private key in PEM. */
    signKey?: string
  },
): Promise<ImageIndex> {
  const store = new ImageStore(storeDir)
  const { say, architecture = 'x86_64', extras, recipe = PLAIN, epochSeconds } = opts
  const name = opts.name ?? (architecture === 'x86_64' ? 'debian-12' : 'debian-12-arm64')
  // The name of the recipe and not the given one: by this form, garbage collection knows what a program named.
  const base = `debian-${recipe.suite === 'bookworm' ? '12' : '13'}${extras ? '-mesh' : ''}${architecture === 'x86_64' ? '' : '-arm64'}`
  const keyed = `${base}-${debianKey(architecture, extras, { recipe, epochSeconds })}`
  const known = opts.force ? undefined : await wholeBuild(store, keyed)
  const image = known ?? (await made())
  if (opts.signKey !== undefined)
    await asOwned(store, () => signImage(store, image, { recipe: base, key: opts.signKey ?? '' }))
  return known && known.names.includes(name) ? image : asOwned(store, () => nameImage(store, image, [name, keyed]))

  async function made(): Promise<ImageIndex> {
    return inScratch({ root: cacheDir, name: 'debian-work' }, async (workDir) => {
      const disk = join(workDir, 'disk.raw')
      const built = await buildDebian({
        workDir,
        disk,
        architecture,
        say,
        recipe,
        epochSeconds,
        ...(extras ? { extras } : {}),
      })
      say('cutting the image into pieces')
      return asOwned(store, async () => {
        const image = await importImage(store, {
          source: disk,
          origin: null,
          name: keyed,
          format: 'raw',
          traits: built.traits,
        })
        await store.setBeside(image.id, 'sbom.cdx.json', built.sbom)
        return image
      })
    })
  }
}

/** A build that ended before its bill of materials was kept is made again. */
async function wholeBuild(store: ImageStore, name: string): Promise<ImageIndex | undefined> {
  const known = await store.find(name).catch(() => undefined)
  return known && (await store.beside(known.id, 'sbom.cdx.json')) !== undefined ? known : undefined
}

/** Other names of an image stay; other images lose these. */
async function nameImage(store: ImageStore, { id }: ImageIndex, names: readonly string[]): Promise<ImageIndex> {
  const { names: known } = await store.find(id)
  return store.rename(id, [...new Set([...names, ...known])])
}
