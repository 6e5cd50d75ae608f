/** What a limit refuses is counted each time and logged once per burst; and what counts as one source. */
import { expect, test } from 'vitest'
import { limitMeter } from '../../kit/limit-meter.ts'
import { sourceOf } from '../../kit/addresses.ts'
import { systemClock } from '../../kit/clock.ts'

test('a burst is one line, then one a minute with the count since', () => {
  let nowMs = 1_000
  const lines: unknown[] = []
  const counted: string[] = []
  const warn = (line: object) => void lines.push(line)
  const reached = limitMeter({
    clock: { ...systemClock, now: () => nowMs },
    log: { warn },
    count: (limit) => void counted.push(limit),
  })
  for (let i = 0; i < 500; i += 1) reached('api.connections', { address: '192.0.2.1' })
  reached('api.consoles')
  nowMs += 60_000
  reached('api.connections', { address: '192.0.2.2' })
  expect(lines).toEqual([
    { limit: 'limits.api.connections', refused: 1, address: '192.0.2.1' },
    { limit: 'limits.api.consoles', refused: 1 },
    { limit: 'limits.api.connections', refused: 500, address: '192.0.2.2' },
  ])
  expect(counted).toHaveLength(502)
})

test.each([
  ['192.0.2.1', '192.0.2.1'],
  ['::ffff:192.0.2.1', '192.0.2.1'],
  ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
  ['2001:DB8:1:2::6', '2001:db8:1:2::/64'],
  ['::1', '0:0:0:0::/64'],
  ['fe80::1%eth0', 'fe80:0:0:0::/64'],
])('%s counts as %s', (address, source) => expect(sourceOf(address)).toBe(source))
