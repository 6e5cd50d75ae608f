/** What nodes are compared by when durations are: the same states take as long on the same hardware. */
import type { NodeRecord } from '../record.ts'

export const modelOf = (node: Pick<NodeRecord, 'driver' | 'properties'>): string =>
  [node.driver, node.properties.vendor, node.properties.model]
    .filter((part) => typeof part === 'string' && part !== '')
    .join(' / ')
