/** Firmware from the API to its read-back: the file is allowed and checked, the BMC fetches it from us, and the version
 *  proves the end. */
import { expect, test } from 'vitest'
import type { Bmc } from '../../conductor/bmc/controller.ts'
import type { BmcTask } from '../../conductor/bmc/task.ts'
import type { PlannedStep } from '../../conductor/node/policy/steps.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { WorkAt } from '../../conductor/node/run/bmc-work.ts'
import { firmwareWorks, type FirmwareWorkParts } from '../../conductor/node/run/works/firmware.ts'
import { Fault } from '../../kit/fault.ts'
import type { FaultName } from './faults.ts'
import { firmwareBench } from './firmware-rig.ts'
import type { Rig } from './rig.ts'

const { open, update } = firmwareBench()
const BIOS = { component: 'bios', file: '/bios.bin?token=vendor-secret' }
const BMC = { component: 'bmc', file: '/bmc.bin' }

test.concurrent('a BIOS is installed at one restart, from our own address, and its version is read back', async () => {
  const { bmc, cleaned, api } = await open()
  expect((await api('GET', '/v1/nodes/r1/firmware')).body.firmware).toMatchObject([
    { component: 'bios', initial_version: '2.1.0', current_version: '2.1.0', last_version_flashed: null },
    { component: 'bmc', current_version: '1.0.0' },
  ])
  expect(await cleaned(update(BIOS))).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect([bmc.families.updates.fetched, bmc.machine.starts.length]).toEqual([['BIOS 2.2.0'], 1])
  const [bios] = (await api('GET', '/v1/nodes/r1/firmware')).body.firmware as unknown[]
  expect(bios).toMatchObject({ initial_version: '2.1.0', current_version: '2.2.0', last_version_flashed: '2.2.0' })
  // The BMC learns nothing of the vendor's URL.
  const orders = bmc.heard.filter(({ path }) => path.endsWith('SimpleUpdate'))
  expect(orders).toHaveLength(1)
  expect(JSON.stringify(orders)).toMatch(/\/firmware\/sha256-[0-9a-f]{64}\/bios\.bin/)
  expect(JSON.stringify(orders)).not.toMatch(/vendor-secret|token/)
})

test.concurrent(
  'a BMC that restarts in the middle is waited for, its new key is kept for the known system, and no poll counts it as lost',
  async () => {
    const { bmc, cleaned, api } = await open([], { bmc: { restartMs: 2_500 } })
    const pinOf = async () =>
      (await api('GET', '/v1/nodes/r1')).body.driver_internal_info.rackward.bmc_tls_pin as string
    const before = await pinOf()
    bmc.on('bmc-restart', () => void bmc.newKey())
    expect(await cleaned(update(BMC))).toMatchObject({
      provision_state: 'manageable',
      last_error: null,
      maintenance: false,
      fault: null,
    })
    expect([bmc.restarts, bmc.families.managers.firmwareVersion, bmc.machine.starts.length]).toEqual([1, '1.1.0', 0])
    expect(await pinOf()).not.toBe(before)
    const { events } = (await api('GET', '/rackward/v1/events?kinds=bmc-key')).body as { events: { detail: object }[] }
    expect(events.at(-1)?.detail).toMatchObject({ pin: await pinOf(), because: expect.stringContaining('updated') })
  },
)

/** The cause that explain names. */
const causeOf = async ({ api }: Pick<Rig, 'api'>) =>
  ((await api('GET', '/rackward/v1/nodes/r1/explain')).body as { causes: { cause: string }[] }).causes[0]?.cause
const NOTHING = 'an update says that it is complete and installs nothing'

test.concurrent(
  'an update that is complete and changed nothing, and a task that vanished, are faults of their own',
  async () => {
    const [unchanged, gone] = await Promise.all([
      open([NOTHING], { timeoutSeconds: 2 }),
      open([NOTHING, 'tasks are gone at once'], { timeoutSeconds: 2 }),
    ])
    await Promise.all([unchanged.cleaned(update(BIOS)), gone.cleaned(update(BIOS))])
    expect(await causeOf(unchanged)).toMatch(/says that its work is complete, and nothing has changed/)
    expect(await causeOf(gone)).toMatch(/has forgotten the work/)
  },
)

