/** What is done at a BMC stands in the record before the BMC hears of it; a fence goes on also where nothing can be
 *  recorded. */
import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest'
import type { BmcTask } from '../../conductor/bmc/task.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import type { EventRecord, Store } from '../../conductor/store/port.ts'
import { until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { call as plain } from './client.ts'
import { storeWith } from './store-with.ts'

let dir = ''
let own: Conductor
let store: Store
let node = ''
let power = 'on'
let full = false
/** Records are not written before it ends. */
let slow: Promise<void> | undefined
let waiting = 0
/** What ipmitool was told, each with the events that stood in the database at that moment. */
let records: { words: string; events: EventRecord[] }[] = []

const ipmitool: Run = async (argv) => {
  const words = argv.slice(argv.lastIndexOf('-C') + 2).join(' ')
  records.push({ words, events: await store.journal.after(0, { nodeUuid: node }, 1000) })
  if (words === 'power off') power = 'off'
  return { code: 0, stdout: words === 'power status' ? `Chassis Power is ${power}\n` : '', stderr: '' }
}

/** A disk that is full when the test says so. */
const onDisk = (real: Store): Store => {
  const refuse = () => Promise.reject(new Fault('store.broken', 'the disk is full'))
  store = real
  return new Proxy(real, {
    get: (target, key) => {
      if (full && (key === 'putNode' || key === 'addNode')) return refuse
      if (slow && key === 'putNode')
        return async (...record: Parameters<Store['putNode']>) => {
          waiting += 1
          await slow
          return target.putNode(...record)
        }
      if (full && key === 'journal') return { ...target.journal, add: refuse }
      const value = Reflect.get(target, key) as unknown
      return typeof value === 'function' ? (value.bind(target) as unknown) : value
    },
  })
}

const call = (method: string, path: string, body?: unknown) =>
  plain(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, own.addresses[0] as string)
const kinds = (events: readonly EventRecord[] = []) => events.map(({ kind }) => kind)
const during = (words: string) => records.find((command) => command.words === words)?.events

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-fence-record-'))
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
    powerSync: { everySeconds: 0 },
  })
  own = await startConductor(config, { log: silentLog, run: ipmitool, fleet: null, openStore: storeWith(onDisk) })
  const driver_info = { ipmi_address: '127.0.0.9', ipmi_username: 'u', ipmi_password: 'p' }
  const made = await call('POST', '/v1/nodes', { driver: 'ipmi', driver_info })
  node = String(made.body.uuid)
  const record = (await store.node(node))!
  await store.putNode({ ...record, provisionState: 'active', powerState: 'power on' })
})
beforeEach(() => {
  records = []
  full = false
})
afterAll(async () => {
  await own?.stop()
  await rm(dir, { recursive: true })
})

test('a fence: who asked and the power event are there before OFF, and the poll afterwards calls it asked for', async () => {
  expect((await call('POST', `/rackward/v1/nodes/${node}/fence`, { act: 'off' })).status).toBe(200)
  const before = during('power off')
  expect(kinds(before)).toEqual(expect.arrayContaining(['act', 'power']))
  expect(before?.findLast(({ kind }) => kind === 'power')?.detail).toMatchObject({
    from: 'power on',
    to: 'power off',
    asked: true,
    why: 'fence',
  })
  expect(before?.findLast(({ kind }) => kind === 'act')?.detail).toMatchObject({
    path: `/rackward/v1/nodes/${node}/fence`,
  })
  expect(await store.node(node)).toMatchObject({ targetPowerState: 'power off' })
  await own.powerSync.pass()
  await until(async () => (await store.node(node))?.powerState === 'power off', { what: 'the poll', timeoutMs: 20_000 })
  expect(await store.node(node)).toMatchObject({ targetPowerState: null })
  const all = await store.journal.after(0, { nodeUuid: node, kinds: ['power'] }, 100)
  expect(all.filter(({ detail }) => detail.asked !== true)).toEqual([])
})

