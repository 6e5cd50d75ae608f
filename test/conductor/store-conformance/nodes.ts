/** What every store keeps to, whichever database is behind the port: nodes. */
import { expect, test } from 'vitest'
import type { NodeRecord } from '../../../conductor/node/record.ts'
import type { Page } from '../../../conductor/store/port.ts'
import { make, next, PAGE, uuid, uuids, type Bench } from './bench.ts'

export function nodeConformance(bench: Bench): void {
  test('a node comes back whole, its secrets too, by uuid and by name', async () => {
    const node = await bench.added({
      driverInfo: { ipmi_address: '192.0.2.77', ipmi_password: 'correct horse' },
      instanceInfo: { nested: [{ token: 7 }], text: 'a\u0000b "q" \\u0000 \ud83d\ude00' },
      vifs: { [uuid(1_000_001)]: {} as never },
    })
    expect(await bench.store.node(node.uuid)).toEqual(node)
    expect(await bench.store.nodeByName(node.name as string)).toEqual(node)
    expect(await bench.store.node(uuid(999_999))).toBeUndefined()
    expect(uuids(await bench.store.nodes({ vif: uuid(1_000_001) }, PAGE))).toEqual([node.uuid])
  })

  test('of two who write one version, one succeeds, and the other one is told', async () => {
    const node = await bench.added()
    const results = await Promise.allSettled(
      Array.from({ length: 10 }, (_, n) =>
        bench.store.putNode({ ...node, extra: { n } }, [
          { atMs: 1, nodeUuid: node.uuid, kind: 'trouble', detail: { n } },
        ]),
      ),
    )
    const won = results.filter((result) => result.status === 'fulfilled')
    expect(won).toHaveLength(1)
    for (const result of results)
      if (result.status === 'rejected') expect(result.reason).toMatchObject({ code: 'store.moved' })
    expect(await bench.store.node(node.uuid)).toEqual(won[0]?.value)
    // What did not happen is not told.
    expect(await bench.eventsOf(node)).toEqual(['node-added', 'trouble'])
    await expect(bench.store.putNode({ ...make(), version: 3 })).rejects.toMatchObject({ code: 'store.moved' })
  })

  test('uuid, name, instance and BMC are unique, and the fault names the field', async () => {
    const node = await bench.added({ instanceUuid: uuid(next()), driverInfo: { ipmi_address: '192.0.2.1' } })
    const taken: [Partial<NodeRecord>, string][] = [
      [{ uuid: node.uuid }, 'uuid'],
      [{ name: node.name }, 'name'],
      [{ instanceUuid: node.instanceUuid }, 'instance_uuid'],
      [{ driverInfo: { ipmi_address: '192.0.2.1' } }, 'BMC'],
    ]
    for (const [more, field] of taken)
      await expect(bench.store.addNode(make(more))).rejects.toMatchObject({
        code: 'object.conflict',
        detail: expect.stringContaining(field) as string,
      })
    const other = await bench.added({ driverInfo: { ipmi_address: '192.0.2.2' } })
    await expect(bench.store.putNode({ ...other, driverInfo: { ipmi_address: '192.0.2.1' } })).rejects.toMatchObject({
      code: 'object.conflict',
    })
    const freed = await bench.store.putNode({ ...node, driverInfo: {} })
    await bench.store.putNode({ ...other, driverInfo: { ipmi_address: '192.0.2.1' } })
    expect(await bench.store.sharersOfBmc({ ...freed, driverInfo: { ipmi_address: '192.0.2.1' } })).toEqual([
      other.uuid,
    ])
  })

  test.each([
    'id',
    'uuid',
    'name',
    'created_at',
    'updated_at',
    'resource_class',
    'maintenance',
    'description',
    'owner',
  ])('pages of nodes by %s: each node once, in order, what has no value first', async (sortKey) => {
    const some = ['b', null, 'a', 'b', 'Z', 'ä', null, 'a', 'b']
    const mine: NodeRecord[] = []
    for (const [i, value] of some.entries())
      mine.push(
        await bench.added({
          chassisUuid: `chassis of ${sortKey}`,
          resourceClass: value,
          description: value,
          owner: value,
          maintenance: i % 3 === 0,
          updatedAtMs: i % 4 === 0 ? null : 100 - i,
        }),
      )
    const of: Record<string, (node: NodeRecord) => string | number | null> = {
      id: () => 0,
      uuid: (node) => node.uuid,
      name: (node) => node.name,
      created_at: (node) => node.createdAtMs,
      updated_at: (node) => node.updatedAtMs,
      resource_class: (node) => node.resourceClass,
      maintenance: (node) => (node.maintenance ? 1 : null),
      description: (node) => node.description,
      owner: (node) => node.owner,
    }
    const value = of[sortKey] as (node: NodeRecord) => string | number | null
    const sorted = mine
      .map((node, place) => ({ node, place, value: value(node) }))
      .sort((a, b) => compare(a.value, b.value) || a.place - b.place)
      .map(({ node }) => node.uuid)
    for (const descending of [false, true])
      for (const limit of [1, 2, 4, 100]) {
        const page = (marker?: string): Page => ({ limit, sortKey, descending, ...(marker ? { marker } : {}) })
        const seen: string[] = []
        for (let got = limit; got === limit;) {
          const rows = await bench.store.nodes({ chassisUuid: `chassis of ${sortKey}` }, page(seen.at(-1)))
          seen.push(...uuids(rows))
          got = rows.length
        }
        expect(seen).toEqual(descending ? sorted.toReversed() : sorted)
      }
  })

  test('filters of nodes, alone and together; a marker beyond them, and an unknown sort key, are refused', async () => {
    const common = { conductorGroup: `g${next()}` }
    const parent = await bench.added({ ...common, owner: 'red', description: 'the first one' })
    const child = await bench.added({ ...common, parentNode: parent.uuid, lessee: 'red' })
    const busy = await bench.added({ ...common, provisionState: 'active', instanceUuid: uuid(next()), shard: 's1' })
    const old = await bench.added({
      ...common,
      retired: true,
      maintenance: true,
      fault: 'power failure',
      owner: 'blue',
    })
    const found = async (filter: object) => uuids(await bench.store.nodes({ ...common, ...filter }, PAGE))
    expect(await found({})).toEqual(uuids([parent, busy, old]))
    expect(await found({ includeChildren: true })).toEqual(uuids([parent, child, busy, old]))
    expect(await found({ parentNode: parent.uuid })).toEqual([child.uuid])
    expect(await found({ project: 'red', includeChildren: true })).toEqual(uuids([parent, child]))
    expect(await found({ associated: true })).toEqual([busy.uuid])
    expect(await found({ associated: false, maintenance: false })).toEqual([parent.uuid])
    expect(await found({ provisionState: 'active', driver: 'ipmi', shard: ['s0', 's1'] })).toEqual([busy.uuid])
    expect(await found({ sharded: false, retired: false })).toEqual([parent.uuid])
    expect(await found({ retired: true, fault: 'power failure' })).toEqual([old.uuid])
    expect(await found({ descriptionContains: 'first' })).toEqual([parent.uuid])
    expect(await bench.store.shards()).toContainEqual({ name: 's1', count: 1 })

    const beyond = bench.store.nodes({ ...common, project: 'red' }, { ...PAGE, marker: old.uuid })
    await expect(beyond).rejects.toMatchObject({ code: 'object.missing' })
    await expect(bench.store.nodes({}, { ...PAGE, sortKey: 'driver_info' })).rejects.toMatchObject({
      code: 'input.invalid',
    })
  })

  test('nodes are counted by what they are, after each change', async () => {
    const count = async () =>
      (await bench.store.nodeCounts()).find(
        (one) => one.provisionState === 'adopting' && one.powerState === 'power on' && one.maintenance,
      )?.count ?? 0
    const node = await bench.added({ provisionState: 'adopting', powerState: 'power on' })
    expect(await count()).toBe(0)
    await bench.store.putNode({ ...node, maintenance: true })
    expect(await count()).toBe(1)
    await bench.store.removeNode(node.uuid)
    expect(await count()).toBe(0)
  })

  /** Without the group of a node, which stores that conductors share add. */
  const dueAt = async (...asked: Parameters<typeof bench.store.dueNodes>) =>
    (await bench.store.dueNodes(...asked)).map(({ uuid, dueAtMs }) => ({ uuid, dueAtMs }))

  test('a deadline with a fraction of a millisecond is saved, and due when it is over', async () => {
    const node = await bench.added()
    const workflow = { ...node.workflow, deadlineMs: 100.25 }
    expect((await bench.store.putNode({ ...node, workflow })).workflow.deadlineMs).toBe(100.25)
    expect(await dueAt(100, { limit: 10 })).toEqual([])
    expect(await dueAt(101, { limit: 10 })).toEqual([{ uuid: node.uuid, dueAtMs: 101 }])
    await bench.store.removeNode(node.uuid)
  })

  test('what is due is found by its time, page by page, and no more once it was handled', async () => {
    const due = (deadlineMs: number | null) => bench.added().then((node) => bench.store.putNode(at(node, deadlineMs)))
    const at = (node: NodeRecord, deadlineMs: number | null) => ({
      ...node,
      workflow: { ...node.workflow, deadlineMs },
    })
    const [b, a, later] = [await due(2_000), await due(1_000), await due(9_000)]
    await due(null)
    expect(await dueAt(5_000, { limit: 10 })).toEqual([
      { uuid: a.uuid, dueAtMs: 1_000 },
      { uuid: b.uuid, dueAtMs: 2_000 },
    ])
    const [first] = await dueAt(5_000, { limit: 1 })
    expect(await dueAt(5_000, { limit: 1, after: first })).toEqual([{ uuid: b.uuid, dueAtMs: 2_000 }])
    await bench.store.putNode(at(a, null))
    await bench.store.putNode(at(b, null))
    expect(await dueAt(5_000, { limit: 10 })).toEqual([])
    await bench.store.removeNode(later.uuid)
  })
}

/** Nothing before numbers before texts by their bytes. */
function compare(a: string | number | null, b: string | number | null): number {
  if (a === null || b === null) return Number(a !== null) - Number(b !== null)
  if (typeof a === 'number' && typeof b === 'number') return a - b
  return Buffer.compare(Buffer.from(String(a)), Buffer.from(String(b)))
}
