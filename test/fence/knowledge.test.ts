/** What a leader learns from the answers of BMCs, fence devices and the shared storage. */
import { expect, test } from 'vitest'
import { fenceAsked, pillAnswered, powerAnswered, timesOf, type FenceEffect } from '../../host-agent/fence/effects.ts'
import { afterIncident, identityAt, NOTHING_FOUND, outstandingAt } from '../../host-agent/fence/knowledge.ts'

const UUID = '00000000-0000-4000-8000-000000000001'
const NOW = 50_000
const read = { do: 'read power', host: 'h1', systemUuid: UUID } as const
const off = { do: 'power off', host: 'h1', incident: 'i' } as const
const pill = { boot: 'b1', incident: 'i', epoch: 3, attempt: 1 }

test('a BMC that says whose it is is believed for two seconds, and what another machine’s BMC says is no reading', () => {
  const asked = fenceAsked(NOTHING_FOUND, read, NOW)
  const own = powerAnswered(asked, read, { power: 'off', session: 1, systemUuid: UUID, askedMs: NOW, atMs: NOW })
  expect(identityAt(own, NOW + 2_000)).toBe('match')
  expect(identityAt(own, NOW + 2_001)).toBe('unknown')
  expect(own.reads).toEqual([{ atMs: NOW, power: 'off', session: 1 }])

  const other = { power: 'off' as const, session: 2, systemUuid: UUID.replace('1', '2'), askedMs: NOW, atMs: NOW }
  expect(powerAnswered(asked, read, other)).toMatchObject({
    identity: 'mismatch',
    reads: [{ power: 'unknown' }],
  })
})

test('an OFF command counts until it is answered or its deadline has passed', () => {
  const sent = fenceAsked(NOTHING_FOUND, off, NOW)
  const { deadlineMs } = timesOf(off, NOW)
  expect([outstandingAt(sent, NOW), outstandingAt(sent, deadlineMs)]).toEqual([1, 0])
  expect(outstandingAt(powerAnswered(sent, off, { askedMs: NOW, atMs: NOW + 100 }), NOW + 100)).toBe(0)
  // Without an answer it may still be on its way.
  expect(outstandingAt(powerAnswered(sent, off, { fault: 'lost', askedMs: NOW, atMs: NOW + 100 }), NOW + 100)).toBe(1)
})

test('a poison pill stands from when it was written, once it was read back, until another one is found', () => {
  const write: FenceEffect = { do: 'write pill', host: 'h1', pill }
  const look: FenceEffect = { do: 'read pill', host: 'h1', pill, sinceMs: NOW + 50 }
  const told = (found: typeof pill | undefined, atMs: number) => ({
    answer: { ok: true as const, found },
    askedMs: atMs - 10,
    atMs,
  })
  const written = pillAnswered(fenceAsked(NOTHING_FOUND, write, NOW), write, told(pill, NOW + 50))
  expect(written.pill).toMatchObject({ writtenMs: NOW + 50, standsSinceMs: undefined, busy: false })

  const asked = fenceAsked(written, look, NOW + 60)
  expect(pillAnswered(asked, look, told(pill, NOW + 100)).pill).toMatchObject({
    standsSinceMs: NOW + 50,
    readMs: NOW + 90,
  })
  for (const found of [undefined, { ...pill, attempt: 2 }, { ...pill, epoch: 4 }])
    expect(pillAnswered(asked, look, told(found, NOW + 100)).pill).toMatchObject({
      standsSinceMs: undefined,
      writtenMs: undefined,
    })
})

test('the end of an incident forgets readings and proofs, and keeps what is under way', () => {
  const known = { ...fenceAsked(fenceAsked(NOTHING_FOUND, off, NOW), read, NOW), withheldSinceMs: NOW }
  expect(afterIncident(known)).toMatchObject({
    lastOffMs: null,
    outstanding: [],
    withheldSinceMs: undefined,
    bmcBusy: true,
  })
})
