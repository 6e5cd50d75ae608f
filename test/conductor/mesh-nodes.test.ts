/** Housekeeping of the mesh looks at the nodes that changed, or whose host did, and not at all of them each time. */
import { expect, test } from 'vitest'
import { Fault } from '../../kit/fault.ts'
import type { MeshRegistry } from '../../conductor/mesh/link.ts'
import { NodesOfHosts } from '../../conductor/mesh/nodes-of-hosts.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'

const COUNT = 2_000
const arbiters = [{ name: 'a1', public_key: 'k1' }]
const host = (n: number, more: object = {}) => ({ name: `h${n}`, node: null, hold: null, bmc_sealed: true, ...more })

function bench() {
  const all = new Map<string, NodeRecord>()
  for (let n = 0; n < COUNT; n += 1) all.set(`u${n}`, newNode({ uuid: `u${n}`, name: `h${n}`, driver: 'ipmi' }, 1))
  const byName = new Map([...all.values()].map((node) => [node.name, node]))
  const reads = { one: 0, every: 0 }
  const store = {
    node: async (uuid: string) => {
      reads.one += 1
      if (uuid === 'damaged') throw new Fault('store.damaged', 'no JSON')
      return all.get(uuid)
    },
    nodeByName: async (name: string) => ((reads.one += 1), byName.get(name)),
    everyNode: async () => ((reads.every += 1), [...all.values()]),
  }
  const nodes = new NodesOfHosts(store)
  const hosts = Array.from({ length: COUNT }, (_, n) => host(n))
  const take = async (registry: MeshRegistry) => (await nodes.take(registry)).map(({ uuid }) => uuid)
  return { all, reads, nodes, hosts, take }
}

test('all of them once; then what changed, by as many reads', async () => {
  const { reads, nodes, hosts, take } = bench()
  expect(await take({ arbiters, hosts })).toHaveLength(COUNT)
  expect(await take({ arbiters, hosts })).toEqual([])
  nodes.note('u7')
  nodes.note('u7')
  for (const uuid of ['damaged', 'gone', 'u8']) nodes.note(uuid)
  expect(await take({ arbiters, hosts })).toEqual(['u7', 'u8'])
  expect(await take({ arbiters, hosts })).toEqual([])
  expect(reads).toEqual({ one: 4, every: 1 })
})

test('a host that comes, is another node, or lost its credentials is looked at', async () => {
  const { reads, hosts, take } = bench()
  const [first, ...others] = hosts
  if (!first) throw new Error('no host')
  await take({ arbiters, hosts: others })
  expect(await take({ arbiters, hosts })).toEqual(['u0'])
  expect(await take({ arbiters, hosts: [{ ...first, node: 'u9' }, ...others] })).toEqual(['u9'])
  expect(await take({ arbiters, hosts: [{ ...first, node: 'h8' }, ...others] })).toEqual(['u8'])
  expect(await take({ arbiters, hosts: [{ ...first, node: 'h8', bmc_sealed: false }, ...others] })).toEqual(['u8'])
  expect(reads.every).toBe(1)
})

test('all of them again when the key of an arbiter changes, or something was left undone', async () => {
  const { reads, nodes, hosts, take } = bench()
  await take({ arbiters, hosts })
  expect(await take({ arbiters: [{ name: 'a1', public_key: 'k2' }], hosts })).toHaveLength(COUNT)
  nodes.again()
  expect(await take({ arbiters: [{ name: 'a1', public_key: 'k2' }], hosts })).toHaveLength(COUNT)
  expect(reads.every).toBe(3)
})

test('what changes while the mesh is away is bounded: beyond that all of them are looked at', async () => {
  const { reads, nodes, hosts, take } = bench()
  const kept = () => (Reflect.get(nodes, 'changed') as ReadonlySet<string>).size
  for (let n = 0; n < 100; n += 1) nodes.note(`u${n}`)
  expect(kept()).toBe(0)
  await take({ arbiters, hosts })
  let most = 0
  for (let n = 0; n < 50_000; n += 1) {
    nodes.note(`x${n}`)
    most = Math.max(most, kept())
  }
  expect(most).toBeLessThanOrEqual(5_001)
  expect(await take({ arbiters, hosts })).toHaveLength(COUNT)
  nodes.note('u3')
  expect(await take({ arbiters, hosts })).toEqual(['u3'])
  expect(reads.every).toBe(2)
})
