/** Polling a fleet with a password per BMC, against a model of ipmipower: everybody is read, what was not asked is
 *  nobody's failure, and nodes do not decide for each other. */
import { describe, expect, test } from 'vitest'
import { BmcQueue } from '../../conductor/bmc/queue.ts'
import { Ipmipower } from '../../conductor/bmc/ipmipower.ts'
import type { IpmiInfo } from '../../conductor/bmc/controller.ts'
import { BmcRegistry } from '../../conductor/bmc/registry.ts'
import { CipherSuites } from '../../conductor/bmc/suites.ts'
import { PowerSync } from '../../conductor/node/run/power-sync.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import type { Store } from '../../conductor/store/port.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { powerModel, type PowerModel } from '../fake/ipmipower.ts'

const key = Buffer.alloc(32, 1)
const suitesOf = (onOlder?: (info: IpmiInfo) => void) =>
  new CipherSuites({ clock: systemClock, key, ...(onOlder ? { onOlder } : {}) })
const address = (i: number) => `10.0.${i >> 8}.${i & 255}`
const uuid = (i: number) => `00000000-0000-4000-8000-${String(i).padStart(12, '0')}`

/** Nodes, a BMC for each, and the product's own poller, queue and power sync between them. */
function rack(count: number, model: Partial<PowerModel> = {}, password = (i: number) => `p${i}`) {
  const passwords = new Map(Array.from({ length: count }, (_, i) => [address(i), `p${i}`]))
  const fleet = powerModel({ clock: systemClock, rttMs: 50, passwords, ...model })
  const suites = suitesOf()
  const poller = new Ipmipower({ launch: fleet.launch, clock: systemClock, suites, children: 16, perRound: 2_000 })
  const run = () => Promise.reject(new Fault('run.missing', 'no ipmitool here'))
  const bmcs = new BmcRegistry({ run, suites, fleet: poller })
  const info = (i: number) => ({ ipmi_address: address(i), ipmi_username: 'rackward', ipmi_password: password(i) })
  const nodes = Array.from({ length: count }, (_, i) =>
    newNode(
      { uuid: uuid(i), driver: 'ipmi', provisionState: 'active', powerState: 'power on', driverInfo: info(i) },
      0,
    ),
  )
  const store = {
    node: async (wanted: string) => nodes.find((node) => node.uuid === wanted),
    nodes: async (_: unknown, page: { marker?: string; limit: number }) => {
      const from = page.marker === undefined ? 0 : nodes.findIndex((node) => node.uuid === page.marker) + 1
      return nodes.slice(from, from + page.limit)
    },
  } as unknown as Store
  const dispatched: unknown[] = []
  const worker = {
    dispatch: async (_: string, event: unknown) => (dispatched.push(event), nodes[0] as NodeRecord),
  } as never
  const bmcQueue = new BmcQueue(systemClock)
  const sync = new PowerSync({
    store,
    worker,
    bmcQueue,
    bmcs,
    clock: systemClock,
    log: silentLog,
    everyMs: 0,
    lostAfter: 3,
  })
  return { fleet, poller, bmcQueue, bmcs, sync, nodes, dispatched, suites }
}

describe('a pass', () => {
  test('reads 2,000 BMCs with a password each, far within its interval, without a failure', async () => {
    const { sync, fleet, poller, dispatched } = rack(2_000)
    const pass = await sync.pass()
    expect(pass).toMatchObject({ asked: 2_000, failed: 0, notAsked: 0 })
    expect(pass.tookMs).toBeLessThan(30_000)
    expect(new Set(fleet.asked.map(({ host }) => host)).size).toBe(2_000)
    expect(fleet.children.size).toBe(16)
    expect(dispatched).toEqual([])
    poller.stop()
  }, 60_000)

  test('with one password for all needs one child and few rounds', async () => {
    const passwords = new Map(Array.from({ length: 3_000 }, (_, i) => [address(i), 'same']))
    const { sync, fleet, poller } = rack(3_000, { passwords }, () => 'same')
    expect(await sync.pass()).toMatchObject({ asked: 3_000, failed: 0 })
    expect(fleet.children.size).toBeLessThanOrEqual(6)
    poller.stop()
  }, 60_000)

  test('is not held up by BMCs that do not answer: once known to be silent they have children of their own', async () => {
    const dead = new Set(Array.from({ length: 8 }, (_, i) => address(i * 25)))
    const { sync, fleet, poller } = rack(200, { dead })
    await sync.pass()
    const before = fleet.asked.length
    const startMs = systemClock.now()
    const second = sync.pass()
    await until(() => new Set(fleet.asked.slice(before).map(({ host }) => host)).size >= 192, {
      what: 'the living to be asked',
      timeoutMs: 20_000,
      everyMs: 10,
    })
    const livingMs = systemClock.now() - startMs
    // A third one does not ask those again that still wait, and does not wait for them.
    expect((await sync.pass()).asked).toBeLessThanOrEqual(200)
    expect(await second).toMatchObject({ asked: 200, failed: 8 })
    expect(livingMs).toBeLessThan(3_000)
    poller.stop()
  }, 90_000)

  test('never asked is not failed: a BMC whose queue is taken is not counted against its node', async () => {
    const { sync, bmcs, bmcQueue, nodes, dispatched, poller, fleet } = rack(4, { rttMs: 1 })
    const target = bmcs.target(nodes[0] as NodeRecord)
    const abort = new AbortController()
    const work = () =>
      new Promise<never>((_, reject) =>
        abort.signal.addEventListener('abort', () => reject(new Fault('bmc.timeout', 'over'))),
      )
    const deploy = bmcQueue.run(target, { priority: 'deploy', timeoutMs: 60_000 }, work).catch(() => undefined)
    const pass = sync.pass()
    await until(() => fleet.asked.length === 3, { what: 'the others', timeoutMs: 20_000 })
    abort.abort()
    await deploy
    expect(await pass).toMatchObject({ asked: 4, failed: 0 })
    expect(dispatched).toEqual([])
    poller.stop()
  })
})

