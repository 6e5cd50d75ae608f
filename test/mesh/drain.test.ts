/** Emptying a living host: through the twin of Nova, and what the libvirt driver does when a host dies in the middle of
 *  a live migration. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { DomainStore, type DomainRecord } from '../../host-agent/adapters/instances/domains.ts'
import { LibvirtDriver } from '../../host-agent/adapters/instances/libvirt.ts'
import { NovaDriver } from '../../host-agent/adapters/instances/nova.ts'
import { holdKey, KEYS } from '../../host-agent/protocol/records.ts'
import { until } from '../../kit/clock.ts'
import { keystoneAt } from './keystone-account.ts'
import { MemoryMesh } from './memory-world.ts'
import { NovaTwin } from './nova-twin.ts'

const signal = new AbortController().signal

describe('through Nova', () => {
  let twin: NovaTwin
  let mesh: MemoryMesh
  beforeEach(async () => {
    twin = new NovaTwin(['cmp1', 'cmp2', 'cmp3'])
    const authUrl = `${await twin.start()}/v3`
    mesh = new MemoryMesh(new NovaDriver(keystoneAt(authUrl), { sharedDisks: true }), ['cmp1', 'cmp2', 'cmp3'])
  })
  afterEach(async () => {
    mesh.stop()
    await twin.stop()
  })
  const drain = (host: string) => mesh.set(holdKey(host), { kind: 'drain', why: 'new fans', by: 'op', seconds: null })

  test('a host that is drained is emptied, then in maintenance; what cannot be moved is named', async () => {
    for (const name of ['a', 'b', 'c']) twin.addServer(name, 'cmp1')
    const stays = twin.addServer('stays', 'cmp1', { vm_state: 'suspended' })
    drain('cmp1')
    const hold = () => mesh.core.cluster.holds.get('cmp1')?.value
    await until(() => twin.vms.filter(({ host }) => host === 'cmp1').length === 1, {
      what: 'three of four to be moved',
      timeoutMs: 20_000,
    })
    await until(() => mesh.alerts.some(({ says }) => /stays stays on cmp1/.test(says)), {
      what: 'the fourth to be named',
      timeoutMs: 30_000,
    })
    expect(hold()?.kind).toBe('drain')
    // While it is emptied it may die like any other; in maintenance it may not be fenced.
    expect(mesh.core.cluster.holdOf('cmp1')).toBeUndefined()
    twin.vms.splice(twin.vms.indexOf(stays), 1)
    await until(() => hold()?.kind === 'maintenance', { what: 'the host to be in maintenance', timeoutMs: 20_000 })
    expect(hold()).toMatchObject({ why: 'drained: new fans', by: 'op' })
    expect(twin.migrations).toEqual([])
  })

  test('a server whose host dies while it is moved live is started nowhere until the other end is proven down as well', async () => {
    twin.moveMs = 60_000
    const vm = twin.addServer('a', 'cmp1')
    drain('cmp1')
    await until(() => twin.live.length === 1, { what: 'the live migration', timeoutMs: 20_000 })
    const target = twin.live[0]?.dest_compute as string
    twin.stopCompute('cmp1')
    twin.moveMs = 50
    mesh.set(`${KEYS.requests}cmp1`, { kind: 'fence', host: 'cmp1', by: 'a test' })
    await until(() => mesh.intents()[0]?.state === 'REQUESTED', {
      what: 'the live migration to be seen',
      timeoutMs: 30_000,
    })
    expect(mesh.intents()[0]).toMatchObject({ target, attempt: 0 })
    expect(twin.migrations).toEqual([])
    twin.stopCompute(target)
    await mesh.fence(target, 20_000)
    await until(() => mesh.intents().some(({ instance, state }) => instance === vm.id && state === 'CONFIRMED'), {
      what: 'the server to run',
      timeoutMs: 20_000,
    })
    expect(twin.migrations.map(({ dest_compute: to }) => to)).toEqual(
      ['cmp2', 'cmp3'].filter((host) => host !== target),
    )
  })
})

describe('a live migration of a domain', () => {
  const ID = '11111111-2222-4333-8444-555555555555'
  let dir: string
  let store: DomainStore
  /** Host -> state of the domain there; no entry: the host is dead. */
  let states: Record<string, string>
  let onMigrate: () => number
  const asked: string[] = []
  const went: (string | undefined)[] = []
  const run = async (argv: readonly string[]) => {
    const host = /qemu\+ssh:\/\/(\w+)/.exec(argv.join(' '))?.[1] as string
    const verb = argv[4] as string
    asked.push(`${host} ${verb}`)
    const state = states[host]
    if (state === undefined) return { code: 1, stdout: '', stderr: 'error: unable to connect to server' }
    if (verb === 'domstate')
      return state === 'absent'
        ? { code: 1, stdout: '', stderr: 'error: failed to get domain' }
        : { code: 0, stdout: `${state}\n`, stderr: '' }
    if (verb === 'migrate') went.push(/\/\/(\w+)\/system$/.exec(argv.join(' '))?.[1])
    if (verb === 'migrate') return { code: onMigrate(), stdout: '', stderr: 'error: broke off' }
    if (verb === 'start') states[host] = 'running'
    if (verb === 'destroy') states[host] = 'shut off'
    if (verb === 'define' && state === 'absent') states[host] = 'shut off'
    return { code: 0, stdout: '', stderr: '' }
  }
  const driver = () =>
    new LibvirtDriver({ uri: 'qemu+ssh://{host}/system', freeMb: async () => 1_000 }, { store, run: run as never })
  const record = (): Promise<DomainRecord> => store.get(ID) as Promise<DomainRecord>
  const order = { instance: ID, source: 'h1', target: 'h2' }

  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rackward-drain-'))
    store = new DomainStore(dir)
    states = { h1: 'running', h2: 'absent', h3: 'absent' }
    asked.length = went.length = 0
    onMigrate = () => {
      states = { ...states, h1: 'absent', h2: 'running' }
      return 0
    }
    await store.put({
      uuid: ID,
      name: 'vm',
      host: 'h1',
      generation: 1,
      token: null,
      running: true,
      xml: '<domain/>',
      priority: 0,
      memoryMb: 64,
      group: null,
      unprotected: null,
    })
  })
  afterEach(() => rm(dir, { recursive: true }))

  test('waits for no restart, and a restart waits for it: a domain on its way is neither stopped nor started', async () => {
    const restart = (step: 'stop' | 'start') => driver().restart({ host: 'h1', instance: ID, step }, signal)
    expect(await restart('stop')).toEqual({ got: 'not yet' })
    expect(await restart('stop')).toEqual({ got: 'done' })
    await store.put({ ...(await record()), migratingTo: 'h2', unprotected: 'unwanted' })
    asked.length = 0
    expect([await restart('stop'), await restart('start')]).toEqual([{ got: 'not yet' }, { got: 'not yet' }])
    expect(asked).toEqual([])
    await store.put({ ...(await record()), migratingTo: null })
    expect(await restart('stop')).toEqual({ got: 'refused', why: 'unwanted' })
    expect([await restart('start'), await restart('start')]).toEqual([{ got: 'not yet' }, { got: 'done' }])
    await store.put({ ...(await record()), host: 'h2' })
    expect(await restart('start')).toMatchObject({ got: 'refused' })
    expect(asked.filter((ask) => /start|destroy/.test(ask))).toEqual(['h1 start'])
  })

  test('gives the domain to its target', async () => {
    expect(await driver().migrate(order, signal)).toMatchObject({ got: 'accepted' })
    expect(await record()).toMatchObject({ host: 'h2', migratingTo: null })
  })

  test('that breaks off leaves it where it was', async () => {
    onMigrate = () => 1
    await expect(driver().migrate(order, signal)).rejects.toMatchObject({ code: 'driver.lost' })
    onMigrate = () => {
      states = { ...states, h1: 'absent', h2: 'running' }
      return 0
    }
    // By a new leader, which chose another target: the first migration may be on its way still.
    expect(await driver().migrate({ ...order, target: 'h3' }, signal)).toMatchObject({ got: 'accepted' })
    expect(went).toEqual(['h2', 'h2'])
    expect((await record()).host).toBe('h2')
  })

  test('whose source dies after the hand-over: the domain is found at the target, and started nowhere', async () => {
    onMigrate = () => {
      states = { h2: 'running', h3: 'absent' }
      return 1
    }
    await expect(driver().migrate(order, signal)).rejects.toThrow()
    expect((await driver().locate('h1', { instances: [ID], arrived: [] }, signal)).get(ID)).toMatchObject({
      at: 'moved',
      to: 'h2',
    })
    expect(await driver().start({ ...order, target: 'h3', token: 't/1', down: ['h1'] }, signal)).toMatchObject({
      got: 'refused',
    })
    expect(asked.filter((one) => one.endsWith(' start'))).toEqual([])
  })

  test('whose source dies before it: the domain is started anew, once', async () => {
    onMigrate = () => {
      states = { h2: 'absent', h3: 'absent' }
      return 1
    }
    await expect(driver().migrate(order, signal)).rejects.toThrow()
    expect((await driver().locate('h1', { instances: [ID], arrived: [] }, signal)).get(ID)).toEqual({ at: 'source' })
    expect(await driver().start({ ...order, target: 'h3', token: 't/1', down: ['h1'] }, signal)).toMatchObject({
      got: 'accepted',
    })
    expect(states).toEqual({ h2: 'absent', h3: 'running' })
    expect(await record()).toMatchObject({ host: 'h3', migratingTo: null })
  })

  test('whose source and target die: it is started nowhere until the target is proven down as well', async () => {
    onMigrate = () => {
      states = { h3: 'absent' }
      return 1
    }
    await expect(driver().migrate(order, signal)).rejects.toThrow()
    expect((await driver().locate('h1', { instances: [ID], arrived: [] }, signal)).get(ID)).toMatchObject({
      at: 'moving',
      to: 'h2',
    })
    const anew = { ...order, target: 'h3', token: 't/1' }
    expect(await driver().start({ ...anew, down: ['h1'] }, signal)).toMatchObject({ got: 'refused', final: false })
    expect(states).toEqual({ h3: 'absent' })
    expect(await driver().start({ ...anew, down: ['h1', 'h2'] }, signal)).toMatchObject({ got: 'accepted' })
    expect(states).toEqual({ h3: 'running' })
    expect(await record()).toMatchObject({ host: 'h3', migratingTo: null })
  })
})
