/** What every store keeps to: events, and what is made of them. */
import { expect, test } from 'vitest'
import { runAudited, type AuditContext } from '../../../conductor/store/audit.ts'
import { kinds, type Bench } from './bench.ts'

export function journalConformance(bench: Bench): void {
  test('events have rising numbers without a double, whoever writes at once; a watcher hears of the last', async () => {
    const { journal } = bench.store
    const from = await journal.lastSeq()
    const heard: number[] = []
    const stop = journal.watch((upToSeq) => heard.push(upToSeq))
    await Promise.all(
      Array.from({ length: 40 }, (_, n) =>
        n % 2 === 0
          ? journal.add({ atMs: n, nodeUuid: null, kind: 'many', detail: { n } })
          : journal.addAll([0, 1].map((k) => ({ atMs: n, nodeUuid: null, kind: 'many', detail: { n, k } }))),
      ),
    )
    const upTo = await journal.lastSeq()
    const all = await journal.after(from, { kinds: ['many'] }, 1_000)
    expect(all).toHaveLength(60)
    expect(all.every((event, i) => event.seq > (all[i - 1]?.seq ?? from))).toBe(true)
    expect(heard.at(-1)).toBe(upTo)
    stop()

    const some = await journal.scan(from, { kinds: ['many'] }, 25)
    expect([some.events.length, some.end, some.upToSeq]).toEqual([25, false, all[24]?.seq])
    const rest = await journal.scan(some.upToSeq, { kinds: ['many'] }, 1_000)
    expect([rest.events.length, rest.end, rest.upToSeq]).toEqual([35, true, upTo])
    expect(await journal.one(all[3]?.seq as number)).toEqual(all[3])
  })

  test('a project sees events of a node from when it became its own', async () => {
    const { journal } = bench.store
    const node = await bench.added({ owner: 'p1' })
    const event = (kind: string) => ({ atMs: 1, nodeUuid: node.uuid, kind, detail: {} })
    await journal.add(event('first'))
    await bench.store.putNode({ ...node, owner: 'p2' }, [event('second')])
    await journal.add(event('third'))
    const seen = async (project: string) => kinds((await journal.ofNode(node.uuid, 10, { project })).toReversed())
    expect([await seen('p1'), await seen('p2')]).toEqual([[], ['second', 'third']])
    const [newest] = await journal.ofNode(node.uuid, 1)
    expect(
      kinds(await journal.ofNode(node.uuid, 10, { kinds: ['first', 'third'], beforeSeq: newest?.seq as number })),
    ).toEqual(['first'])
    const scanned = await journal.scan(0, { nodeUuid: node.uuid, kinds: ['third'] }, 10_000)
    for (let at = scanned; !at.end && at.events.length === 0;) {
      at = await journal.scan(at.upToSeq, { nodeUuid: node.uuid, kinds: ['third'] }, 10_000)
      scanned.events.push(...at.events)
    }
    expect(scanned.events).toMatchObject([{ owner: 'p2', lessee: null }])
  })

  test('an operator’s request is recorded with its first change, once', async () => {
    const node = await bench.added()
    const by: AuditContext = {
      user: 'eve',
      method: 'PATCH',
      path: '/v1/nodes',
      requestId: 'r1',
      atMs: 7,
      recorded: false,
    }
    await runAudited(by, async () => {
      await expect(bench.store.putNode({ ...node, version: 9 })).rejects.toMatchObject({ code: 'store.moved' })
      const put = await bench.store.putNode(node)
      await bench.store.putNode(put)
    })
    const events = await bench.store.journal.ofNode(node.uuid, 10)
    expect(events.filter(({ kind }) => kind === 'act')).toMatchObject([
      { atMs: 7, detail: { user: 'eve', request_id: 'r1' } },
    ])
  })

  test('durations of a state are kept by model, the newest; old events and too many durations are forgotten', async () => {
    const { journal } = bench.store
    const node = await bench.added()
    const state = (tookMs: number) => ({
      atMs: 1,
      nodeUuid: node.uuid,
      kind: 'state',
      detail: { from: 'deploying', to: 'active', on: 'done', tookMs, model: 'Acme X' },
    })
    for (let n = 1; n <= 8; n += 1) await journal.addAll([state(n)])
    expect(await journal.durations('Acme X', 'deploying')).toEqual([8, 7, 6, 5, 4])
    // What has no number yet is not forgotten.
    await journal.lastSeq()
    while ((await journal.prune(2, 3)) === 3);
    expect(await journal.durations('Acme X', 'deploying')).toEqual([8, 7, 6, 5, 4])
    expect((await journal.ofNode(node.uuid, 100)).filter(({ kind }) => kind === 'state')).toEqual([])
    const from = await journal.lastSeq()
    await journal.add({ atMs: 1, nodeUuid: null, kind: 'after', detail: {} })
    // A number that was given is not given again.
    expect(await journal.lastSeq()).toBeGreaterThan(from)
    // Nor does the last one go back when nothing is left of it.
    const last = await journal.lastSeq()
    while ((await journal.prune(Number.MAX_SAFE_INTEGER, 1_000)) > 0);
    expect(await journal.after(0, {}, 1)).toEqual([])
    expect(await journal.lastSeq()).toBe(last)
  })
}