test('a fence does not wait behind a poll that still stands in line: that one gives way, unasked and unblamed', async () => {
  const { sync, bmcs, bmcQueue, nodes, poller, fleet, dispatched } = rack(160, { rttMs: 200 })
  const pass = sync.pass()
  await until(() => fleet.asked.length > 16, { what: 'the pass to begin', timeoutMs: 20_000, everyMs: 5 })
  const last = nodes.at(-1) as NodeRecord
  await bmcQueue.run(bmcs.target(last), { priority: 'fence', timeoutMs: 30_000 }, async () => undefined)
  // The pass is still at others: with 16 at a time it needs ten rounds.
  expect(fleet.asked.length).toBeLessThan(159)
  expect(await pass).toMatchObject({ asked: 159, failed: 0, notAsked: 1 })
  expect(fleet.asked.map(({ host }) => host)).not.toContain(address(159))
  expect(dispatched).toEqual([])
  // Who was left out comes first the next time.
  const before = fleet.asked.length
  await sync.pass()
  expect(fleet.asked.slice(before, before + 16).map(({ host }) => host)).toContain(address(159))
  poller.stop()
}, 60_000)

test('a wrong password holds up nobody who uses another one for the same BMC', async () => {
  const { bmcs, bmcQueue, nodes, poller } = rack(1, { rttMs: 1 })
  const right = nodes[0] as NodeRecord
  const wrong = { ...right, uuid: uuid(7), driverInfo: { ...right.driverInfo, ipmi_password: 'wrong' } }
  const poll = (node: NodeRecord) =>
    bmcQueue.run(bmcs.target(node), { priority: 'poll', timeoutMs: 5_000 }, (bmc, signal) => bmc.poll(signal))
  await expect(poll(wrong)).rejects.toMatchObject({ code: 'bmc.password' })
  await expect(poll(wrong)).rejects.toMatchObject({
    code: 'bmc.password',
    detail: expect.stringContaining('a moment ago') as string,
  })
  expect(await poll(right)).toBe('on')
  poller.stop()
})

describe('the cipher suite', () => {
  const info = (more: Partial<IpmiInfo> = {}): IpmiInfo => ({
    address: '10.0.0.0',
    port: 623,
    username: 'u',
    password: 'p0',
    privilege: 'ADMINISTRATOR',
    ...more,
  })

  test('is 17, and the older one only after three refusals; then it is told once and kept for that node alone', async () => {
    const older: IpmiInfo[] = []
    const suites = suitesOf((about) => older.push(about))
    const fleet = powerModel({ clock: systemClock, rttMs: 1, passwords: new Map([['10.0.0.0', 'p0']]), suites: [3] })
    const poller = new Ipmipower({ launch: fleet.launch, clock: systemClock, suites, children: 1, perRound: 10 })
    expect(await poller.power(info())).toBe('on')
    expect(await poller.power(info())).toBe('on')
    expect(fleet.asked.map(({ suite }) => suite)).toEqual([17, 17, 17, 3, 3])
    expect(older).toHaveLength(1)
    expect(suites.tries(info({ username: 'other' }))[0]).toBe(17)
    poller.stop()
  })

  test('one refusal that was forged changes nothing: the next try is the better one again', () => {
    const suites = suitesOf()
    expect(suites.tries(info())).toEqual([17, 17, 17, 3])
    suites.worked(info(), 17)
    expect(suites.tries(info())).toEqual([17])
  })

  test('what a node chose itself is used for that node, and is never learned', () => {
    const suites = suitesOf()
    suites.worked(info({ cipherSuite: 0 }), 0)
    suites.worked(info({ cipherSuite: 3 }), 3)
    suites.worked(info(), 0)
    expect(suites.tries(info({ cipherSuite: 3 }))).toEqual([3])
    expect(suites.tries(info())[0]).toBe(17)
  })

  test('the older one is forgotten after a day', () => {
    let nowMs = 0
    const suites = new CipherSuites({ clock: { now: () => nowMs }, key })
    suites.worked(info(), 3)
    expect(suites.tries(info())).toEqual([3])
    nowMs = 25 * 3_600_000
    expect(suites.tries(info())[0]).toBe(17)
  })
})
