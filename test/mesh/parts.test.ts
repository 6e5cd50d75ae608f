/** The small parts of the mesh: who observes whom, where instances go, what is stored, what a definition says, how Consul is set up. */
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import npmConsul from 'consul'
import { ensureConsul } from '../../kit/setup/consul.mjs'
import { tableFlaws } from '../../kit/arrows.ts'
import { until } from '../../kit/clock.ts'
import { Consul } from '../../kit/consul.ts'
import { piped, run } from '../../kit/run.ts'
import { systemRandom } from '../../kit/random.ts'
import { parseAgentConfig } from '../../host-agent/config.ts'
import { readDomain } from '../../host-agent/evacuate/drivers/domains.ts'
import { INTENT_ARROWS, INTENT_STATES, type Intent } from '../../host-agent/evacuate/intents.ts'
import { intentsFor, placesFor, type Target } from '../../host-agent/evacuate/plan.ts'
import { sameUuid } from '../../host-agent/fence/bmc.ts'
import { provenOff } from '../../host-agent/fence/guards.ts'
import { INCIDENT_ARROWS, INCIDENT_STATES } from '../../host-agent/fence/states.ts'
import { consulConfig } from '../../host-agent/mesh/consul-config.ts'
import { FIRST_POLICY, KEYS } from '../../host-agent/mesh/records.ts'
import { initMesh } from '../../host-agent/mesh/setup.ts'
import { Shelf } from '../../host-agent/mesh/shelf.ts'
import type { Member } from '../../host-agent/verdict/evidence.ts'
import { observersOf } from '../../host-agent/verdict/observers.ts'

test('the tables of arrows have no flaws', () => {
  expect(tableFlaws(INCIDENT_ARROWS, INCIDENT_STATES, 'confirmed')).toEqual([])
  expect(tableFlaws(INTENT_ARROWS, INTENT_STATES, 'PENDING')).toEqual([])
})

