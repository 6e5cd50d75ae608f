/** The machine of a session with a BMC: what is lost is sent again, what is doubled or late changes nothing, and each
 *  refusal of a BMC has its own name. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SessionMove } from '../../../conductor/bmc/rmcp/move.ts'
import { message, readDatagram, sessionless } from '../../../conductor/bmc/rmcp/packet.ts'
import { SequenceWindow } from '../../../conductor/bmc/rmcp/sequence-window.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { failure, machine, OFF, Passage, STATUS, WAITS_MS, type Way } from './peer.ts'

/** Opens, does both, closes. */
function life(bmc: RmcpBmc, way: Way = {}, who: Parameters<typeof machine>[0] = {}) {
  const session = machine(who)
  const passage = new Passage(session, bmc, way)
  const moves: SessionMove[] = []
  const then = (move: SessionMove) => (moves.push(move), move.do)
  if (then(passage.follow(session.open())) !== 'ready') return { moves, passage, session }
  if (then(passage.follow(session.request(STATUS))) !== 'answer') return { moves, passage, session }
  if (then(passage.follow(session.request(OFF))) === 'answer') then(passage.follow(session.close()))
  return { moves, passage, session }
}
const WHOLE = ['ready', 'answer', 'answer', 'closed']
const doings = (moves: readonly SessionMove[]) => moves.map((move) => move.do)

describe.each([3, 17])('cipher suite %i', (suite) => {
  test('opens, asks, closes: eight datagrams, of which one changes something; the BMC keeps no session', () => {
    const bmc = new RmcpBmc()
    bmc.power = 'on'
    const { moves, passage, session } = life(bmc, {}, { suite })
    expect(doings(moves)).toEqual(WHOLE)
    expect(moves[1]).toMatchObject({ code: 0, data: Buffer.from([1, 0, 0]) })
    expect(passage.sent.map(({ isChange }) => isChange)).toEqual([...Array<boolean>(6).fill(false), true, false])
    expect([bmc.power, bmc.sessions.size, session.isOpen]).toEqual(['off', 0, false])
  })

  test('each datagram may be lost, there or back: it is sent again, and what it asks is done once', () => {
    for (const side of ['there', 'back'] as const)
      for (let lost = 1; lost <= 7; lost += 1) {
        const bmc = new RmcpBmc()
        const { moves, passage } = life(
          bmc,
          { [side]: (bytes: Buffer, n: number) => (n === lost ? [] : [bytes]) },
          { suite },
        )
        expect([side, lost, ...doings(moves)]).toEqual([side, lost, ...WHOLE])
        expect(passage.waitedMs).toBe(WAITS_MS[0])
        expect(bmc.commands().filter((text) => text === '0 2 0')).toHaveLength(1)
      }
  })

  test('each datagram may come twice, and again after the next one', () => {
    const late: Buffer[] = []
    const double = (bytes: Buffer) => [...late.splice(0), bytes, (late.push(bytes), bytes)]
    const bmc = new RmcpBmc()
    expect(doings(life(bmc, { back: double }, { suite }).moves)).toEqual(WHOLE)
    expect(doings(life(new RmcpBmc(), { there: double }, { suite }).moves)).toEqual(WHOLE)
  })

  test('has the K_g of the BMC, where there is one', () => {
    const kg = Buffer.alloc(20, 7)
    expect(doings(life(new RmcpBmc({ kg }), {}, { suite, kg }).moves)).toEqual(WHOLE)
    const [without] = life(new RmcpBmc({ kg }), {}, { suite }).moves
    expect(failure(without as SessionMove)).toMatchObject({
      kind: 'password',
      words: expect.stringContaining('K_g') as string,
    })
  })
})

