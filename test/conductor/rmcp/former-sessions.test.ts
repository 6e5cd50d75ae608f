/** A conductor that stands still between the last look at its lease and the command itself: who has the node next ends
 *  its session first, and what it sends when it wakes up does nothing. With a real BMC's table of sessions. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { runHolding, type BmcSession, type Holding } from '../../../conductor/holding.ts'
import { FormerSessions } from '../../../conductor/store/postgres/former-sessions.ts'
import { systemClock } from '../../../kit/clock.ts'
import { Fault } from '../../../kit/fault.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { nativeClient } from './native-client.ts'

const signal = new AbortController().signal
let bmc: RmcpBmc
beforeEach(async () => {
  bmc = await RmcpBmc.start()
  bmc.power = 'on'
})
afterEach(() => bmc.stop())

/** What two owners of a node would find in the database. */
function database() {
  const kept: BmcSession[] = []
  let isTaken = false
  const drop = (name: string) => void kept.splice(0, kept.length, ...kept.filter((one) => one.name !== name))
  const slot = { group: '', slot: 1, lost: () => undefined }
  const refuse = () => {
    throw new Fault('store.locked', 'another conductor may have this node now')
  }
  /** `frozen`: what happens while the owner stands still, with the word of the database in its hand. */
  const first = (frozen: () => Promise<void>): Holding => ({
    ...slot,
    token: 1,
    still: () => undefined,
    closed: ({ name }) => drop(name),
    check: async (session) => {
      if (isTaken) return refuse()
      if (session) kept.push(session)
      await frozen()
    },
  })
  const next = (): Holding => {
    isTaken = true
    const at = (place: string) => kept.filter((one) => one.place === place).map(({ name }) => name)
    const former = { at, ended: (_: string, name: string) => drop(name), unanswered: () => undefined }
    return { ...slot, token: 2, still: () => undefined, check: async () => undefined, former }
  }
  return { kept, first, next }
}
const isRefused = expect.objectContaining({ code: 'store.locked' }) as Error
const client = () => nativeClient(bmc.address.port)

test('the next owner has read the power: "off" of the former one, sent afterwards, does nothing', async () => {
  const records = database()
  const frozen = () => runHolding(records.next(), async () => expect(await client().power(signal)).toBe('on'))
  await expect(runHolding(records.first(frozen), () => client().setPower('off', signal))).rejects.toThrow(isRefused)
  expect([bmc.power, records.kept]).toEqual(['on', []])
  expect(bmc.commands().filter((text) => text.startsWith('0 2'))).toEqual([])
})

test('sessions that are gone, or that a BMC does not let others end, keep nobody from working', async () => {
  const records = database()
  bmc.refuses = ({ command, data }) => (command === 0x3c && (data[0] as number) === 77 ? 0xd4 : undefined)
  const place = `ipmi:127.0.0.1:${bmc.address.port}`
  for (const name of ['4000000000', '77']) records.kept.push({ place, name, lastsMs: 1 })
  records.kept.push({ place: 'ipmi:192.0.2.1:623', name: '1', lastsMs: 1 })
  await runHolding(records.next(), () => client().setPower('off', signal))
  expect([bmc.power, records.kept.map(({ name }) => name)]).toEqual(['off', ['1']])
})

test('a session that was ended as usual is told to nobody', async () => {
  const records = database()
  let seen = 0
  const frozen = async () => void (seen = records.kept.length)
  await runHolding(records.first(frozen), () => client().setPower('off', signal))
  expect([seen, records.kept, bmc.sessions.size]).toEqual([1, [], 0])
})

/** With what the product keeps of them in memory, and a clock that the test sets. */
async function taken(names: readonly string[], leftMs = 60_000) {
  const place = `ipmi:127.0.0.1:${bmc.address.port}`
  const forgotten: string[] = []
  const monotonic = { ...systemClock, ms: 0, now: () => monotonic.ms }
  const members = {
    formerSessions: async () => names.map((name) => ({ node: 'n', place, name, token: 1, leftMs })),
    forgetSession: async ({ name }: { name: string }) => void forgotten.push(name),
  }
  const former = new FormerSessions(members, monotonic)
  await former.load([])
  const rest = { still: () => undefined, check: async () => undefined, lost: () => undefined }
  const holding: Holding = { group: '', slot: 1, token: 2, ...rest, former: former.of('n') }
  const power = () => runHolding(holding, () => client().power(signal))
  return { power, forgotten, monotonic, at: () => former.of('n').at(place) }
}
const closed = () => bmc.heard.filter(({ command }) => command === 0x3c).map(({ data }) => data[0])

test('a number is not ended when its time is over: the BMC may have given it to somebody else', async () => {
  const { power, monotonic, at } = await taken(['77'], 60_000)
  monotonic.ms = 59_999
  expect(at()).toEqual(['77'])
  monotonic.ms = 60_000
  expect([at(), await power()]).toEqual([[], 'on'])
  expect(closed()).not.toContain(77)
})

test('a number that the BMC gave to us now is not ended', async () => {
  const { power, forgotten } = await taken(['1'])
  expect(await power()).toBe('on')
  expect([forgotten, closed()]).toEqual([['1'], [1]])
})

test('a BMC that never answers to the end of another session keeps nobody from working', async () => {
  const { power, forgotten } = await taken(['77'])
  bmc.answers = (bytes) => (closed().at(-1) === 77 && bmc.heard.at(-1)?.command === 0x3c ? [] : [bytes])
  const tries = [await power().catch(() => 'fails'), await power().catch(() => 'fails'), await power()]
  expect([tries, forgotten]).toEqual([['fails', 'fails', 'on'], ['77']])
}, 60_000)
