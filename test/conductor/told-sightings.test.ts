/** What one conductor saw of a node, merged into what another one saw: the newer boot and the later sighting count. */
import { expect, test } from 'vitest'
import { isSign, SIGNS } from '../../conductor/boot/signs.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { ToldSightings } from '../../conductor/node/run/told-sightings.ts'
import { ownerAlone, type OwnerListener } from '../../conductor/store/owner.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'

const told = (from: Sightings, to: Sightings) => from.news().forEach((seen) => to.merge(seen))

test('the owner knows of the agent and of the boot that another conductor hears', () => {
  const [owner, other] = [new Sightings(), new Sightings()]
  told(other, owner)
  owner.booting('n', 100)
  other.note('n', 'dhcp', { atMs: 110, detail: 'ack' })
  other.of('n').agentAtMs = 150
  told(other, owner)
  expect(owner.look('n')).toMatchObject({ bootedAtMs: 100, agentAtMs: 150 })
  expect([...owner.look('n').seen]).toEqual([['dhcp', { atMs: 110, detail: 'ack' }]])
  // What was told is not told back, and not told again.
  expect(other.news()).toEqual([])

  // The owner boots it again: what the other one saw of the last boot says nothing about this one.
  owner.news()
  owner.booting('n', 200)
  told(owner, other)
  expect(other.look('n')).toMatchObject({ bootedAtMs: 200, progress: null })
  expect(other.look('n').seen.size).toBe(0)
})

test('which machines asked before the boot is kept for a quarter of an hour, by a conductor that is told of the boot as well', () => {
  const [owner, other] = [new Sightings(), new Sightings()]
  told(owner, other)
  for (const one of [owner, other]) {
    one.sign('n', 'machine', { atMs: 900, detail: 'first' })
    one.sign('n', 'offer', { atMs: 900, detail: '' })
  }
  owner.booting('n', 1_000)
  told(owner, other)
  for (const one of [owner, other]) {
    expect(one.look('n').machinesBefore).toMatchObject({ details: ['first'] })
    expect(one.look('n').signs.size).toBe(0)
  }
  owner.booting('n', 900 + 15 * 60_000)
  expect(owner.look('n').machinesBefore).toBeUndefined()
})

test('an old sighting neither replaces a later one nor comes back after a new boot', () => {
  const [owner, other] = [new Sightings(), new Sightings()]
  told(other, owner)
  other.note('n', 'dhcp', { atMs: 110, detail: 'old' })
  other.of('n').agentAtMs = 120
  owner.booting('n', 200)
  owner.note('n', 'loader', { atMs: 210, detail: 'new' })
  owner.of('n').agentAtMs = 220
  told(other, owner)
  expect(owner.look('n').agentAtMs).toBe(220)
  expect([...owner.look('n').seen.keys()]).toEqual(['loader'])
})

test('conductors tell each other by texts of bounded size; one that is no record is ignored', async () => {
  const [here, there] = [new Sightings(), new Sightings()]
  const texts: string[] = []
  const listeners: OwnerListener[] = []
  const owner = {
    ...ownerAlone(() => true),
    tell: async (more: readonly string[]) => void texts.push(...more),
    listen: (listener: OwnerListener) => void listeners.push(listener),
  }
  const parts = { owner, clock: systemClock, log: silentLog }
  const [from, to] = [
    new ToldSightings({ ...parts, sightings: here }),
    new ToldSightings({ ...parts, sightings: there }),
  ]
  from.start()
  to.start()
  here.note('n', 'hello', { atMs: 5, detail: 'x'.repeat(20_000) })
  here.of('n').agentAtMs = systemClock.now() + 3_600_000
  await until(() => texts.length > 0, { what: 'a text', timeoutMs: 20_000 })
  await Promise.all([from.stop(), to.stop()])
  expect(texts.every((text) => Buffer.byteLength(text) <= 7_000)).toBe(true)
  const strange = ['nonsense', '{}', 'null', '{"uuid":"n","seen":7,"agentAtMs":1}']
  for (const text of [...strange, ...texts]) for (const listener of listeners) listener.told?.(text)
  expect(there.look('n').seen.has('hello')).toBe(true)
  // A clock that is ahead does not keep an agent alive.
  expect(there.look('n').agentAtMs).toBeLessThanOrEqual(systemClock.now())
})

test('a server that says much crowds nothing else out: signs are told without their details, progress with them', async () => {
  const sightings = new Sightings()
  const texts: string[] = []
  const owner = { tell: async (more: readonly string[]) => void texts.push(...more), listen: () => undefined }
  const told = new ToldSightings({ sightings, owner, clock: systemClock, log: silentLog })
  told.start()
  for (const sign of Object.keys(SIGNS).filter(isSign))
    for (let i = 0; i < 1_000; i += 1)
      sightings.sign('n', sign, { atMs: i, detail: `${i}\u001b[2J\u202e`.padEnd(5_000, 'x') })
  sightings.of('n').progress = { phase: 'write', doneBytes: 1, totalBytes: 2 }
  await until(() => texts.length > 0, { what: 'a text', timeoutMs: 20_000 })
  await told.stop()
  expect(Buffer.byteLength(texts[0] ?? '')).toBeLessThanOrEqual(7_000)
  expect(JSON.parse(texts[0] ?? '')).toMatchObject({ progress: { phase: 'write' } })
  expect(JSON.parse(texts[0] ?? '').signs).toHaveLength(Object.keys(SIGNS).length)
  // Of each, what is kept is little and printable.
  for (const { count, details } of sightings.look('n').signs.values()) {
    expect([count, details.length]).toEqual([1_000, 4])
    for (const detail of details) expect(detail).toMatch(/^\d+\?\[2J\?x{1,195}…$/)
  }
})

test('the clock of another conductor may be wrong: its agent is as silent as it is there', async () => {
  const NOW_MS = 10_000_000
  const THERE_MS = NOW_MS - 600_000
  const [owner, other] = [new Sightings(), new Sightings()]
  const hears: ((text: string) => void)[] = []
  const texts: string[] = []
  const started = [
    { sightings: owner, nowMs: NOW_MS },
    { sightings: other, nowMs: THERE_MS },
  ].map(({ sightings, nowMs }) => {
    const told = new ToldSightings({
      sightings,
      log: silentLog,
      clock: { ...systemClock, now: () => nowMs, sleep: systemClock.sleep.bind(systemClock) },
      owner: {
        tell: async (more) => void texts.push(...more),
        listen: ({ told: hear }) => void (hear && hears.push(hear)),
      },
    })
    told.start()
    return told
  })
  other.of('n').agentAtMs = THERE_MS - 5_000
  other.waits('n', { atMs: THERE_MS - 3_000, detail: '7' })
  await until(() => texts.length > 0, { what: 'a text', timeoutMs: 20_000 })
  await Promise.all(started.map((told) => told.stop()))
  hears[0]?.(texts[0] as string)
  expect(owner.look('n')).toMatchObject({
    agentAtMs: NOW_MS - 5_000,
    waiting: { atMs: NOW_MS - 3_000, detail: '7' },
  })
})
