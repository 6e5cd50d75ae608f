/** The judgement whether a database is older than what a boot room was told, over histories of a database that is
 *  restored at any moment. */
import * as fc from 'fast-check'
import { expect, test } from 'vitest'
import type { StoreMark } from '../../../conductor/boot/rooms/version.ts'
import type { HeldClient } from '../../../conductor/boot/rooms/wire.ts'
import { isAhead, isNewer, suspects, type RecordedClient } from '../../../conductor/doubt/judge.ts'
import {
  FIRST,
  MAX_NAMED,
  MAX_NAMED_OF_ALL,
  newerNodes,
  withAcceptance,
  withClaim,
  withoutRoom,
  type Claim,
  type TrustBody,
} from '../../../conductor/doubt/standing.ts'
import { macOf, uuidOf } from './room-rack.ts'

interface Record {
  readonly node: number
  readonly port: number
  readonly madeAtMs: number
}

/** The database: records of nodes with one port each, and how many events there were. */
interface Database {
  readonly seq: number
  readonly epoch: number
  readonly records: ReadonlyMap<number, Record>
}

/** What a room was told last, whenever that was. */
interface Knowledge {
  readonly mark: StoreMark
  readonly held: ReadonlyMap<number, HeldClient>
}

type Change = { readonly do: 'node' | 'port' | 'anew' | 'remove'; readonly n: number }

const NODES = 4
const changes = fc.array(
  fc.record({ do: fc.constantFrom<Change['do']>('node', 'port', 'anew', 'remove'), n: fc.nat(NODES - 1) }),
  { maxLength: 30 },
)
const EMPTY: Database = { seq: 0, epoch: 1, records: new Map() }

function changed({ seq, epoch, records }: Database, { do: what, n }: Change): Database {
  const now = new Map(records)
  const { node = 0, port = 0, madeAtMs = seq } = records.get(n) ?? {}
  if (what === 'remove') now.delete(n)
  // Under the same MAC address and UUID, counted from the beginning.
  else if (what === 'anew') now.set(n, { node: 0, port: 0, madeAtMs: seq + 1 })
  else now.set(n, { node: node + Number(what === 'node'), port: port + Number(what === 'port'), madeAtMs })
  return { seq: seq + 1, epoch, records: now }
}

const run = (from: Database, list: readonly Change[]): Database => list.reduce(changed, from)

const told = ({ seq, epoch, records }: Database): Knowledge => ({
  mark: { epoch, seq },
  held: new Map(
    [...records].map(([n, { node, port, madeAtMs }]) => [
      n,
      { mac: macOf(n), nodeUuid: uuidOf(n), version: [epoch, madeAtMs, port, node] as const },
    ]),
  ),
})

const recorded = ({ records }: Database, n: number): RecordedClient => {
  const found = records.get(n)
  return {
    port: found && { nodeUuid: uuidOf(n), addressedAtMs: found.madeAtMs, version: found.port },
    node: found && { version: found.node },
  }
}

function newer(room: Knowledge, database: Database): number[] {
  const at = { epoch: database.epoch, ahead: isAhead(room.mark, database) }
  return [...room.held].flatMap(([n, held]) => (isNewer(held, recorded(database, n), at) ? [n] : []))
}
const doubts = (room: Knowledge, database: Database) => isAhead(room.mark, database) || newer(room, database).length > 0

test('a database that went on from where the room was told is never doubted', () => {
  fc.assert(
    fc.property(changes, changes, (before, after) => {
      const then = run(EMPTY, before)
      expect(doubts(told(then), run(then, after))).toBe(false)
    }),
  )
})

test('one that was set back is doubted at once, and lists the nodes that changed since, and no others', () => {
  fc.assert(
    fc.property(changes, changes, (before, lost) => {
      const backup = run(EMPTY, before)
      const room = told(run(backup, lost))
      expect(doubts(room, backup)).toBe(lost.length > 0)
      const touched = new Set(lost.map(({ n }) => n))
      const wrong = newer(room, backup)
      for (const n of wrong) expect(touched).toContain(n)
      for (const [n, held] of room.held)
        if (touched.has(n) && JSON.stringify(held) !== JSON.stringify(told(backup).held.get(n)))
          expect(wrong).toContain(n)
    }),
  )
})

test('a node that the restored database has not caught up with is found, however many events there were since', () => {
  fc.assert(
    fc.property(changes, fc.nat(NODES - 1), fc.integer({ min: 1, max: 9 }), changes, (before, n, times, others) => {
      const backup = run(
        run(EMPTY, [{ do: 'node', n }]),
        before.filter((one) => one.do !== 'remove'),
      )
      const lost = Array.from({ length: times }, () => ({ do: 'node', n }) as const)
      const room = told(run(backup, lost))
      const later = run(
        backup,
        [...others, ...others, ...others].filter((one) => one.n !== n),
      )
      expect(newer(room, later)).toContain(n)
    }),
  )
})

