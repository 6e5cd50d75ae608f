/** /rackward/v1/images: the images of the store, and which servers they are on. */
import type { ImageStore } from '../../images/store.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'
import { mustBeWhole } from './access.ts'
import { ImageList } from './board-schemas.ts'
import type { DescribedRoute } from './route.ts'

export interface ImageRouteParts {
  readonly store: Store
  readonly images: Pick<ImageStore, 'list' | 'broken'>
}

export const imageRoutes = ({ store, images }: ImageRouteParts): DescribedRoute[] => [
  {
    method: 'get',
    path: '/rackward/v1/images',
    role: 'reader',
    answer: ImageList,
    summary: 'the images of the store, the newest first, and the servers that each is on or goes to',
    async handle(request) {
      mustBeWhole(request.actor, 'images')
      const nodes = (await store.everyNode()).filter((node) => node.instanceInfo.image_source !== undefined)
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
          used_by: nodes.filter((node) => isOn(node, image)).map(({ uuid, name }) => ({ uuid, name })),
        })),
        broken: await images.broken(),
      }
      return { body }
    },
  },
]

/** By what was written, where that is known; else by the name that was asked for. */
function isOn(node: NodeRecord, image: { readonly id: string; readonly names: readonly string[] }): boolean {
  const { imageId } = node.workflow
  if (imageId !== null) return imageId === image.id
  const source = String(node.instanceInfo.image_source)
  return source === image.id || image.names.includes(source)
}
