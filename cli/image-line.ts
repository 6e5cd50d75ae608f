/** What a node was deployed with, in a line. */
import type { GivenView, ImageOfNode, NodeImage } from '../conductor/api/image-series-schemas.ts'
import type { Api } from './server.ts'

/** Undefined: nothing is known, or the conductor is an older one. */
export async function imageLine(api: Api, ident: string): Promise<string | undefined> {
  const path = `/rackward/v1/nodes/${encodeURIComponent(ident)}/image`
  const { image } = ((await api.ask('GET', path).catch(() => undefined)) ?? {}) as Partial<ImageOfNode>
  if (!image) return undefined
  const { series, version, channel, source, deploy } = image
  const what = series === null || version === null ? source : `${series}:${version}`
  const id = image.image === null ? '' : ` (${image.image.slice(0, 16)})`
  if (deploy === 'failed' || deploy === 'under way') return `${what}${id}, ${DEPLOYS[deploy]}${diskText(image)}`
  const standing = image.behind ? `, ${standingText(image)} of` : ', as'
  return `${what}${id}${channel === null || image.behind === null ? '' : `${standing} channel ${channel}`}`
}

const DEPLOYS = {
  'under way': 'being deployed',
  failed: 'whose deploy failed',
} as const

function diskText({ image, deploy, on_disk: disk }: GivenView): string {
  if (disk) return `; the disk still holds ${disk.source} (${disk.image.slice(0, 16)})`
  if (deploy !== 'failed') return ''
  return image === null ? ' before an image was chosen' : ': the disk may hold another one, or part of it'
}

export function standingText({ behind, wanted, deploy }: Pick<NodeImage, 'behind' | 'wanted' | 'deploy'>): string {
  if (deploy === 'failed') return 'its deploy failed'
  if (deploy === 'under way') return 'being deployed'
  return behind === null ? '' : behind ? `behind ${wanted}` : 'current'
}
