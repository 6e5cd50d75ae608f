/** Thousands of fault schedules over the whole mesh, with the production cores; and the proof that the oracle sees what
 *  it should. */
import { expect, test } from 'vitest'
import { FENCE_GUARDS, type FenceGuards } from '../../host-agent/fence/guards.ts'
import { INTENT_GUARDS, type IntentGuards } from '../../host-agent/evacuate/intents.ts'
import { AT, scheduleOf, scheduleWith as schedule, type Fault, type Schedule } from './faults.ts'
import { SimRack } from './rack.ts'
import { runSchedule } from './run.ts'
import { shrink } from './shrink.ts'

/** The first of the million that `npm run sim` runs. */
const SCHEDULES = 1_000

test(`${SCHEDULES} random schedules: no false fence, no double run, no invariant broken`, { timeout: 600_000 }, () => {
  const bad: string[] = []
  for (let seed = 1; seed <= SCHEDULES; seed += 1) {
    const whole = scheduleOf(seed)
    const { violations } = runSchedule(whole)
    if (violations.length > 0) bad.push(`seed ${seed}: ${violations[0]} with ${JSON.stringify(shrink(whole).faults)}`)
  }
  expect(bad).toEqual([])
})

test('a host whose power is cut, and one that hangs, are fenced and evacuated in time', () => {
  for (let seed = 1; seed <= 20; seed += 1) {
    const cut = runSchedule(
      schedule([{ atMs: AT, kind: 'power cut', host: seed % 5, bmcToo: false, backMs: null }], { seed }),
    )
    expect(cut.violations).toEqual([])
    expect(cut.latency?.confirmedMs).toBeLessThan(5_000)
    expect(cut.latency?.fencedMs).toBeLessThan(10_000)
    expect(cut.latency?.evacuatingMs).toBeLessThan(15_000)
  }
})

const states = (one: Schedule) =>
  runSchedule(one)
    .trace.filter((line) => /: h\d is /.test(line))
    .map((line) => /is (.*?):/.exec(line)?.[1])

test.each<[string, readonly Fault[], Partial<Schedule>, readonly string[]]>([
  [
    '2: power and BMC die together: the watchdog is the proof',
    [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: true, backMs: null }],
    { watchdogs: true },
    ['fenced', 'evacuated'],
  ],
  [
    '2: without a watchdog its outlets are the proof, where they may be used',
    [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: true, backMs: null }],
    { pdus: true },
    ['fenced', 'evacuated'],
  ],
  [
    '2: and without a watchdog nothing is moved, and it says so',
    [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: true, backMs: null }],
    {},
    ['fence failed'],
  ],
  ['6: a stall of 1.5 s is none', [{ atMs: AT, kind: 'hang', host: 1, forMs: 1_500 }], {}, []],
  [
    '8: an agent that is killed: the kernel answers',
    [{ atMs: AT, kind: 'agent dies', host: 1, forMs: 30_000 }],
    {},
    [],
  ],
  ['14: the management plane down', [{ atMs: AT, kind: 'plane down', host: 1, planes: [0], forMs: 30_000 }], {}, []],
  ['15: the tenant plane down', [{ atMs: AT, kind: 'plane down', host: 1, planes: [2], forMs: 30_000 }], {}, []],
  [
    '16: the storage plane down: stopped, proven off, moved',
    [{ atMs: AT, kind: 'plane down', host: 1, planes: [1], forMs: 70_000 }],
    {},
    ['fenced', 'evacuated'],
  ],
  [
    '19: all but the storage plane down: isolated, and a person decides',
    [{ atMs: AT, kind: 'plane down', host: 1, planes: [0, 2], forMs: 70_000 }],
    {},
    [],
  ],
  [
    '19: where the policy says so, it is asked to stop its guests, proven off and evacuated; and stays outside until its planes are back',
    [{ atMs: AT, kind: 'plane down', host: 1, planes: [0, 2], forMs: 70_000 }],
    { policy: { isolated: 'fence' } },
    ['fenced', 'evacuated'],
  ],
  [
    '17: all planes down',
    [{ atMs: AT, kind: 'plane down', host: 1, planes: [0, 1, 2], forMs: 70_000 }],
    {},
    ['fenced', 'evacuated'],
  ],
  [
    '20: one way out lost on all planes',
    [{ atMs: AT, kind: 'one way', host: 1, out: true, forMs: 70_000 }],
    {},
    ['fenced', 'evacuated'],
  ],
  [
    '25: half of the observers cannot reach it',
    [{ atMs: AT, kind: 'partial', host: 1, from: [0, 2, 3, 5], forMs: 30_000 }],
    {},
    [],
  ],
  ['27: a rack is cut off', [{ atMs: AT, kind: 'rack cut', rack: 1, forMs: 30_000 }], {}, []],
  [
    '32: the leader is cut off from everybody',
    [
      { atMs: AT, kind: 'arbiter cut', arbiter: 0, forMs: 60_000 },
      { atMs: AT, kind: 'arbiter cut', arbiter: 1, forMs: 1 },
    ],
    {},
    [],
  ],
  [
    '38: Consul has no quorum',
    [
      { atMs: AT, kind: 'no quorum', forMs: 60_000 },
      { atMs: AT + 1_000, kind: 'power cut', host: 1, bmcToo: false, backMs: null },
    ],
    { endMs: 60_000 },
    [],
  ],
  ['57: the storage fails for all', [{ atMs: AT, kind: 'storage out', forMs: 60_000 }], {}, []],
  [
    '52: it is switched on again during the evacuation',
    [{ atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: 9_000 }],
    {},
    ['fenced', 'evacuated', 'recovered'],
  ],
  [
    '74: maintenance was set just before',
    [
      { atMs: AT, kind: 'power cut', host: 1, bmcToo: false, backMs: null },
      { atMs: AT + 100, kind: 'hold', host: 1, forMs: 60_000 },
    ],
    { endMs: 60_000 },
    [],
  ],
  ['37: clocks that jump change nothing', [{ atMs: AT, kind: 'clock jumps', ms: 3_600_000 }], {}, []],
])('scenario %s', (_, faults, more, wanted) => {
  for (const seed of [1, 2, 3, 4]) {
    const one = schedule(faults, { seed, ...more })
    expect(runSchedule(one).violations).toEqual([])
    const seen = states(one)
    for (const state of wanted) expect(seen, `seed ${seed}`).toContain(state)
    if (wanted.length === 0) expect(seen, `seed ${seed}`).toEqual([])
  }
})