test.concurrent(
  'a BMC that restarts in the middle and knows nothing of the update afterwards is a fault of its own',
  async () => {
    const { bmc, own, cleaned } = await open([NOTHING, 'tasks are gone at once'], {
      timeoutSeconds: 8,
      bmc: { restartMs: 3_000 },
    })
    const ended = cleaned(update(BIOS))
    await own.until('the file', async () => bmc.families.updates.fetched.length === 1)
    void bmc.restart()
    expect((await ended).provision_state).toBe('clean failed')
    expect(await causeOf(own)).toMatch(/restarted in the middle of its work/)
  },
)

test.concurrent('a BMC that comes back with another key and another system behind it is a fault', async () => {
  const { bmc, cleaned } = await open([], { bmc: { restartMs: 500 } })
  bmc.on('bmc-restart', () => {
    void bmc.newKey()
    bmc.machine.identity = { ...bmc.machine.identity, uuid: '99999999-3435-4637-b839-414243444546' }
  })
  expect(await cleaned(update(BMC))).toMatchObject({
    provision_state: 'clean failed',
    last_error: expect.stringMatching(/another key, and the system behind it is 99999999/),
  })
})

test('a BMC that has another key at each look does not keep its update alive for ever', async () => {
  const events: string[] = []
  let keys = 0
  const bmc = {
    updates: {
      inventory: () =>
        keys % 2 === 0 ? Promise.reject(new Fault('bmc.identity', 'another key')) : Promise.resolve([]),
      reconnect: () => Promise.resolve(`key ${(keys += 1)}`),
    },
  } as unknown as Bmc
  const { signal } = new AbortController()
  const { 'firmware.update': work } = firmwareWorks({
    store: { journal: { add: async ({ kind }: { kind: string }) => void events.push(kind) } },
    files: { offer: () => undefined },
    announce: async () => undefined,
    timeoutMs: 1,
    bmcTimeoutMs: 1,
  } as unknown as FirmwareWorkParts)
  const node = newNode({ uuid: 'u', driver: 'redfish', bmc: { origin: 'https://192.0.2.1', tlsPin: 'key 0' } }, 0)
  const step = { interface: 'firmware', step: 'update', args: {}, by: 'bmc' } as unknown as PlannedStep
  const at: WorkAt = { node, step, signal, nowMs: 0, command: (act) => act(bmc, signal) }
  const look = async (task: BmcTask): Promise<unknown> => {
    keys += keys % 2
    const looked = await work?.look(task, at)
    expect(looked?.patch?.bmc?.tlsPin).toBe(`key ${keys}`)
    return events.length > 50 ? 'no end' : look(looked?.task as BmcTask)
  }
  const items = [{ component: 'bmc', id: 'sha256-x', name: 'bmc.bin', before: '1.0.0' }]
  const want = { items, index: 0, restarted: false, proven: 0, goOnAtMs: null }
  const seen = { percent: null, words: null }
  const asked = { what: 'firmware', uri: null, before: {}, want, stage: 'asked', seen, hush: null } as const
  await expect(look({ ...asked, beganAtMs: 0, deadlineMs: 1, lookAtMs: 0 })).rejects.toMatchObject({
    code: 'bmc.identity',
  })
  expect(events).toHaveLength(8)
})

test.concurrent(
  '"wait" is time between one component and the next, and a conductor that is restarted meanwhile keeps to it',
  async () => {
    const { bmc, own } = await open()
    // The BMC shows no network adapter while the server is off.
    await bmc.machine.start()
    await own.clean(update({ ...BIOS, wait: 3 }, { component: 'nic:NIC-0001', file: '/nic.bin' }))
    const words = async () => JSON.stringify((await own.api('GET', '/rackward/v1/nodes/r1/explain')).body)
    const goesOnAtMs = await own.until('the pause', async () => {
      const said = /bios: installed; goes on at ([^,]+),/.exec(await words())?.[1]
      return said !== undefined && Date.parse(said)
    })
    const orders = () => bmc.heard.filter(({ path }) => path.endsWith('SimpleUpdate')).length
    expect(orders()).toBe(1)
    await own.stopConductor()
    await own.start()
    await own.until('the second order', async () => orders() === 2)
    expect(Date.now()).toBeGreaterThanOrEqual(goesOnAtMs)
    // The second component has a time of its own.
    await own.until('its record', async () => {
      const { bmc_task: task } = ((await own.node()).driver_internal_info as { rackward: any }).rackward
      return task && Date.parse(task.began_at) >= goesOnAtMs
    })
    expect(await own.becomes('manageable')).toMatchObject({ last_error: null })
    expect(bmc.families.updates.versions.NIC).toBe('20.6.0')
  },
)

