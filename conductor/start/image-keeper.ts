/** What looks after the image store of this conductor. */
import { ImageKeeper } from '../image-store/keeper.ts'
import { imageReferences } from '../image-store/references.ts'
import { ImageSource, importParts } from '../node/run/image-source.ts'
import { started, type Context } from './context.ts'
import type { Provisioning } from './provisioning.ts'
import type { Storage } from './storage.ts'

export async function startImageKeeper(
  context: Context,
  {
    store,
    images,
    glance,
    oci,
    s3,
    changes,
  }: Pick<Storage & Provisioning, 'store' | 'images' | 'glance' | 'oci' | 's3' | 'changes'>,
): Promise<ImageKeeper> {
  const { config, clock, log } = context
  const source = new ImageSource(importParts(config, { store: images, records: store, glance, oci, s3, clock }))
  const { gc, scrubHours } = config.images
  const keeper = new ImageKeeper({
    images,
    references: () => imageReferences(store),
    heal: (image, signal) => source.heal(image, signal),
    clock,
    log,
    gc,
    scrubHours,
  })
  changes.add((node) => keeper.changed(node))
  await started(context, 'image store', keeper)
  return keeper
}