test('15: where the policy says so, a host whose guests cannot be reached is drained', () => {
  const faults: Fault[] = [{ atMs: AT, kind: 'plane down', host: 1, planes: [2], forMs: 75_000 }]
  const lines = (policy: Schedule['policy']) => runSchedule(schedule(faults, { policy, endMs: 110_000 }))
  const drained = lines({ tenantLost: 'drain' })
  expect(drained.violations).toEqual([])
  expect(drained.trace.filter((line) => /h1-vm\d starts on h[^1]/.test(line)).length).toBe(2)
  expect(drained.trace.join('\n')).toMatch(/h1 is drained: it runs no instances/)
  expect(lines({}).trace.join('\n')).not.toMatch(/drain|starts/)
})

test('a host that dies while it is drained: what was on its way, or had just arrived, runs once', () => {
  for (let seed = 1; seed <= 60; seed += 1) {
    const drained = schedule(
      [
        { atMs: AT, kind: 'drain', host: 1, forMs: 70_000 },
        {
          atMs: AT + 3_000 + seed * 60,
          kind: 'power cut',
          host: 1,
          bmcToo: false,
          backMs: seed % 3 === 0 ? 20_000 : null,
        },
        ...(seed % 2 === 0
          ? ([{ atMs: AT + 3_500 + seed * 50, kind: 'arbiter dies', arbiter: 0, forMs: 5_000 }] as const)
          : []),
      ],
      { seed, endMs: 120_000 },
    )
    const { violations, guests } = runSchedule(drained)
    expect(violations, `seed ${seed}`).toEqual([])
    expect(guests, `seed ${seed}`).toBe(10)
  }
})

test('16: the storage comes back before the host can be fenced: its guests run again, its word is taken back, and the BMC that comes back as well switches nothing off', () => {
  for (const seed of [1, 2, 3, 4, 5, 6]) {
    const rack = runSchedule(
      schedule(
        [
          { atMs: AT - 1_000, kind: 'bmc', host: 1, mode: 'dead', forMs: 20_000 + seed * 1_500 },
          { atMs: AT, kind: 'plane down', host: 1, planes: [1], forMs: 20_000 },
          ...(seed % 2 === 0 ? ([{ atMs: AT + 12_000, kind: 'arbiter dies', arbiter: 0, forMs: 5_000 }] as const) : []),
        ],
        { seed, endMs: 200_000 },
      ),
    )
    expect(rack.violations, `seed ${seed}`).toEqual([])
    expect(rack.guests, `seed ${seed}`).toBe(10)
    expect(rack.trace.join('\n'), `seed ${seed}`).not.toMatch(/loses its power/)
  }
})

