/** What a node was deployed with, in a line. */
import type { ImageOfNode, NodeImage } from '../conductor/api/image-series-schemas.ts'
import type { Api } from './server.ts'

/** Undefined: nothing is known, or the conductor is an older one. */
export async function imageLine(api: Api, ident: string): Promise<string | undefined> {
  const path = `/rackward/v1/nodes/${encodeURIComponent(ident)}/image`
  const { image } = ((await api.ask('GET', path).catch(() => undefined)) ?? {}) as Partial<ImageOfNode>
  if (!image) return undefined
  const { series, version, channel, source } = image
  const what = series === null || version === null ? source : `${series}:${version}`
  const standing = image.behind ? `, ${standingText(image)} of` : ', as'
  return `${what} (${image.image.slice(0, 16)})${channel === null || image.behind === null ? '' : `${standing} channel ${channel}`}`
}

export const standingText = ({ behind, wanted }: Pick<NodeImage, 'behind' | 'wanted'>): string =>
  behind === null ? '' : behind ? `behind ${wanted}` : 'current'
