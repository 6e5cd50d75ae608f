/** Whom the events of a node name. */
import { expect, test } from 'vitest'
import { movedFor } from '../../conductor/agents/moved.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'

const id = (number: number) => `00000000-0000-4000-8000-00000000000${number}`
const NODES: Record<string, { owner: string | null; lessee: string | null }> = {
  [id(1)]: { owner: 'blue', lessee: null },
  [id(2)]: { owner: 'red', lessee: null },
  [id(3)]: { owner: 'blue', lessee: 'red' },
  [id(4)]: { owner: null, lessee: null },
}
const store = {
  node: async (uuid: string) => {
    const found = NODES[uuid]
    if (!found) throw new Error('there is none')
    return found as NodeRecord
  },
}
const moved = {
  pieces: 9,
  heldPieces: 0,
  fetchedBytes: 90,
  writtenBytes: 100,
  shared: {
    fromNeighbours: 50,
    toNeighbours: 20,
    neighbours: [1, 2, 3, 4, 5].map((number) => ({ node: id(number), bytes: 10 })),
  },
}

test.each([
  ['blue', null, [id(1)]],
  ['red', null, [id(2)]],
  ['blue', 'red', [id(3)]],
  [null, null, [id(4)]],
])('of a node of owner %s and lessee %s: neighbours of the same', async (owner, lessee, named) => {
  const told = await movedFor({ owner, lessee }, moved, store)
  expect(told.shared?.neighbours.map(({ node }) => node)).toEqual(named)
  expect(told).toEqual({ ...moved, shared: { ...moved.shared, neighbours: told.shared?.neighbours } })
})

test('without a swarm nothing is left out', async () => {
  const { shared: _, ...alone } = moved
  expect(await movedFor({ owner: 'blue', lessee: null }, alone, store)).toEqual(alone)
})