test('37: clocks that jump decide nothing: with them and without them the same happens at the same time', () => {
  const events = (one: Schedule) => runSchedule(one).trace.filter((line) => !line.includes('fault:'))
  for (let seed = 1; seed <= 60; seed += 1) {
    const whole = scheduleOf(seed)
    const jumps: Fault[] = [1, 4, 9, 20].map((s) => ({
      atMs: AT + s * 1_000,
      kind: 'clock jumps',
      ms: (s % 2 === 0 ? 1 : -1) * 3_600_000,
    }))
    const calm = whole.faults.filter(({ kind }) => kind !== 'clock jumps')
    expect(events({ ...whole, faults: [...calm, ...jumps] }), `seed ${seed}`).toEqual(
      events({ ...whole, faults: [...calm, ...jumps.map((one) => ({ ...one, ms: 0 }))] }),
    )
  }
})

test('14: a host that leaves as planned, and is switched off then, is nobody’s death, whoever leads', () => {
  for (let seed = 1; seed <= 12; seed += 1) {
    const faults: Fault[] = [
      { atMs: AT, kind: 'leave', host: 1, off: true, forMs: 50_000 },
      { atMs: AT + 500 * seed, kind: 'all arbiters restart', forMs: 2_000 },
    ]
    const { violations, trace } = runSchedule(schedule(faults, { seed, endMs: 110_000 }))
    expect(violations, `seed ${seed}`).toEqual([])
    expect(trace.join('\n'), `seed ${seed}`).not.toMatch(/: h1 is confirmed/)
  }
})

test('a dry run stops no guests and fences nobody', () => {
  const rack = runSchedule(
    schedule([{ atMs: AT, kind: 'plane down', host: 1, planes: [1], forMs: 60_000 }], { policy: { dryRun: true } }),
  )
  expect(rack.violations).toEqual([])
  expect(rack.trace.join('\n')).toMatch(/dry run: would stop the guests of h1/)
  expect(rack.trace.join('\n')).not.toMatch(/OFF|starts|confirmed dead/)
  expect(rack.guests).toBe(10)
})

test('a host that read a poison pill resets itself, though its incident was cancelled meanwhile', () => {
  const { violations, trace } = runSchedule(scheduleOf(15_742))
  expect(violations).toEqual([])
  const at = (what: string) => trace.findIndex((line) => line.includes(what))
  expect(at('h4 reads a poison pill')).toBeGreaterThan(0)
  expect(at('h4 is cancelled')).toBeGreaterThan(at('h4 reads a poison pill'))
  expect(at('the watchdog of h4 fires')).toBeGreaterThan(at('h4 is cancelled'))
})

test('a poison pill of an incident that nobody knows is a violation', () => {
  const rack = new SimRack(schedule([]))
  const h1 = rack.nodeOf('h1')
  rack.oracle.pillRead(h1, { boot: h1.member.bootId, incident: 'other', epoch: 1, attempt: 1 })
  expect(rack.oracle.violations).toEqual([expect.stringMatching(/I12: h1 reads a poison pill, and other is unknown/)])
})

/** The check can fail: one guard away, and the oracle finds what it was for. */
const without = <K extends keyof FenceGuards>(name: K): FenceGuards => ({ ...FENCE_GUARDS, [name]: () => true })
const withoutIntent = (name: 'lease' | 'untraced' | 'graceOver'): IntentGuards => ({
  ...INTENT_GUARDS,
  [name]: () => true,
})

test.each<[string, { fenceGuards?: FenceGuards; intentGuards?: IntentGuards }, RegExp]>([
  ['proven', { fenceGuards: without('proven') }, /I11/],
  ['identity', { fenceGuards: without('identity') }, /I15/],
  ['silent', { fenceGuards: without('silent') }, /I3|I4/],
  ['untraced and graceOver', { intentGuards: { ...withoutIntent('untraced'), graceOver: () => true } }, /I6/],
])('without the guard "%s" a schedule goes wrong', { timeout: 120_000 }, (_, guards, what) => {
  let found: string | undefined
  for (let seed = 1; seed < 1_500 && !found; seed += 1)
    found = runSchedule(scheduleOf(seed), guards).violations.find((violation) => what.test(violation))
  expect(found).toMatch(what)
})

test('a failing schedule shrinks to the faults that matter', () => {
  const guards = { fenceGuards: without('proven') }
  const whole = schedule([
    { atMs: AT, kind: 'clock jumps', ms: 1_000 },
    { atMs: AT, kind: 'hang', host: 1, forMs: null },
    { atMs: AT + 500, kind: 'loss', share: 0.05, forMs: 1_000 },
  ])
  expect(runSchedule(whole, guards).violations.length).toBeGreaterThan(0)
  expect(shrink(whole, guards).faults.map(({ kind }) => kind)).toEqual(['hang'])
})