const WELL = 'well'
const OUTCOMES: readonly (readonly [fault: FaultName, end: typeof WELL | RegExp, starts: number])[] = [
  ['tasks are gone at once', WELL, 1],
  ['an update says that it is complete and installs nothing', /bios is at 2\.1\.0 still.*server reboot pending/, 1],
  ['updates need a licence', /No licence for out-of-band updates/, 0],
  ['an update takes no targets', WELL, 1],
]
test.concurrent.each(OUTCOMES)(
  '%s: the wanted end, or a fault of its own, and at most one restart',
  async (fault, end, starts) => {
    // A BMC without tasks is believed to wait for a restart after half of the time.
    const { bmc, cleaned } = await open([fault], { timeoutSeconds: end === WELL ? 20 : 2 })
    const node = await cleaned(update(BIOS))
    if (end === WELL) expect(node).toMatchObject({ provision_state: 'manageable', last_error: null })
    else expect(node).toMatchObject({ provision_state: 'clean failed', last_error: expect.stringMatching(end) })
    expect(bmc.machine.starts).toHaveLength(starts)
  },
)

test.concurrent('an adapter is found again by its serial number', async () => {
  const { bmc, cleaned, own } = await open(['the ids of network adapters change at each start'])
  await bmc.machine.start()
  const nic = { component: 'nic:NIC-0001', file: '/nic.bin' }
  expect(await cleaned(update(nic))).toMatchObject({ provision_state: 'manageable', last_error: null })
  expect(bmc.families.updates.versions.NIC).toBe('20.6.0')
  const { firmware } = (await own.api('GET', '/v1/nodes/r1/firmware')).body as { firmware: { component: string }[] }
  expect(firmware.find(({ component }) => component === 'nic:NIC-0001')).toMatchObject({
    last_version_flashed: '20.6.0',
  })
})

test.concurrent(
  'a file that is not the one that was checked, a URL that is not allowed, and one that leads elsewhere reach no BMC',
  async () => {
    const { bmc, cleaned, api } = await open()
    const bad = async (setting: Parameters<typeof update>[0]) => {
      const node = await cleaned(update(setting))
      await api('PUT', '/v1/nodes/r1/states/provision', { target: 'manage' })
      return [node.provision_state, node.last_error]
    }
    const other = `sha256:${'0'.repeat(64)}`
    const failed = (why: RegExp) => ['clean failed', expect.stringMatching(why)]
    expect(await bad({ ...BIOS, checksum: other })).toEqual(failed(/another SHA-256/))
    expect(await bad({ ...BIOS, file: '/moved.bin', checksum: other })).toEqual(failed(/redirects/))
    const elsewhere = update(BIOS)
    const [setting] = elsewhere[0]?.args.settings ?? []
    if (setting) setting.url = 'http://user:pass@198.51.100.1/x.bin'
    const node = await cleaned(elsewhere)
    expect([node.provision_state, node.last_error]).toEqual(failed(/user or a password/))
    expect(bmc.heard.filter(({ path }) => path.endsWith('SimpleUpdate'))).toEqual([])
  },
)

test.concurrent('an update under way is not aborted', async () => {
  const { bmc, own } = await open()
  let release: (done?: unknown) => void = () => undefined
  bmc.families.updates.held = new Promise((resolve) => (release = resolve))
  await own.clean(update(BIOS))
  await own.until('the wait', async () => (await own.node()).provision_state === 'clean wait')
  const abort = () => own.api('PUT', '/v1/nodes/r1/states/provision', { target: 'abort' })
  let answer = await abort()
  // While a look is taken, the node is locked.
  await own.until('no look to be taken', async () => answer.status !== 409 || (answer = await abort()).status !== 409)
  expect([answer.status, JSON.stringify(answer.body)]).toEqual([400, expect.stringContaining('cannot be aborted')])
  release()
  await own.becomes('manageable')
})
