/** `rackward node list`: a line for each node; with `--images`, also what it runs. */
import type { ImageStatus } from '../conductor/api/image-series-schemas.ts'
import { standingText } from './image-line.ts'
import { statusOf } from './image-series.ts'
import { connect, listNodes, type Common, type NodeView } from './nodes.ts'
import { formatOf, show, tableOf } from './show.ts'

/** As `image status` shows it. */
const IMAGE_ID = /^([0-9a-f]{16})[0-9a-f]{48}$/

type ImageSeen = ImageStatus['nodes'][number]
interface ListOptions extends Common {
  readonly state?: string
  readonly class?: string
  readonly failed?: boolean
  readonly images?: boolean
}

export async function list(options: ListOptions): Promise<void> {
  const query = new URLSearchParams({
    fields: 'uuid,name,provision_state,power_state,maintenance,resource_class,last_error',
  })
  if (options.state) query.set('provision_state', options.state)
  if (options.class) query.set('resource_class', options.class)
  const api = await connect(options)
  const all = await listNodes(api, query.toString())
  const nodes = options.failed
    ? all.filter((node) => /failed|error/.test(node.provision_state) || node.last_error)
    : all
  const images = options.images ? await imagesOf(() => statusOf(api, false)) : undefined
  const plain = nodes.map((node) => ({
    ...Object.fromEntries(Object.entries(node).filter(([name]) => name !== 'links')),
    ...(images ? { image: plainImage(images.get(node.uuid)) } : {}),
  }))
  await show(plain, formatOf(options.output), () => listText(nodes, images))
}

const imagesOf = async (ask: () => Promise<readonly ImageSeen[]>): Promise<ReadonlyMap<string, ImageSeen>> =>
  new Map((await ask()).map((one) => [one.uuid, one]))

/** Null: it has no instance, or nobody knows its image. */
function plainImage(seen: ImageSeen | undefined): Omit<ImageSeen, 'uuid' | 'name' | 'provision_state'> | null {
  if (!seen) return null
  const { uuid: _uuid, name: _name, provision_state: _state, ...image } = seen
  return image
}

function listText(nodes: readonly NodeView[], images: ReadonlyMap<string, ImageSeen> | undefined): string {
  if (nodes.length === 0) return 'there are no nodes; enroll one with: rackward node enroll'
  const shown = images ? ['image', 'channel'] : []
  return tableOf(
    ['name', 'state', 'power', 'class', ...shown, 'uuid', 'last error'],
    nodes.map((node) => [
      node.name,
      node.maintenance ? `${node.provision_state} (maintenance)` : node.provision_state,
      node.power_state,
      node.resource_class,
      ...(images ? imageCells(images.get(node.uuid)) : []),
      node.uuid,
      node.last_error ?? '',
    ]),
  )
}

function imageCells(seen: ImageSeen | undefined): [image: string, channel: string] {
  if (!seen) return ['', '']
  const { series, version, source, channel } = seen
  const standing = standingText(seen)
  return [
    series === null || version === null ? source.replace(IMAGE_ID, '$1') : `${series}:${version}`,
    channel === null ? standing : `${channel}${standing === '' ? '' : `: ${standing}`}`,
  ]
}
