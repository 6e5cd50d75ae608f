/** The copy of the store that is told what changed is the one that looks at everything, and takes no notice of what did
 *  not change. */
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { Records } from '../../host-agent/cluster/records.ts'
import { ClusterState } from '../../host-agent/cluster/state.ts'
import { StoreReader } from '../../host-agent/cluster/store-reader.ts'
import type { Change, Entry } from '../../host-agent/cluster/store.ts'
import type { Member } from '../../host-agent/protocol/heartbeat.ts'
import { ObserverTable } from '../../host-agent/protocol/observer-table.ts'
import { observersOf, targetsOf } from '../../host-agent/protocol/observers.ts'
import { FIRST_POLICY, KEYS, parseMember } from '../../host-agent/protocol/records.ts'
import { memberRecord } from '../mesh/member-record.ts'

const hold = (why: string) => ({ kind: 'maintenance', why, by: 'x', seconds: null })
const valueOf = (key: string, n: number): unknown => {
  if (n % 7 === 6) return 'no record'
  if (key === KEYS.policy) return { ...FIRST_POLICY, armed: n % 2 === 0, why: `w${n}` }
  if (key.startsWith(KEYS.holds)) return hold(`w${n}`)
  if (key.startsWith(KEYS.bmcs)) return { sealed: { a1: `s${n}` }, updating: { id: `u${n % 2}`, why: 'x', seconds: 9 } }
  return memberRecord(key.slice(KEYS.members.length), { rack: `r${n % 2}`, node: `n${n}` })
}
const KEY_LIST = [
  KEYS.policy,
  ...['h1', 'h2', 'h3', 'a1'].flatMap((name) => [KEYS.members, KEYS.holds, KEYS.bmcs].map((prefix) => prefix + name)),
  'rackward/other',
]

/** Consul: entries by key, one index. */
class Store {
  readonly entries = new Map<string, Entry>()
  index = 1

  write(key: string, value: unknown): number {
    this.index += 1
    if (value === undefined) this.entries.delete(key)
    else this.entries.set(key, { key, value, index: this.index })
    return this.index
  }

  restore(entries: readonly [string, Entry][]): void {
    this.entries.clear()
    for (const [key, entry] of entries) this.entries.set(key, entry)
    this.index = Math.max(1, ...entries.map(([, { index }]) => index))
  }

  read = async (known: ReadonlyMap<string, Entry>) => ({
    entries: [...this.entries.values()].map((entry) => {
      const held = known.get(entry.key)
      return held?.index === entry.index ? held : { ...entry }
    }),
    index: this.index,
  })
}

const stateOf = (cluster: ClusterState) => ({
  policy: cluster.policy,
  maps: [cluster.members, cluster.holds, cluster.bmcs].map((map) =>
    [...map].sort(([one], [other]) => (one < other ? -1 : 1)),
  ),
  broken: [...cluster.broken].sort(),
  all: cluster.all,
  hosts: cluster.hosts,
  arbiters: cluster.arbiters,
  observers: [...cluster.observers].sort(([one], [other]) => (one < other ? -1 : 1)),
})

const contentOf = (cluster: ClusterState) =>
  [cluster.members, cluster.holds, cluster.bmcs, new Map([['', cluster.policy]])].map((map) =>
    [...map.values()].map(({ key, value, index }) => ({ key, value, index })).sort((a, b) => (a.key < b.key ? -1 : 1)),
  )

/** What somebody who starts now knows. */
function afresh(store: Store): ClusterState {
  const cluster = new ClusterState()
  cluster.takeSnapshot({ entries: [...store.entries.values()], index: store.index }, 0)
  return cluster
}

const step = fc.record({
  do: fc.constantFrom('others', 'others', 'others', 'own', 'answer', 'look', 'look', 'lost look', 'backup', 'restore'),
  key: fc.constantFrom(...KEY_LIST),
  n: fc.nat(20),
  gone: fc.boolean(),
})

