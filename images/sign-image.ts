/** Signs an image of the store, in place of the signature that it has. */
import type { ImageIndex } from './index.ts'
import { signStatement, statementOf, type Signed } from './signature.ts'
import type { ImageStore } from './store.ts'

export async function signImage(
  store: ImageStore,
  image: ImageIndex,
  by: { recipe: string; key: string },
): Promise<Signed> {
  const sbom = await store.beside(image.id, 'sbom.cdx.json')
  const signed = signStatement(statementOf(image, { recipe: by.recipe, sbom }), by.key)
  await store.setBeside(image.id, 'signature.json', `${JSON.stringify(signed)}\n`)
  return signed
}