test('what was accepted is doubted no more, neither by those who were ahead nor by those who were not there', () => {
  fc.assert(
    fc.property(changes, changes, changes, (before, lost, after) => {
      const backup = run(EMPTY, before)
      const room = told(run(backup, lost))
      const claim: Claim = {
        room: 'r1',
        who: 'room',
        ...room.mark,
        lastSeq: backup.seq,
        atMs: 1,
        by: 'c1',
        count: 0,
        nodes: [],
      }
      const { epoch, claims } = withAcceptance(withClaim(FIRST, claim), { by: 'admin', atMs: 2 })
      expect([epoch, claims]).toEqual([2, []])
      expect(doubts(room, run({ ...backup, epoch }, after))).toBe(false)
    }),
  )
})

test('a backup from before an acceptance is doubted, and its own acceptance comes after that one', () => {
  fc.assert(
    fc.property(changes, changes, fc.integer({ min: 2, max: 1_000_000 }), (before, after, epoch) => {
      const backup = run(EMPTY, before)
      const room = told(run({ ...backup, epoch }, after))
      expect(doubts(room, backup)).toBe(true)
      const claim: Claim = { room: 'r1', who: 'room', ...room.mark, lastSeq: 0, atMs: 1, by: 'c1', count: 0, nodes: [] }
      expect(withAcceptance(withClaim(FIRST, claim), { by: 'admin', atMs: 2 }).epoch).toBe(epoch + 1)
    }),
  )
})

test('whom the conductor knows to be as new is not looked up', () => {
  fc.assert(
    fc.property(changes, changes, (before, after) => {
      const then = run(EMPTY, before)
      const now = run(then, after)
      const all = told(now).held
      const known = (mac: string) => [...all.values()].find((one) => one.mac === mac)
      const held = [...told(then).held.values()]
      // Who is gone is looked up: another conductor may know better.
      const looked = suspects(held, known, { epoch: 1, ahead: false })
      expect(looked).toEqual(held.filter(({ mac }) => known(mac) === undefined))
      // A conductor that knows nothing looks everybody up, but for what was given up.
      expect(suspects(held, () => undefined, { epoch: 1, ahead: false })).toEqual(held)
      expect(suspects(held, () => undefined, { epoch: 2, ahead: false })).toEqual([])
    }),
  )
})

test('claims name so many nodes together, and each counts its own', () => {
  const nodes = Array.from({ length: MAX_NAMED }, (_, n) => ({
    uuid: uuidOf(n),
    mac: macOf(n % 200),
    held: 9,
    recorded: 3,
  }))
  const claim = (room: string): Claim => ({
    room,
    who: 'room',
    epoch: 1,
    seq: 9,
    lastSeq: 5,
    atMs: 1,
    by: 'c1',
    count: nodes.length,
    nodes,
  })
  const names = Array.from({ length: 8 }, (_, n) => `r${n}`)
  const { claims } = [...names, ...names].reduce<TrustBody>((body, room) => withClaim(body, claim(room)), FIRST)
  expect(claims.reduce((sum, one) => sum + one.nodes.length, 0)).toBe(MAX_NAMED_OF_ALL)
  expect(claims.map(({ count }) => count)).toEqual(names.map(() => nodes.length))
})

test('a room that is removed takes its claim along; of two rooms the nodes of both are listed, the newest word of each', () => {
  const claim = (room: string, held: number, uuid: string): Claim => ({
    room,
    who: 'room',
    epoch: 1,
    seq: 9,
    lastSeq: 5,
    atMs: 1,
    by: 'c1',
    count: 1,
    nodes: [{ uuid, mac: macOf(1), held, recorded: 3 }],
  })
  const both = withClaim(withClaim(withClaim(FIRST, claim('r1', 5, 'n1')), claim('r2', 7, 'n1')), claim('r1', 6, 'n2'))
  expect(newerNodes(both).map(({ uuid, held, rooms }) => [uuid, held, rooms])).toEqual([
    ['n1', 7, ['r2']],
    ['n2', 6, ['r1']],
  ])
  const shared = withClaim(both, claim('r1', 5, 'n1'))
  expect(newerNodes(shared)[0]).toMatchObject({ uuid: 'n1', held: 7, rooms: ['r2', 'r1'] })
  expect(withoutRoom(shared, 'r2').claims.map(({ room }) => room)).toEqual(['r1'])
  expect(withoutRoom(withoutRoom(shared, 'r2'), 'r1').claims).toEqual([])
})