test('whatever is written by whom, and whichever look is lost, it holds what the whole store says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 60 }), async (steps) => {
      const [store, reader, told, looking] = [new Store(), new StoreReader(), new ClusterState(), new ClusterState()]
      const members = new Records(KEYS.members, parseMember)
      let nowMs = 0
      let [answers, backup]: [{ change: Change; index: number }[], [string, Entry][]] = [[], []]
      const answer = () => {
        for (const { change, index } of answers)
          for (const cluster of [told, looking]) cluster.takeOwnWrite([change], index, nowMs)
        answers = []
      }
      const look = async () => {
        const snapshot = await reader.next(store.read)
        told.takeSnapshot(snapshot, nowMs)
        looking.takeSnapshot({ entries: snapshot.entries, index: snapshot.index }, nowMs)
        members.take(snapshot)
        expect(stateOf(told)).toEqual(stateOf(looking))
        expect(contentOf(told)).toEqual(contentOf(afresh(store)))
      }
      for (const { do: what, key, n, gone } of steps) {
        nowMs += 10
        const value = gone ? undefined : valueOf(key, n)
        if (what === 'others') store.write(key, value)
        else if (what === 'own') {
          const change: Change = { key, value, index: store.entries.get(key)?.index ?? 0 }
          const index = store.write(key, value)
          // Consul names no index for what is deleted.
          answers.push({ change, index: gone ? 0 : index })
        } else if (what === 'answer') answer()
        else if (what === 'look') await look()
        else if (what === 'lost look') await reader.next(store.read)
        else if (what === 'backup') backup = [...store.entries]
        else {
          // Another cluster, which counts anew: what has the same index need not be the same.
          store.restore(backup)
          reader.forget()
          answers = []
          for (const cluster of [told, looking]) cluster.trustNextSnapshot()
          await look()
        }
      }
      answer()
      await look()
      expect([...members.byName.values()].map(({ name }) => name).sort()).toEqual([...told.members.keys()].sort())
    }),
    { numRuns: 200 },
  )
})

describe('an own write', () => {
  const key = `${KEYS.holds}h1`
  async function bench() {
    const [store, reader, cluster] = [new Store(), new StoreReader(), new ClusterState()]
    const look = async () => cluster.takeSnapshot(await reader.next(store.read), 0)
    store.write(key, hold('first'))
    await look()
    return { store, cluster, look, held: store.entries.get(key)?.index ?? 0 }
  }

  test('whose answer comes after a look that shows it is still there after the next', async () => {
    const { store, cluster, look, held } = await bench()
    const index = store.write(key, hold('ours'))
    await look()
    cluster.takeOwnWrite([{ key, value: hold('ours'), index: held }], index, 0)
    store.write(KEYS.policy, FIRST_POLICY)
    await look()
    expect(cluster.holds.get('h1')?.value.why).toBe('ours')
  })

  test('that others replaced before its answer came does not come back', async () => {
    const { store, cluster, look, held } = await bench()
    const index = store.write(key, hold('ours'))
    store.write(key, undefined)
    await look()
    cluster.takeOwnWrite([{ key, value: hold('ours'), index: held }], index, 0)
    expect(cluster.holds.size).toBe(0)
  })

  test('that deletes an entry does not delete the one that others made of it since', async () => {
    const { store, cluster, look, held } = await bench()
    store.write(key, undefined)
    store.write(key, hold('theirs'))
    await look()
    cluster.takeOwnWrite([{ key, value: undefined, index: held }], 0, 0)
    expect(cluster.holds.get('h1')?.value.why).toBe('theirs')
    store.write(KEYS.policy, FIRST_POLICY)
    await look()
    expect(cluster.holds.get('h1')?.value.why).toBe('theirs')
  })
})

test('a member record below the key of another member is no record', async () => {
  const [store, reader, cluster, members] = [
    new Store(),
    new StoreReader(),
    new ClusterState(),
    new Records(KEYS.members, parseMember),
  ]
  store.write(`${KEYS.members}h2`, memberRecord('h2'))
  store.write(`${KEYS.members}h1`, memberRecord('h2', { rack: 'of h1' }))
  const snapshot = await reader.next(store.read)
  cluster.takeSnapshot(snapshot, 0)
  members.take(snapshot)
  expect([...members.byName.keys()]).toEqual(['h2'])
  expect(cluster.hosts.map(({ name }) => name)).toEqual(['h2'])
  expect([...cluster.broken]).toEqual([`${KEYS.members}h1`])
})

