/** Counters of the boot services: told when they are new, and again to a conductor that is new; in the metrics they
 *  only grow, and have no other names than ours. */
import { Counter, Registry } from 'prom-client'
import { expect, test } from 'vitest'
import { BootCounters, type BootTotals } from '../../conductor/boot/counters.ts'
import { bootMetrics } from '../../conductor/boot/metrics.ts'
import { Outbox } from '../../conductor/boot/outbox.ts'
import { systemClock, type Clock } from '../../kit/clock.ts'

/** A clock whose timers run when they are told to. */
function manualClock() {
  const timers = new Set<() => void>()
  const after = (_ms: number, callback: () => void) => {
    timers.add(callback)
    return () => void timers.delete(callback)
  }
  const clock: Clock = { ...systemClock, after }
  const tick = () => {
    const due = [...timers]
    timers.clear()
    for (const callback of due) callback()
  }
  return { clock, tick, timers }
}

test('totals are told when they are new, again when they were not taken, and whole to a new conductor', () => {
  const { clock, tick, timers } = manualClock()
  const counters = new BootCounters()
  const told: number[] = []
  let taken = true
  counters.start(clock, (totals) => {
    told.push(totals.requests.dhcp.ack ?? Number.NaN)
    return taken
  })
  tick()
  tick()
  expect(told).toEqual([0])
  counters.request('dhcp', 'ack')
  taken = false
  tick()
  taken = true
  tick()
  tick()
  expect(told).toEqual([0, 1, 1])
  counters.renew()
  tick()
  expect(told).toEqual([0, 1, 1, 1])
  counters.stop()
  expect(timers.size).toBe(0)
})

function metricsOf() {
  const registry = new Registry()
  const registers = [registry]
  const limits = new Counter({ name: 'limits_total', help: 'x', labelNames: ['limit'], registers })
  const take = bootMetrics(registers, limits)
  const text = async () => (await registry.metrics()).split('\n').filter((line) => line !== '' && !line.startsWith('#'))
  return { take, text }
}
const acked = (count: unknown) => ({ requests: { dhcp: { ack: count } }, limits: {} }) as unknown as BootTotals

test('a total that is smaller than before is of boot services that began anew: nothing is counted twice, and nothing backwards', async () => {
  const { take, text } = metricsOf()
  for (const count of [5, 7, 7, 2, 3]) take(acked(count))
  expect(await text()).toContain('rackward_boot_requests_total{service="dhcp",outcome="ack"} 10')
})

test('whatever is sent, there are no series but those that are known, and no value but a number that grew', async () => {
  const { take, text } = metricsOf()
  take(new BootCounters().totals)
  const names = (lines: string[]) => lines.map((line) => line.split(' ')[0])
  const before = await text()
  for (const hostile of [
    {},
    { requests: null, limits: null },
    {
      requests: { dhcp: JSON.parse('{"made_up": 5, "__proto__": {"ack": 3}}'), 'x"} 1\n': { y: 1 } },
      limits: { 'other.limit': 9 },
    },
    acked(-3),
    acked(Number.NaN),
    acked('7'),
    acked(1e300),
    acked({}),
  ])
    take(hostile as BootTotals)
  const after = await text()
  expect(names(after)).toEqual(names(before))
  expect(after.every((line) => / \d+$/.test(line))).toBe(true)
  expect(after.filter((line) => !line.endsWith(' 0'))).toEqual([])
})

test('what the outbox drops is counted one by one', () => {
  let dropped = 0
  const outbox = new Outbox({ limit: 3, clock: { ...systemClock, now: () => 0 }, onDropped: () => (dropped += 1) })
  for (let n = 0; n < 10; n += 1) outbox.push({ kind: 'unknown-mac', atMs: n, mac: '02:00:00:00:00:01' })
  expect([outbox.size, dropped]).toEqual([3, 7])
})
