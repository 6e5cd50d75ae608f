/** The small parts of the mesh: who observes whom, where instances go, what is stored, what a definition says. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { tableFlaws } from '../../kit/arrows.ts'
import { parseAgentConfig } from '../../host-agent/config.ts'
import { readDomain } from '../../host-agent/adapters/instances/domains.ts'
import { INTENT_TABLE } from '../../host-agent/evacuate/intents.ts'
import { INTENT_STATES, type Intent } from '../../host-agent/protocol/records.ts'
import { intentsFor, placesFor, type Target } from '../../host-agent/evacuate/plan.ts'
import { sameUuid } from '../../host-agent/fence/bmc-identity.ts'
import { provenOff } from '../../host-agent/fence/guards.ts'
import { INCIDENT_TABLE } from '../../host-agent/fence/states.ts'
import { INCIDENT_STATES } from '../../host-agent/protocol/records.ts'
import { FIRST_POLICY, KEYS } from '../../host-agent/protocol/records.ts'
import { ClusterState } from '../../host-agent/cluster/state.ts'
import type { Member } from '../../host-agent/protocol/heartbeat.ts'
import { observersOf } from '../../host-agent/protocol/observers.ts'
import { memberRecord } from './member-record.ts'

test('the tables of arrows have no flaws', () => {
  expect(tableFlaws(INCIDENT_TABLE.arrows, INCIDENT_STATES, INCIDENT_TABLE)).toEqual([])
  expect(tableFlaws(INTENT_TABLE.arrows, INTENT_STATES, INTENT_TABLE)).toEqual([])
})

describe('observers', () => {
  const mesh = (count: number): Member[] =>
    Array.from({ length: count }, (_, i) => ({
      name: `h${i}`,
      role: 'host',
      rack: `r${i % 7}`,
      planes: ['management'],
      writesStorageHeartbeat: false,
    }))
  test('eight of a large mesh, at most three of the target’s rack, never itself; a new member changes few', () => {
    const before = mesh(100)
    const after = [
      ...before,
      { name: 'new', role: 'host', rack: 'r1', planes: ['management'], writesStorageHeartbeat: false } as Member,
    ]
    let changed = 0
    for (const host of before) {
      const observers = observersOf(host, before)
      expect(observers).toHaveLength(8)
      expect(observers).not.toContain(host.name)
      expect(
        observers.filter((name) => before.find((one) => one.name === name)?.rack === host.rack).length,
      ).toBeLessThanOrEqual(3)
      changed += observersOf(host, after).filter((name) => !observers.includes(name)).length
    }
    expect(changed).toBeLessThan(30)
  })
})

describe('power readings', () => {
  const read = (atMs: number, power: 'on' | 'off' | 'unknown', session: number) => ({ atMs, power, session })
  test.each([
    ['two, a second apart, in two sessions', [read(0, 'off', 1), read(1_000, 'off', 2)], true],
    ['one', [read(0, 'off', 1)], false],
    ['two of one session', [read(0, 'off', 1), read(1_000, 'off', 1)], false],
    ['two too close', [read(0, 'off', 1), read(900, 'off', 2)], false],
    ['"on" between them', [read(0, 'off', 1), read(500, 'on', 2), read(1_000, 'off', 3)], false],
    ['"unknown" between them', [read(0, 'off', 1), read(500, 'unknown', 2), read(1_000, 'off', 3)], false],
    ['"unknown" at last', [read(0, 'off', 1), read(1_000, 'off', 2), read(1_500, 'unknown', 3)], false],
  ] as const)('%s', (_, reads, proven) => expect(provenOff(reads, 2_000)).toBe(proven))
  test('a GUID is the same in the order of SMBIOS and in the order of the wire', () => {
    expect(sameUuid('33221100-5544-7766-8899-aabbccddeeff', '00112233-4455-6677-8899-aabbccddeeff')).toBe(true)
    expect(sameUuid('00112233-4455-6677-8899-aabbccddeefe', '00112233-4455-6677-8899-aabbccddeeff')).toBe(false)
    expect(sameUuid(null, '00112233-4455-6677-8899-aabbccddeeff')).toBe(false)
  })
})

describe('the plan', () => {
  const intent = (instance: string, more: Partial<Intent> = {}): Intent => ({
    incident: 'i',
    source: 'h0',
    instance,
    name: instance,
    priority: 0,
    memoryMb: 100,
    group: null,
    state: 'PENDING',
    epoch: 1,
    attempt: 0,
    target: null,
    ref: null,
    past: null,
    why: null,
    hops: 0,
    requestedAt: null,
    endedAt: null,
    ...more,
  })
  const target = (host: string, freeMb: number, more: Partial<Target> = {}): Target => ({
    host,
    freeMb,
    reserved: false,
    groups: new Set(),
    ...more,
  })
  test('the important first, where there is room; reserved hosts last', () => {
    const places = placesFor(
      [intent('a'), intent('b', { priority: 9, memoryMb: 800 })],
      [target('h1', 500), target('h2', 900, { reserved: true })],
    )
    expect([...places]).toEqual([
      ['b', 'h2'],
      ['a', 'h1'],
    ])
  })
  test('never over the room, the group or the number at once', () => {
    fc.assert(
      fc.property(
        fc.array(
          fc.record({
            memoryMb: fc.integer({ min: 1, max: 900 }),
            group: fc.option(fc.constantFrom('x', 'y')),
            state: fc.constantFrom('PENDING' as const, 'REQUESTED' as const, 'CONFIRMED' as const),
          }),
          { maxLength: 30 },
        ),
        (list) => {
          const intents = list.map((one, i) =>
            intent(`vm${i}`, { ...one, target: one.state === 'REQUESTED' ? 'h1' : null }),
          )
          const places = placesFor(intents, [target('h1', 1_000), target('h2', 1_000), target('h3', 300)])
          const coming = (host: string) => intents.filter((one) => places.get(one.instance) === host)
          for (const [host, freeMb] of [
            ['h1', 1_000],
            ['h2', 1_000],
            ['h3', 300],
          ] as const) {
            expect(coming(host).reduce((sum, one) => sum + one.memoryMb, 0)).toBeLessThanOrEqual(freeMb)
            const groups = coming(host).flatMap(({ group }) => (group === null ? [] : [group]))
            expect(new Set(groups).size).toBe(groups.length)
            expect(coming(host).length).toBeLessThanOrEqual(2)
          }
          expect(places.size + intents.filter(({ state }) => state === 'REQUESTED').length).toBeLessThanOrEqual(
            Math.max(10, intents.filter(({ state }) => state === 'REQUESTED').length),
          )
        },
      ),
    )
  })
  test('an instance whose last two hosts died under it is started nowhere (scenario 69)', () => {
    const listing = {
      complete: true,
      instances: [{ id: 'vm', name: 'vm', priority: 0, memoryMb: 1, group: null, unprotected: null }],
    }
    const about = {
      incident: 'i3',
      host: 'h2',
      epoch: 3,
      at: '2026-01-01T12:00:00Z',
      mostHops: 2,
      hopWindowMs: 3_600_000,
    }
    const moved = (hops: number, endedAt = '2026-01-01T11:30:00Z') =>
      intentsFor(listing, about, [intent('vm', { state: 'CONFIRMED', target: 'h2', hops, endedAt })])[0]
    expect(moved(0)).toMatchObject({ state: 'PENDING', hops: 1 })
    expect(moved(1)).toMatchObject({ state: 'SKIPPED', hops: 2 })
    // Two deaths in a year are no pattern.
    expect(moved(1, '2025-12-01T00:00:00Z')).toMatchObject({ state: 'PENDING', hops: 0 })
  })
})

describe('the copy of the store', () => {
  test('what is deleted by us is that entry, and no other of the same name', () => {
    const cluster = new ClusterState()
    const member = memberRecord('h1')
    const hold = { kind: 'maintenance', why: 'x', by: 'x', seconds: null }
    cluster.takeSnapshot(
      {
        entries: [
          { key: `${KEYS.members}h1`, value: member, index: 2 },
          { key: `${KEYS.holds}h1`, value: hold, index: 3 },
        ],
        index: 3,
      },
      0,
    )
    cluster.takeOwnWrite([{ key: `${KEYS.holds}h1`, value: undefined, index: 3 }], 4, 0)
    expect([...cluster.members.keys()]).toEqual(['h1'])
    expect(cluster.holds.size).toBe(0)
    // And what is older than that says nothing any more.
    expect(cluster.takeSnapshot({ entries: [], index: 3 }, 0)).toBe(false)
  })
  test('what others wrote just before us is not passed over', () => {
    const cluster = new ClusterState()
    const hold = { kind: 'maintenance', why: 'x', by: 'x', seconds: null }
    cluster.takeSnapshot({ entries: [], index: 8 }, 0)
    cluster.takeOwnWrite([{ key: KEYS.policy, value: { ...FIRST_POLICY, armed: true }, index: 0 }], 12, 0)
    cluster.takeSnapshot(
      {
        entries: [
          { key: KEYS.policy, value: { ...FIRST_POLICY, armed: true }, index: 12 },
          { key: `${KEYS.holds}h1`, value: hold, index: 10 },
        ],
        index: 12,
      },
      0,
    )
    expect([...cluster.holds.keys()]).toEqual(['h1'])
  })
  test('a policy that cannot be read disarms', () => {
    const cluster = new ClusterState()
    cluster.takeSnapshot(
      { entries: [{ key: KEYS.policy, value: { ...FIRST_POLICY, armed: 'yes' }, index: 1 }], index: 1 },
      0,
    )
    expect(cluster.policy.value.armed).toBe(false)
    expect([...cluster.broken]).toEqual([KEYS.policy])
  })
})

describe('definitions of domains', () => {
  const xml = (devices: string, more = '') =>
    `<domain type='kvm'><name>vm</name><uuid>00112233-4455-6677-8899-aabbccddeeff</uuid><memory unit='KiB'>2097152</memory>${more}<os/><devices>${devices}</devices></domain>`
  const disk = (path: string) => `<disk type='file'><source file='${path}'/></disk>`
  test.each([
    ['a shared disk', xml(disk('/shared/a.raw')), null],
    ['a disk of the host', xml(disk('/var/a.raw')), /\/var\/a\.raw is not on shared/],
    ['a path that only looks shared', xml(disk('/shared-not/a.raw')), /not on shared/],
    ['a network disk', xml(`<disk type='network'><source protocol='rbd' name='pool/a'/></disk>`), null],
    ['a device of the host', xml(`<hostdev mode='subsystem'/>`), /device of its host/],
    [
      'NVRAM of the host',
      `<domain><name>vm</name><uuid>u</uuid><memory>1</memory><os><nvram>/var/x.fd</nvram></os><devices/></domain>`,
      /NVRAM/,
    ],
  ] as const)('%s', (_, text, why) => {
    const { unprotected } = readDomain(text, ['/shared'])
    if (why === null) expect(unprotected).toBeNull()
    else expect(unprotected).toMatch(why)
  })
  test('memory, priority and group', () => {
    const meta = `<metadata><r:instance xmlns:r='urn:rackward:instance:1' priority='5' group='db'/></metadata>`
    expect(readDomain(xml('', meta), [])).toMatchObject({ memoryMb: 2048, priority: 5, group: 'db', name: 'vm' })
  })
})

test('the configuration of an agent: an unknown key is named with the nearest one', () => {
  expect(() =>
    parseAgentConfig(
      '{ name: h1, role: host, planes: { management: { address: 10.0.0.1 } }, watchdogg: 1 }',
      'agent.yaml',
    ),
  ).toThrow(/watchdogg.*did you mean "watchdog"/)
  expect(() => parseAgentConfig('{ name: h1, role: king, planes: {} }', 'agent.yaml')).toThrow(/role/)
})