describe('in a mesh of 500 hosts', () => {
  const HOSTS = 500
  async function bench() {
    const store = new Store()
    for (let n = 0; n < HOSTS; n += 1) {
      store.write(`${KEYS.members}h${n}`, memberRecord(`h${n}`, { rack: `r${n % 25}` }))
      store.write(`${KEYS.bmcs}h${n}`, { sealed: { a1: 'x' } })
    }
    const [reader, cluster] = [new StoreReader(), new ClusterState()]
    const members = new Records(KEYS.members, parseMember)
    let read = 0
    const take = async () => {
      const snapshot = await reader.next(store.read)
      // Counts whoever looks through all entries.
      const entries = new Proxy(snapshot.entries as Entry[], {
        get: (list, name) => ((read += 1), Reflect.get(list, name) as unknown),
      })
      const isOther = members.take({ ...snapshot, entries })
      cluster.takeSnapshot({ ...snapshot, entries }, 0)
      const times = read
      read = 0
      return { isOther, times, changed: snapshot.since?.changed.map(({ key }) => key) }
    }
    await take()
    return { store, cluster, members, take }
  }

  test('one record that changed is one that is looked at, and the other members stay the same objects', async () => {
    const { store, cluster, take } = await bench()
    const before = new Map(cluster.all.map((member) => [member.name, member]))
    store.write(`${KEYS.bmcs}h7`, { sealed: { a1: 'y' } })
    expect(await take()).toEqual({ isOther: false, times: 0, changed: [`${KEYS.bmcs}h7`] })
    expect(cluster.bmcs.get('h7')?.value.sealed).toEqual({ a1: 'y' })

    const boot = { id: 'b2', watchdogMs: null, leaving: false }
    store.write(`${KEYS.members}h9`, memberRecord('h9', { rack: 'r9', boot }))
    expect(await take()).toEqual({ isOther: true, times: 0, changed: [`${KEYS.members}h9`] })
    expect(cluster.memberOf('h9')?.boot).toEqual(boot)
    const other = cluster.all.filter((member) => before.get(member.name) !== member).map(({ name }) => name)
    expect(other).toEqual(['h9'])
  })

  test('a host that comes or goes changes whom a few others are observed by, and nobody else', async () => {
    const { store, cluster, take } = await bench()
    const lists = () => new Map(cluster.observers)
    const changedSince = (before: ReadonlyMap<string, readonly string[]>) =>
      [...cluster.observers].filter(([name, list]) => before.get(name) !== list).length
    const before = lists()
    store.write(`${KEYS.members}new`, memberRecord('new', { rack: 'r3' }))
    await take()
    expect(changedSince(before)).toBeGreaterThan(1)
    expect(changedSince(before)).toBeLessThan(40)
    const after = lists()
    store.write(`${KEYS.members}new`, undefined)
    await take()
    expect(changedSince(after)).toBeLessThan(40)
    expect([...cluster.observers].sort()).toEqual([...before].sort())
  })
})

test('the table of observers is what each of them computes, whoever comes, goes, moves or changes its role', () => {
  const change = fc.record({ name: fc.nat(39), rack: fc.option(fc.nat(3)), arbiter: fc.boolean(), gone: fc.boolean() })
  fc.assert(
    fc.property(fc.nat(40), fc.array(change, { maxLength: 40 }), (first, changes) => {
      const members = new Map<string, Member>()
      const put = (n: number, rack: number | null, role: 'host' | 'arbiter') =>
        members.set(`m${n}`, { name: `m${n}`, role, rack: rack === null ? null : `r${rack}` } as Member)
      for (let n = 0; n < first; n += 1) put(n, n % 4, 'host')
      const table = new ObserverTable()
      const check = () => {
        const all = [...members.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
        const before = new Map(table.observers)
        const isOther = table.update(all)
        const wanted = new Map(all.map((member) => [member.name, observersOf(member, all)]))
        expect(Object.fromEntries(table.observers)).toEqual(Object.fromEntries(wanted))
        expect(isOther).toBe(JSON.stringify([...before].sort()) !== JSON.stringify([...wanted].sort()))
        const [one] = all
        if (one) expect(table.targetsOf(one.name).sort()).toEqual(targetsOf(one.name, all).sort())
      }
      check()
      for (const { name, rack, arbiter, gone } of changes) {
        if (gone) members.delete(`m${name}`)
        else put(name, rack, arbiter && name % 5 === 0 ? 'arbiter' : 'host')
        check()
      }
    }),
    { numRuns: 100 },
  )
})
