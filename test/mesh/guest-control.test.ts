/** A host's gate, consent and guests: what is done on which event, as a table. */
import { expect, test } from 'vitest'
import { GuestControl, type GuestCommand, type GuestEvent } from '../../host-agent/guard/guest-control.ts'

type Row = readonly [event: GuestEvent, acts: readonly GuestCommand[], afterMs?: number]
const tick = (storageLost = false): GuestEvent => ({ type: 'tick', storageLost })
const order = (what: 'open gate' | 'stop guests'): GuestEvent => ({ type: 'ordered', order: what })
const counted = (guests: number | null): GuestEvent => ({ type: 'counted', guests })
const stopped = (guests: number | null): GuestEvent => ({ type: 'stopped', guests })
const done = (act: 'open gate' | 'start' | 'refresh'): GuestEvent => ({ type: 'done', command: act })
const failed: GuestEvent = { type: 'failed' }

/** `end`: what the host says of itself after the last event. */
test.each<
  [string, 'open' | 'closed' | 'none', readonly Row[], { gate?: string; guests?: number | null; consents?: boolean }]
>([
  [
    'a host whose gate is closed starts and exports nothing',
    'closed',
    [
      [tick(), ['count']],
      [counted(0), []],
      [tick(), ['count'], 10_000],
    ],
    { gate: 'closed' },
  ],
  [
    'an order opens the gate; what belongs here is started, again until it succeeds, and only then exported',
    'closed',
    [
      [order('open gate'), ['open gate']],
      [order('open gate'), []],
      [done('open gate'), []],
      [tick(), ['count', 'start']],
      [failed, []],
      [tick(), ['start'], 500],
      [done('start'), []],
      [tick(), ['refresh'], 500],
    ],
    { gate: 'open' },
  ],
  [
    'a gate that could not be opened stays closed',
    'closed',
    [
      [order('open gate'), ['open gate']],
      [failed, []],
      [order('open gate'), ['open gate']],
    ],
    { gate: 'closed' },
  ],
  [
    'an agent that starts again within a boot starts no guests',
    'open',
    [
      [tick(), ['count', 'refresh']],
      [done('refresh'), []],
      [tick(), [], 500],
    ],
    { gate: 'open' },
  ],
  ['an order to open a gate that is open does nothing', 'open', [[order('open gate'), []]], { gate: 'open' }],
  [
    'guests that were told to stop, and are gone: it consents, and is not asked to stop them twice',
    'open',
    [
      [order('stop guests'), ['stop']],
      [order('stop guests'), []],
      [stopped(0), []],
      [order('stop guests'), []],
    ],
    { consents: true, guests: 0 },
  ],
  [
    'guests that did not stop: no consent',
    'open',
    [
      [order('stop guests'), ['stop']],
      [stopped(1), []],
    ],
    { consents: false, guests: 1 },
  ],
  [
    'guests that cannot be counted: no consent',
    'open',
    [
      [order('stop guests'), ['stop']],
      [stopped(null), []],
    ],
    { consents: false, guests: null },
  ],
  [
    'stopping that failed: no consent, and another try',
    'open',
    [
      [order('stop guests'), ['stop']],
      [failed, []],
      [order('stop guests'), ['stop']],
    ],
    { consents: false },
  ],
  [
    'a guest that came meanwhile takes the consent back',
    'open',
    [
      [order('stop guests'), ['stop']],
      [stopped(0), []],
      [tick(true), ['count', 'refresh']],
      [counted(1), []],
    ],
    { consents: false, guests: 1 },
  ],
  [
    'while the storage is lost the consent stands, however long nobody asks; when it is back, what belongs here is started',
    'open',
    [
      [order('stop guests'), ['stop']],
      [stopped(0), []],
      [tick(true), ['count', 'refresh'], 100_000],
      [counted(0), []],
      [done('refresh'), []],
      [tick(false), ['start'], 500],
    ],
    { consents: false },
  ],
  [
    'while it is still asked, the consent stands although the storage is back',
    'open',
    [
      [order('stop guests'), ['stop']],
      [stopped(0), []],
      [order('stop guests'), [], 50_000],
      [tick(false), ['count', 'refresh'], 50_000],
    ],
    { consents: true },
  ],
  [
    'a count that hangs is not asked for twice',
    'none',
    [
      [tick(), ['count', 'refresh']],
      [tick(), [], 10_000],
      [counted(3), []],
      [tick(), ['count']],
    ],
    { guests: 3 },
  ],
])('%s', (_, gate, rows, end) => {
  const control = new GuestControl({ gate, isHost: true })
  let nowMs = 1_000_000
  for (const [event, acts, afterMs = 0] of rows) {
    nowMs += afterMs
    expect(control.on(event, nowMs), JSON.stringify(event)).toEqual(acts)
  }
  expect({ gate: control.gate, guests: control.guests, consents: control.consents }).toMatchObject(end)
})

test('an arbiter has no guests to count', () => {
  expect(new GuestControl({ gate: 'none', isHost: false }).on(tick(), 0)).toEqual(['refresh'])
})
