/** A firmware update as work of a BMC, against a BMC that is in the test: what is sent and what is kept at each
 *  look. */
import { expect, test } from 'vitest'
import { FakeBmc } from '../../conductor/bmc/fake.ts'
import type { FirmwareSeen } from '../../conductor/bmc/parts/updates.ts'
import type { BmcTask, TaskSeen } from '../../conductor/bmc/task.ts'
import type { FirmwareFiles } from '../../conductor/firmware/files.ts'
import { newNode } from '../../conductor/node/record.ts'
import type { WorkAt } from '../../conductor/node/run/bmc-work.ts'
import { firmwareWorks } from '../../conductor/node/run/works/firmware.ts'
import { Fault, isFault } from '../../kit/fault.ts'

const ORIGIN = 'https://192.0.2.9'
const seenAs = (component: string, version: string | null): FirmwareSeen => ({
  component,
  version,
  vendor: null,
  model: null,
  serialNumber: null,
  target: `/${component}`,
})

/** What the BMC shows is changed by the test. */
function bench(items: readonly string[]) {
  const shown = {
    inventory: items.map((item) => seenAs(item, '1')) as readonly FirmwareSeen[],
    task: null as TaskSeen | null | Fault,
    key: null as string | null,
    orders: [] as string[],
    /** Until when, and after how many orders. */
    announced: [] as [untilMs: number, orders: number][],
    journal: [] as unknown[],
  }
  const updates = {
    inventory: async () => {
      if (shown.key !== null && shown.key !== 'trusted') throw new Fault('bmc.identity', 'another key')
      return shown.inventory
    },
    identity: async () => ({ uuid: 'u', serialNumber: 's' }),
    update: async ({ target }: { target: string | null }) => String(shown.orders.push(String(target))),
    reconnect: async () => {
      const key = shown.key
      shown.key = 'trusted'
      return key
    },
  }
  const tasks = {
    task: async () => {
      if (shown.task instanceof Fault) throw shown.task
      return shown.task
    },
    find: async () => null,
  }
  const bmc = Object.assign(new FakeBmc(), { updates, tasks })
  const work = firmwareWorks({
    store: {
      hardware: async () => undefined,
      putHardware: async () => undefined,
      journal: { add: async (event: unknown) => void shown.journal.push(event) },
    } as never,
    files: {
      fetch: async () => ({ id: 'f', name: 'f.bin' }),
      offer: () => 'http://192.0.2.1/f.bin',
      read: async () => ({ name: 'f.bin', sizeBytes: 1, open: () => undefined }),
    } as unknown as FirmwareFiles,
    announce: async (_, update) => void shown.announced.push([update.untilMs, shown.orders.length]),
    timeoutMs: 60_000,
    bmcTimeoutMs: 120_000,
  })['firmware.update']
  if (!work) throw new Error('there is no such work')
  const settings = items.map((component) => ({ component, url: 'http://192.0.2.2/f.bin', checksum: 'sha256:1' }))
  const node = newNode({ uuid: 'u', driver: 'redfish', bmc: { origin: ORIGIN, tlsPin: 'old' } }, 0)
  const at = (nowMs: number): WorkAt => ({
    node,
    step: { interface: 'firmware', step: 'update', args: { settings }, priority: 0, by: 'bmc' },
    nowMs,
    signal: AbortSignal.timeout(30_000),
    command: (act) => act(bmc, AbortSignal.timeout(30_000)),
  })
  return { shown, work, at }
}
type Bench = ReturnType<typeof bench>

async function begun({ work, at }: Bench): Promise<BmcTask> {
  const { task } = await work.begin(await work.prepare(at(0)), at(0))
  expect(task.stage).toBe('asked')
  return task
}

test('a component that the BMC does not show for a while after its own update is waited for, and ordered then', async () => {
  const own = bench(['bmc', 'bios'])
  let task = await begun(own)
  own.shown.inventory = [seenAs('bmc', '2')]
  ;({ task } = await own.work.look(task, own.at(1_000)))
  const early = await own.work.look(task, own.at(2_000)).catch((error: unknown) => error)
  expect(isFault(early, 'bmc.unready') && [early.retry, early.detail]).toEqual([
    true,
    expect.stringContaining('no version of bios'),
  ])
  own.shown.inventory = [seenAs('bmc', '2'), seenAs('bios', '1')]
  ;({ task } = await own.work.look(task, own.at(3_000)))
  expect([own.shown.orders, task.stage, task.beganAtMs]).toEqual([['/bmc', '/bios'], 'asked', 3_000])
  // Nobody may switch the BMC off meanwhile, which is known before the order is sent; a BIOS needs no such care.
  expect(own.shown.announced).toEqual([[120_000, 0]])
})

test('the new key of a BMC is handed on before anything else is concluded from it, and the next look is at once', async () => {
  const own = bench(['bmc'])
  const task = await begun(own)
  own.shown.key = 'new'
  own.shown.inventory = [seenAs('bmc', '2')]
  const looked = await own.work.look(task, own.at(9_000))
  const known = { ...task, want: { ...(task.want as object), newKeys: 1 } }
  expect(looked).toEqual({ task: known, patch: { bmc: { origin: ORIGIN, tlsPin: 'new' } }, lookAtMs: 9_000 })
  expect(own.shown.journal).toMatchObject([{ kind: 'bmc-key', detail: { pin: 'new' } }])
})

test('a task that the BMC refuses to show ends nothing, and one that cannot be read now is no forgotten one', async () => {
  const own = bench(['bios'])
  const task = await begun(own)
  own.shown.task = new Fault('bmc.refused', 'no such task for you')
  expect(await own.work.look(task, own.at(1_000))).toMatchObject({ task: { stage: 'asked' } })
  own.shown.task = new Fault('bmc.unready', 'later')
  const unread = await own.work.look(task, own.at(40_000)).catch((error: unknown) => error)
  expect(isFault(unread, 'bmc.unready')).toBe(true)
})
