/** Many nodes, some at a time: ten thousand records are no reason for anybody else to wait. */
import type { NodeRecord } from '../node/record.ts'
import type { NodeFilter, Store } from './port.ts'

const SLICE = 100

/** Every node that the filter leaves, in the order of enrolment; everybody else has a turn between two slices. */
export async function* nodeSlices(
  store: Pick<Store, 'nodes'>,
  filter: NodeFilter,
): AsyncGenerator<readonly NodeRecord[]> {
  for (let marker: string | undefined; ;) {
    const nodes = await store.nodes(filter, {
      limit: SLICE,
      sortKey: 'id',
      descending: false,
      ...(marker === undefined ? {} : { marker }),
    })
    yield nodes
    if (nodes.length < SLICE) return
    marker = nodes.at(-1)?.uuid
    await new Promise((resolve) => setImmediate(resolve))
  }
}
