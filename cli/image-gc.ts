/** `rackward image gc` and `rackward image verify`. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ImagesCollected } from '../conductor/api/image-schemas.ts'
import type { ImageIndex } from '../images/index.ts'
import { damagedPieces } from '../images/scrub.ts'
import { damageText } from '../images/scrub-text.ts'
import { signatureFlaw } from '../images/signature.ts'
import { ImageStore } from '../images/store.ts'
import { bytesText } from '../kit/text.ts'
import { CliError } from './error.ts'
import { defaultCache } from './image.ts'
import { connect, type Common } from './nodes.ts'
import { formatOf, print, show, tableOf } from './show.ts'

const MAX_HOURS = 87_600

export async function collect(options: Common & { dryRun?: boolean; unusedHours?: string }): Promise<void> {
  const format = formatOf(options.output)
  const query = new URLSearchParams(options.dryRun ? { dry_run: 'true' } : {})
  if (options.unusedHours !== undefined) query.set('unused_hours', hoursOf(options.unusedHours))
  const api = await connect(options)
  const found = (await api.ask('POST', `/rackward/v1/images/gc?${query.toString()}`)) as ImagesCollected
  await show(found, format, () => textOf(found))
}

function hoursOf(text: string): string {
  const hours = Number(text)
  if (!Number.isFinite(hours) || hours < 1 || hours > MAX_HOURS)
    throw new CliError('usage', `--unused-hours: ${text} is no number from 1 to ${MAX_HOURS}`)
  return text
}

function textOf({ dry_run: dryRun, removed, kept }: ImagesCollected): string {
  const bytes = removed.reduce((sum, image) => sum + image.stored_bytes, 0)
  const row = (what: string, image: ImagesCollected['removed'][number], why: string) => [
    what,
    image.names.join(', ') || '(no name)',
    image.id.slice(0, 16),
    bytesText(image.stored_bytes),
    why,
  ]
  const did = dryRun ? 'would be removed' : 'removed'
  const rows = [
    ...removed.map((image) => row(did, image, `nobody has used it since ${image.used_at}`)),
    ...kept.map((image) => row('kept', image, image.why)),
  ]
  const sum = `${removed.length} images, ${bytesText(bytes)} ${did}`
  return rows.length === 0 ? 'the store is empty' : `${tableOf(['', 'name', 'id', 'stored', 'why'], rows)}\n${sum}`
}

export async function printSbom(name: string, options: { store?: string }): Promise<void> {
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  const { id } = await store.find(name)
  const text = await store.beside(id, 'sbom.cdx.json')
  if (text === undefined)
    throw new CliError(
      'failed',
      `${name} has no bill of materials: only images that rackward image build makes have one`,
    )
  print(text.trimEnd())
}

export async function verify(
  names: readonly string[],
  options: { store?: string; publicKey?: readonly string[] },
): Promise<void> {
  const publicPems = await Promise.all((options.publicKey ?? []).map((path) => readFile(path, 'utf8')))
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  const images = names.length === 0 ? await store.list() : await Promise.all(names.map((name) => store.find(name)))
  const bad: string[] = []
  for (const image of images) {
    const why = damageText({ ...image, pieces: image.pieces.length }, await damagedPieces(store, image))
    const unsigned = publicPems.length === 0 ? undefined : await unsignedText(store, image, publicPems)
    const said = [why, unsigned].filter((text) => text !== undefined)
    const signed = publicPems.length === 0 ? '' : ' and signed'
    if (said.length === 0) print(`${image.names.join(', ')} (${image.id.slice(0, 16)}) is whole${signed}`)
    bad.push(...said)
  }
  for (const { why } of names.length === 0 ? await store.broken() : []) if (!bad.includes(why)) bad.push(why)
  if (bad.length > 0) throw new CliError('failed', bad.join('\n'))
}

async function unsignedText(
  store: ImageStore,
  image: ImageIndex,
  publicPems: readonly string[],
): Promise<string | undefined> {
  const text = await store.beside(image.id, 'signature.json')
  const sbom = await store.beside(image.id, 'sbom.cdx.json')
  const flaw = signatureFlaw(image, { signed: text === undefined ? undefined : jsonOf(text), sbom, publicPems })
  return flaw === undefined ? undefined : `image ${image.names[0] ?? image.id.slice(0, 16)}: ${flaw}`
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return null
  }
}
