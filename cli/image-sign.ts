/** `rackward image sign`. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { damagedPieces } from '../images/scrub.ts'
import { damageText } from '../images/scrub-text.ts'
import { signImage } from '../images/sign-image.ts'
import { recipeOf } from '../images/signature.ts'
import { ImageStore } from '../images/store.ts'
import { CliError } from './error.ts'
import { defaultCache } from './image.ts'
import { print } from './show.ts'
import { asOwned } from './store-owner.ts'

/** Of an image that was not built here. */
const IMPORTED = 'import'

/** Signs images of the store, in place of the signatures that they have. Every piece is proven first. */
export async function sign(names: readonly string[], options: { store?: string; signKey: string }): Promise<void> {
  const key = await readFile(options.signKey, 'utf8')
  const store = new ImageStore(options.store ?? join(defaultCache(), 'images'))
  for (const image of await Promise.all(names.map((name) => store.find(name)))) {
    const damaged = await damagedPieces(store, image)
    const why = damageText({ ...image, pieces: image.pieces.length }, damaged)
    if (why !== undefined) throw new CliError('failed', why)
    const recipe = recipeOf(await store.beside(image.id, 'signature.json')) ?? IMPORTED
    const signed = await asOwned(store, () => signImage(store, image, { recipe, key }))
    print(`${image.names.join(', ')}  ${image.id}  is signed with key ${signed.key.slice(0, 16)}`)
  }
}
