/** What a deploy moved, as those may know it who see the node. */
import type { ImageMoved } from '../api/agent-wire.ts'
import type { NodeRecord } from '../node/record.ts'
import type { Store } from '../store/port.ts'

/** Neighbours are named that have the same owner and lessee: nobody learns by the events of a node which nodes others
 *  have. The sums tell of all of them. */
export async function movedFor(
  { owner, lessee }: Pick<NodeRecord, 'owner' | 'lessee'>,
  { shared, ...moved }: ImageMoved,
  store: Pick<Store, 'node'>,
): Promise<ImageMoved> {
  if (!shared) return moved
  const isNamed = async (uuid: string) => {
    const other = await store.node(uuid).catch(() => undefined)
    return other?.owner === owner && other.lessee === lessee
  }
  const named = await Promise.all(shared.neighbours.map(({ node }) => isNamed(node)))
  return { ...moved, shared: { ...shared, neighbours: shared.neighbours.filter((_, i) => named[i]) } }
}
