/** /rackward/v1/images: the images of the store, which servers they are on, and the removal of those that nobody
 *  needs. */
import * as z from 'zod'
import { everyGiven, type GivenImage } from '../image-store/series.ts'
import type { ImageKeeper } from '../image-store/keeper.ts'
import type { StoredImage } from '../../images/garbage.ts'
import type { ImageStore } from '../../images/store.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { ImageList } from './board-schemas.ts'
import { ImagesCollected } from './image-schemas.ts'
import type { DescribedRoute } from './route.ts'

export interface ImageRouteParts {
  readonly store: Store
  readonly images: Pick<ImageStore, 'list' | 'broken' | 'find'>
  readonly imageKeeper: Pick<ImageKeeper, 'collect'>
}

const CollectQuery = z.strictObject({
  dry_run: z.enum(['true', 'false']).default('false').describe('only tell what would be removed'),
  unused_hours: z.coerce
    .number()
    .min(1)
    .max(87_600)
    .optional()
    .describe('instead of images.gc.keepUnusedHours: how long nobody has used what is removed'),
})

export const imageRoutes = ({ store, images, imageKeeper }: ImageRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/images',
    role: 'reader',
    answer: ImageList,
    summary: 'the images of the store, the newest first, and the servers that each is on or goes to',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      const users = usersOf(await store.everyNode(), await everyGiven(store))
      const listed = (await images.list()).toSorted((a, b) => b.createdAt.localeCompare(a.createdAt))
      const body: ImageList = {
        images: listed.map((image) => ({
          id: image.id,
          names: image.names,
          size_bytes: image.sizeBytes,
          stored_bytes: image.dataBytes,
          created_at: image.createdAt,
          os_type: image.osType ?? null,
          signed_loader: image.signedLoader ?? null,
          used_by: [image.id, ...image.names].flatMap((source) => users.get(source) ?? []),
        })),
        broken: await images.broken(),
      }
      return { body }
    },
  },
  {
    method: 'post',
    path: '/rackward/v1/images/gc',
    role: 'admin',
    query: CollectQuery,
    answer: ImagesCollected,
    summary: 'removes images that no node, roll-out or request refers to and that nobody gave a name',
    async handle(request, query) {
      mustBeWhole(request.actor, 'images')
      const { dry_run: dryRun, unused_hours: unusedHours } = query as z.infer<typeof CollectQuery>
      const { remove, keep } = await imageKeeper.collect({ dryRun: dryRun === 'true', unusedHours })
      const body: ImagesCollected = {
        dry_run: dryRun === 'true',
        removed: remove.map(viewOf),
        kept: keep.map(({ image, why }) => ({ ...viewOf(image), why })),
      }
      return { body }
    },
  },
]

const viewOf = ({ id, names, storedBytes, usedAtMs }: StoredImage) => ({
  id,
  names: [...names],
  stored_bytes: storedBytes,
  used_at: new Date(usedAtMs).toISOString(),
})

type User = ImageList['images'][number]['used_by'][number]

/** Servers by image: by what was written, where that is known; else by the id or name that was asked for. An order
 *  forgets the image of the one before, and what was given stays known. */
function usersOf(
  nodes: readonly NodeRecord[],
  given: ReadonlyMap<string, GivenImage>,
): ReadonlyMap<string, readonly User[]> {
  const users = new Map<string, User[]>()
  for (const { uuid, name, workflow, instanceInfo } of nodes) {
    if (instanceInfo.image_source === undefined) continue
    const last = given.get(uuid)
    const wanted = String(instanceInfo.image_source)
    const source = workflow.imageId ?? (last?.source === wanted ? last.image : wanted)
    const known = users.get(source)
    if (known) known.push({ uuid, name })
    else users.set(source, [{ uuid, name }])
  }
  return users
}