describe('observers', () => {
  const mesh = (count: number): Member[] =>
    Array.from({ length: count }, (_, i) => ({ name: `h${i}`, role: 'host', rack: `r${i % 7}`, planes: ['management'], ticks: false }))
  test('eight of a large mesh, at most three of the target’s rack, never itself; a new member changes few', () => {
    const before = mesh(100)
    const after = [...before, { name: 'new', role: 'host', rack: 'r1', planes: ['management'], ticks: false } as Member]
    let changed = 0
    for (const host of before) {
      const observers = observersOf(host, before)
      expect(observers).toHaveLength(8)
      expect(observers).not.toContain(host.name)
      expect(observers.filter((name) => before.find((one) => one.name === name)?.rack === host.rack).length).toBeLessThanOrEqual(3)
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
  const target = (host: string, freeMb: number, more: Partial<Target> = {}): Target => ({ host, freeMb, reserved: false, groups: new Set(), ...more })
  test('the important first, where there is room; reserved hosts last', () => {
    const places = placesFor([intent('a'), intent('b', { priority: 9, memoryMb: 800 })], [target('h1', 500), target('h2', 900, { reserved: true })])
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
          const intents = list.map((one, i) => intent(`vm${i}`, { ...one, target: one.state === 'REQUESTED' ? 'h1' : null }))
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
    const listing = { complete: true, instances: [{ id: 'vm', name: 'vm', priority: 0, memoryMb: 1, group: null, unprotected: null }] }
    const about = { incident: 'i3', host: 'h2', epoch: 3, at: '2026-01-01T12:00:00Z', mostHops: 2, hopWindowMs: 3_600_000 }
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
    const shelf = new Shelf()
    const member = {
      name: 'h1',
      role: 'host',
      rack: null,
      planes: {},
      ticks: false,
      publicKey: `${'A'.repeat(43)}=`,
      systemUuid: null,
      node: null,
      reserved: false,
      api: null,
    }
    const hold = { kind: 'maintenance', why: 'x', by: 'x', seconds: null }
    shelf.take(
      {
        entries: [
          { key: `${KEYS.members}h1`, value: member, index: 2 },
          { key: `${KEYS.holds}h1`, value: hold, index: 3 },
        ],
        index: 3,
      },
      0,
    )
    shelf.wrote([{ key: `${KEYS.holds}h1`, value: undefined, index: 3 }], 4, 0)
    expect([...shelf.members.keys()]).toEqual(['h1'])
    expect(shelf.holds.size).toBe(0)
    // And what is older than that says nothing any more.
    expect(shelf.take({ entries: [], index: 3 }, 0)).toBe(false)
  })
  test('what others wrote just before us is not passed over', () => {
    const shelf = new Shelf()
    const hold = { kind: 'maintenance', why: 'x', by: 'x', seconds: null }
    shelf.take({ entries: [], index: 8 }, 0)
    shelf.wrote([{ key: KEYS.policy, value: { ...FIRST_POLICY, armed: true }, index: 0 }], 12, 0)
    shelf.take(
      {
        entries: [
          { key: KEYS.policy, value: { ...FIRST_POLICY, armed: true }, index: 12 },
          { key: `${KEYS.holds}h1`, value: hold, index: 10 },
        ],
        index: 12,
      },
      0,
    )
    expect([...shelf.holds.keys()]).toEqual(['h1'])
  })
  test('a policy that cannot be read disarms', () => {
    const shelf = new Shelf()
    shelf.take({ entries: [{ key: KEYS.policy, value: { ...FIRST_POLICY, armed: 'yes' }, index: 1 }], index: 1 }, 0)
    expect(shelf.policy.value.armed).toBe(false)
    expect([...shelf.broken]).toEqual([KEYS.policy])
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
    ['NVRAM of the host', `<domain><name>vm</name><uuid>u</uuid><memory>1</memory><os><nvram>/var/x.fd</nvram></os><devices/></domain>`, /NVRAM/],
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
  expect(() => parseAgentConfig('{ name: h1, role: host, planes: { management: { address: 10.0.0.1 } }, watchdogg: 1 }', 'agent.yaml')).toThrow(
    /watchdogg.*did you mean "watchdog"/,
  )
  expect(() => parseAgentConfig('{ name: h1, role: king, planes: {} }', 'agent.yaml')).toThrow(/role/)
})

describe('Consul', () => {
  const binary = process.env.RACKWARD_CONSUL ?? ensureConsul()
  let dir: string
  let consul: Consul
  const port = 20_000 + (process.pid % 10_000)
  let child: ReturnType<typeof piped>
  beforeAll(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-consul-'))
    child = piped([
      binary,
      'agent',
      '-dev',
      `-data-dir=${dir}`,
      `-http-port=${port}`,
      '-dns-port=-1',
      '-grpc-port=-1',
      `-server-port=${port + 1}`,
      `-serf-lan-port=${port + 2}`,
      '-serf-wan-port=-1',
      '-log-level=err',
    ])
    child.stdout.resume()
    consul = new Consul({ url: `http://127.0.0.1:${port}` })
    await until(() => consul.leader().catch(() => undefined), { what: 'Consul', timeoutMs: 30_000 })
  }, 40_000)
  afterAll(async () => {
    consul.close()
    child.stop()
    await child.done.catch(() => undefined)
    await rm(dir, { recursive: true, force: true })
  })

  test('compare-and-set, transactions of all or none, and waiting for news', async () => {
    expect(await consul.cas('rackward/x', { a: 1 }, 0)).toBe(true)
    expect(await consul.cas('rackward/x', { a: 2 }, 0)).toBe(false)
    const held = await consul.get('rackward/x', { consistent: true })
    expect(held?.value).toEqual({ a: 1 })
    const index = held?.index ?? 0
    expect(
      await consul.txn([
        { verb: 'cas', key: 'rackward/x', value: { a: 3 }, index },
        { verb: 'check-not-exists', key: 'rackward/x' },
      ]),
    ).toBeUndefined()
    expect((await consul.get('rackward/x'))?.value).toEqual({ a: 1 })
    const { index: seen } = await consul.tree('rackward/')
    const news = consul.tree('rackward/', { index: seen, waitMs: 5_000 })
    expect(await consul.txn([{ verb: 'cas', key: 'rackward/x', value: { a: 4 }, index }])).toBeGreaterThan(index)
    expect((await news).entries.map(({ value }) => value)).toEqual([{ a: 4 }])
    expect(await consul.deleteCas('rackward/x', (await consul.get('rackward/x'))?.index ?? 0)).toBe(true)
    expect(await consul.get('rackward/x')).toBeUndefined()
  })

  test('the lock: one holder, an epoch that rises, no write without it', async () => {
    const make = () => consul.createSession({ name: 't', ttlSeconds: 10, lockDelaySeconds: 1 })
    const [one, two] = [await make(), await make()]
    const first = await consul.acquire('rackward/leader', one, { name: 'a1' })
    expect(first).toBeGreaterThan(0)
    expect(await consul.acquire('rackward/leader', two, { name: 'a2' })).toBe(false)
    expect(await consul.acquire('rackward/leader', one, { name: 'a1' })).toBe(first)
    expect(
      await consul.txn([
        { verb: 'check-session', key: 'rackward/leader', session: two },
        { verb: 'cas', key: 'rackward/y', value: 1, index: 0 },
      ]),
    ).toBeUndefined()
    await consul.release('rackward/leader', one)
    expect(await consul.acquire('rackward/leader', two, { name: 'a2' })).toBe((first as number) + 1)
    await consul.destroySession(two)
    expect(await consul.renewSession(two)).toBe(false)
  })

  test('the npm client reads what ours wrote', async () => {
    await consul.cas('rackward/z', 'text', 0)
    const peer = new (npmConsul as unknown as new (options: object) => { kv: { get(key: string): Promise<{ Value: string }> } })({ host: '127.0.0.1', port })
    expect(JSON.parse((await peer.kv.get('rackward/z')).Value)).toBe('text')
  })

  test('"mesh init" writes a configuration that Consul takes, and nothing that others can read', async () => {
    const directory = join(dir, 'mesh')
    const made = await initMesh({ name: 'a1', address: '127.0.0.1', directory }, { run, random: systemRandom, binary })
    expect((await run([binary, 'validate', made.configDirectory], { timeoutMs: 20_000 })).code).toBe(0)
    for (const name of ['config/rackward.json', 'token', 'management.token', 'shared.json']) expect((await stat(join(directory, name))).mode & 0o077).toBe(0)
    await expect(initMesh({ name: 'a1', address: '127.0.0.1', directory }, { run, random: systemRandom, binary })).rejects.toThrow(/has a mesh already/)
    const config = JSON.parse(await readFile(join(made.configDirectory, 'rackward.json'), 'utf8'))
    expect(config).toMatchObject({ client_addr: '127.0.0.1', acl: { default_policy: 'deny' }, encrypt_verify_incoming: true, verify_incoming_rpc: true })
  })

  test('today’s Consul gets its own words', () => {
    const config = consulConfig({
      version: { major: 1, minor: 18 },
      name: 'h1',
      server: false,
      address: '10.0.0.1',
      dataDir: '/d',
      gossipKey: 'k',
      begins: false,
      join: ['10.0.0.2'],
      token: 't',
      tls: { ca: '/ca' },
    })
    expect(config).toMatchObject({ tls: { internal_rpc: { verify_server_hostname: true } }, auto_encrypt: { tls: true } })
    expect(config).not.toHaveProperty('verify_outgoing')
  })
})