test.each([
  [
    'the boot device',
    'PUT',
    'management/boot_device',
    { boot_device: 'pxe', persistent: false },
    'raw 0x00 0x08 0x03 0x08',
    { what: 'boot device', device: 'pxe' },
  ],
  ['a diagnostic interrupt', 'PUT', 'management/inject_nmi', {}, 'power diag', { what: 'diagnostic interrupt' }],
])('%s: who asked and what for are there before the BMC hears of it', async (_, method, path, body, words, detail) => {
  expect((await call(method, `/v1/nodes/${node}/${path}`, body)).status).toBeLessThan(300)
  const before = during(words)
  expect(before?.findLast(({ kind }) => kind === 'bmc-act')?.detail).toMatchObject(detail)
  expect(before?.findLast(({ kind }) => kind === 'act')?.detail).toMatchObject({ path: `/v1/nodes/${node}/${path}` })
})

test('a host whose BMC installs its own firmware cannot be fenced, and the BMC hears nothing', async () => {
  const record = (await store.node(node))!
  const bmcTask: BmcTask = {
    what: 'firmware',
    uri: null,
    before: null,
    want: null,
    stage: 'asked',
    beganAtMs: 0,
    lookAtMs: 0,
    deadlineMs: 60_000,
    seen: { percent: null, words: null },
    hush: 'the BMC installs new firmware',
  }
  const updating = await store.putNode({ ...record, workflow: { ...record.workflow, bmcTask } })
  const answer = await call('POST', `/rackward/v1/nodes/${node}/fence`, { act: 'off' })
  expect([answer.status, JSON.stringify(answer.body)]).toEqual([
    503,
    expect.stringContaining('cannot be fenced: the BMC installs new firmware, until 1970-01-01T00:01:00'),
  ])
  expect(records).toEqual([])
  await store.putNode({ ...updating, workflow: record.workflow })
})

test('a full disk stops what can wait, and no fence', async () => {
  power = 'on'
  full = true
  expect((await call('PUT', `/v1/nodes/${node}/management/inject_nmi`, {})).status).toBeGreaterThanOrEqual(500)
  expect(during('power diag')).toBeUndefined()
  expect((await call('POST', `/rackward/v1/nodes/${node}/fence`, { act: 'off' })).status).toBe(200)
  expect(power).toBe('off')
})

/** `start` while no record can be written, which then goes on. */
async function whileSlow(start: () => Promise<void>): Promise<void> {
  power = 'on'
  waiting = 0
  const sinceMs = Date.now()
  let goOn = () => {}
  slow = new Promise<void>((resolve) => (goOn = resolve))
  try {
    await start()
  } finally {
    slow = undefined
    goOn()
  }
  await until(async () => ((await store.node(node))?.lastFault?.atMs ?? 0) >= sinceMs, {
    what: 'the end of the fence',
    timeoutMs: 20_000,
  })
  expect(during('power off')).toBeUndefined()
}

test('the time of a fence runs while its record is written: nothing is sent after it', () =>
  whileSlow(async () => {
    const answer = await call('POST', `/rackward/v1/nodes/${node}/fence`, { act: 'off', timeout_ms: 300 })
    expect(answer.status).toBeGreaterThanOrEqual(500)
    expect(during('power off')).toBeUndefined()
  }))

test('a fence whose arbiter gave up is not sent', () =>
  whileSlow(async () => {
    const asked = request(`${own.addresses[0]}/rackward/v1/nodes/${node}/fence`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
    })
    asked.on('error', () => undefined)
    const closed = new Promise((resolve) => asked.once('close', resolve))
    asked.end(JSON.stringify({ act: 'off', timeout_ms: 30_000 }))
    await until(() => waiting > 0, { what: 'the record of the fence', timeoutMs: 20_000, everyMs: 5 })
    asked.destroy()
    await closed
    // Answered after the server has seen that end.
    for (let n = 0; n < 3; n += 1) expect((await call('GET', '/healthz')).status).toBe(200)
  }))