describe('a BMC that refuses', () => {
  const first = (bmc: RmcpBmc, who: Parameters<typeof machine>[0] = {}) => life(bmc, {}, who)

  test('a suite that it does not know is told apart, so that another can be tried', () => {
    const { moves } = first(new RmcpBmc({ suites: [3] }), { suite: 17 })
    expect(failure(moves[0] as SessionMove)).toMatchObject({ kind: 'suite' })
  })

  test('a wrong password is found with RAKP 2, and the BMC is told to forget the session', () => {
    const bmc = new RmcpBmc()
    const move = first(bmc, { password: 'wrong' }).moves[0] as SessionMove & { do: 'fail' }
    expect(move.failure.kind).toBe('password')
    expect(bmc.sessions.size).toBe(1)
    bmc.respond(move.last ?? Buffer.alloc(0))
    expect(bmc.sessions.size).toBe(0)
  })

  test('a user that it does not know', () =>
    expect(failure(first(new RmcpBmc(), { username: 'nobody' }).moves[0] as SessionMove)).toEqual({
      kind: 'password',
      words: 'unauthorized name',
    }))

  test('a privilege level that the user has not: the session is still closed', () => {
    const bmc = new RmcpBmc({ privilege: 3 })
    const { moves, session, passage } = first(bmc)
    expect(failure(moves[0] as SessionMove)).toMatchObject({
      kind: 'refused',
      words: expect.stringContaining('privilege') as string,
    })
    expect(session.isOpen).toBe(true)
    expect(passage.follow(session.close())).toEqual({ do: 'closed' })
    expect(bmc.sessions.size).toBe(0)
  })

  test('a full table of sessions: it is tried again a moment later, and then given up', () => {
    const bmc = new RmcpBmc({ sessions: 1 })
    const session = machine()
    new Passage(session, bmc).follow(session.open())
    const other = first(bmc)
    expect(failure(other.moves[0] as SessionMove)).toMatchObject({ kind: 'sessions' })
    expect(other.passage.waitedMs).toBe(1_000)
    const third = machine()
    const passage = new Passage(third, bmc, { there: (bytes, n) => (n === 3 && bmc.sessions.clear(), [bytes]) })
    expect(passage.follow(third.open())).toEqual({ do: 'ready' })
  })

  test('one that forgot the session while it was opened is asked for a new one', () => {
    const bmc = new RmcpBmc()
    const session = machine()
    const passage = new Passage(session, bmc, { there: (bytes, n) => (n === 4 && bmc.sessions.clear(), [bytes]) })
    expect(passage.follow(session.open())).toEqual({ do: 'ready' })
    expect(passage.waitedMs).toBe(0)
  })

  test('one without IPMI 2.0, and one that does not know the bit that asks for it', () => {
    const old = machine()
    old.open()
    const says = (data: number[]) =>
      sessionless(message({ netFn: 7, command: 0x38, sequence: 0, data: Buffer.from(data) }))
    expect(failure(old.received(says([0, 1, 0x04, 4, 0])) as SessionMove)).toMatchObject({ kind: 'refused' })
    const shy = machine()
    shy.open()
    const again = shy.received(says([0xcc])) as SessionMove & { do: 'send' }
    expect(readDatagram(again.bytes, 0)?.payload.subarray(6, 8)).toEqual(Buffer.from([0x0e, 4]))
    expect(shy.received(says([0, 1, 0x04, 4, 0]))).toMatchObject({ do: 'send' })
  })

  test('a busy one is asked again, with a request of its own; one that stays busy says so', () => {
    const bmc = new RmcpBmc()
    let busy = 2
    bmc.refuses = ({ command, netFn }) => (netFn === 0 && command === 2 && busy-- > 0 ? 0xc0 : undefined)
    const { moves, passage } = life(bmc)
    expect(moves[2]).toMatchObject({ do: 'answer', code: 0 })
    expect(passage.waitedMs).toBe(600)
    busy = 99
    expect(life(bmc).moves[2]).toMatchObject({ do: 'answer', code: 0xc0 })
  })

  test('one that is silent: so many tries, and no more', () => {
    const { moves, passage } = life(new RmcpBmc(), { back: () => [] })
    expect(failure(moves[0] as SessionMove)).toMatchObject({ kind: 'silent' })
    expect([passage.sent.length, passage.waitedMs]).toEqual([3, 6_000])
    const { moves: later, session } = life(new RmcpBmc(), { back: (bytes, n) => (n > 5 ? [] : [bytes]) })
    expect(failure(later[1] as SessionMove)).toMatchObject({
      kind: 'silent',
      words: expect.stringContaining('the session is silent') as string,
    })
    expect(session.isOpen).toBe(false)
  })
})

test('a session that is tried again has a new number each time, and the request the old one', () => {
  const session = machine()
  const bmc = new RmcpBmc()
  new Passage(session, bmc).follow(session.open())
  const tries = [session.request(OFF), session.timedOut(), session.timedOut()] as (SessionMove & { do: 'send' })[]
  const numbers = tries.map(({ bytes }) => bytes.readUInt32LE(10))
  expect(numbers).toEqual([2, 3, 4])
  for (const { bytes } of tries) bmc.respond(bytes)
  expect(bmc.commands().filter((text) => text === '0 2 0')).toHaveLength(1)
  expect(tries.every(({ isChange }) => isChange)).toBe(true)
  expect(session.timedOut()).toMatchObject({ do: 'fail' })
})

test('sequence numbers are taken once each, in any order within 32, also across the end of 32 bits', () => {
  const window = new SequenceWindow()
  expect([5, 4, 6, 5, 0, 40, 8, 9, 9, 4].map((n) => window.take(n))).toEqual([
    true,
    true,
    true,
    false,
    false,
    true,
    false,
    true,
    false,
    false,
  ])
  const wrap = new SequenceWindow()
  expect([0xffffffff, 1, 0xfffffffe, 0xffffffff, 2].map((n) => wrap.take(n))).toEqual([true, true, true, false, true])
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 1, max: 60 })), (numbers) => {
      const one = new SequenceWindow()
      const taken = numbers.filter((n) => one.take(n))
      return new Set(taken).size === taken.length
    }),
  )
})
