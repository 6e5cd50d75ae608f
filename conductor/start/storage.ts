/** The data directory, the store, the image store, the accounts that images are fetched with, and the event journal. */
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import type { Glance } from '../../images/glance.ts'
import type { OciRegistry } from '../../images/oci-registry.ts'
import type { S3 } from '../../images/s3.ts'
import { ImageStore } from '../../images/store.ts'
import { startEvents, type EventParts } from '../events/parts.ts'
import { openGlance } from '../node/run/glance-account.ts'
import { openOci } from '../node/run/oci-account.ts'
import { openS3 } from '../node/run/s3-account.ts'
import { Sightings } from '../node/query/sightings.ts'
import type { Store } from '../store/port.ts'
import { loadSeal } from '../store/secrets.ts'
import type { Context } from './context.ts'
import { DATABASE, openConfigured, type OpenStore } from './open-store.ts'

export interface Storage {
  readonly store: Store
  readonly images: ImageStore
  /** Where it is configured. */
  readonly glance: Glance | undefined
  readonly oci: OciRegistry
  /** Where it is configured. */
  readonly s3: S3 | undefined
  readonly sightings: Sightings
  readonly events: EventParts
}

export async function openStorage(context: Context, openStore: OpenStore = openConfigured(context)): Promise<Storage> {
  const { life, config, log, clock, random } = context
  await mkdir(config.data, { recursive: true, mode: 0o700 })
  await chmod(config.data, 0o700)
  const seal = await loadSeal(join(config.data, 'secret.key'), random)
  const { store } = await life.add(
    'store',
    () => openStore(join(config.data, DATABASE), seal, { clock, limits: config.limits.events }),
    (opened) => opened.close(),
  )
  for (const { kind, uuid, why } of await store.survey())
    log.error({ kind, uuid }, `a stored record cannot be read, and is left out: ${why}`)

  const images = new ImageStore(config.images.store)
  await images.clean()
  const glance = config.images.glance && (await openGlance(config.images.glance, clock))
  const oci = await openOci(config.images.oci)
  const s3 = config.images.s3 && (await openS3(config.images.s3, clock))
  const events = await startEvents(life, { journal: store.journal, clock, log, limits: config.limits })
  return { store, images, glance, oci, s3, sightings: new Sightings(), events }
}
