/** `rackward image gc` and `rackward image verify`. */
import { join } from 'node:path'
import type { ImagesCollected } from '../conductor/api/image-schemas.ts'
import { damagedPieces } from '../images/scrub.ts'
import { damageText, ImageStore } from '../images/store.ts'
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

export async function verify(names: readonly string[], options: { store?: string }): Promise<void> {
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  const images = names.length === 0 ? await store.list() : await Promise.all(names.map((name) => store.find(name)))
  const bad: string[] = []
  for (const image of images) {
    const why = damageText({ ...image, pieces: image.pieces.length }, await damagedPieces(store, image))
    if (why === undefined) print(`${image.names.join(', ')} (${image.id.slice(0, 16)}) is whole`)
    else bad.push(why)
  }
  for (const { why } of names.length === 0 ? await store.broken() : []) if (!bad.includes(why)) bad.push(why)
  if (bad.length > 0) throw new CliError('failed', bad.join('\n'))
}
