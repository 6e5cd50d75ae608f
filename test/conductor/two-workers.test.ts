/** Two workers on one database, each with a connection of its own: whoever a request reaches, it is done, and what a
 *  node owes is performed once, by the worker that owns it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { Worker, type Performer } from '../../conductor/node/run/worker.ts'
import { ownerAlone } from '../../conductor/store/owner.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, turn, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { QUICK } from './node-step-bench.ts'

const NODES = 100
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`

let dir = ''
let stores: SqliteStore[] = []
let workers: Worker[] = []
/** Acts, by node and by the worker that performed them. */
const acts: { uuid: string; by: number }[] = []
const ownerOf = (ident: string) => Number(ident.at(-1)) % 2
const worker = (by: number) => workers[by] as Worker
/** Those that hear a doorbell. */
const started = new Set<number>()
const start = async (by: number) => {
  await workers[by]?.start()
  started.add(by)
}
/** Until it is opened, no act ends. */
let gate = Promise.resolve()
let openGate: () => void = () => undefined

const performerOf = (by: number): Performer => ({
  async perform(effect, node) {
    if (effect.do !== 'bmc-check') acts.push({ uuid: node.uuid, by })
    await gate
    return effect.do === 'bmc-check' ? { powerState: 'power off' } : undefined
  },
})

const partsOf = (store: SqliteStore) => ({
  store,
  clock: systemClock,
  monotonic: systemClock,
  log: silentLog,
  settings: QUICK,
  sightings: new Sightings(),
  tickMs: 50,
  onChange: () => undefined,
})

const workerOn = (store: SqliteStore, by: number): Worker =>
  new Worker({
    ...partsOf(store),
    performer: performerOf(by),
    owner: {
      ...ownerAlone(() => true),
      mine: (node) => ownerOf(node.uuid) === by,
      ring: (ident) => started.has(ownerOf(ident)) && void workers[ownerOf(ident)]?.wake(ident),
    },
  })

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-two-'))
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  stores = [0, 1].map(() => new SqliteStore(join(dir, 'r.db'), seal, { shared: true }))
  workers = stores.map(workerOn)
  acts.length = 0
  started.clear()
  gate = Promise.resolve()
})
afterEach(async () => {
  openGate()
  await Promise.all(workers.map((worker) => worker.stop()))
  await Promise.all(stores.map((store) => store.close()))
  await rm(dir, { recursive: true })
})

const one = async (n: number, more: Partial<NodeRecord> = {}) =>
  stores[0]?.addNode({ ...newNode({ uuid: uuid(n), driver: 'ipmi', powerState: 'power off' }, 1), ...more })
const rest = (n: number) =>
  until(async () => ((await stores[0]?.node(uuid(n)))?.workflow.pendingEffects.length === 0 ? true : undefined), {
    what: `node ${n} to rest`,
    timeoutMs: 30_000,
    everyMs: 20,
  })
const each = Array.from({ length: NODES }, (_, n) => n)

test('a request for each node at both workers at once: none is refused because the record moved, none acted on twice', async () => {
  for (const n of each) await one(n)
  for (const by of [0, 1]) await start(by)
  const answers = await Promise.allSettled(
    each.flatMap((n) => [
      worker(0).change(uuid(n), (node) => ({ ...node, extra: { ...node.extra, zero: true } })),
      worker(1).change(uuid(n), (node) => ({ ...node, extra: { ...node.extra, one: true } })),
      // One of both owns the node, and either may be asked.
      worker(n % 3 === 0 ? 0 : 1).dispatch(uuid(n), { type: 'power', target: 'power on' }),
    ]),
  )
  expect(answers.filter(({ status }) => status === 'rejected')).toEqual([])

  for (const n of each) await rest(n)
  for (const n of each)
    expect(await stores[1]?.node(uuid(n))).toMatchObject({ powerState: 'power on', extra: { zero: true, one: true } })
  expect(acts.map((act) => act.uuid).sort()).toEqual(each.map(uuid).sort())
  expect(acts.filter((act) => ownerOf(act.uuid) !== act.by)).toEqual([])
})

test('a worker that starts beside another takes up what is its own alone', async () => {
  for (const n of each) await one(n)
  gate = new Promise((resolve) => (openGate = resolve))
  await start(0)
  for (const n of each) await workers[0]?.dispatch(uuid(n), { type: 'power', target: 'power on' })
  await until(() => acts.length === NODES / 2, { what: 'the acts of the first', timeoutMs: 20_000 })

  await start(1)
  await until(() => acts.length >= NODES, { what: 'the acts of the second', timeoutMs: 20_000 })
  openGate()
  for (const n of each) await rest(n)
  expect(acts.map((act) => act.uuid).sort()).toEqual(each.map(uuid).sort())
})

test('a result is saved although somebody else changes the record all the time', async () => {
  await one(0)
  gate = new Promise((resolve) => (openGate = resolve))
  for (const by of [0, 1]) await start(by)
  await workers[0]?.dispatch(uuid(0), { type: 'power', target: 'power on' })
  await until(() => acts.length === 1, { what: 'the act', timeoutMs: 20_000 })

  let going = true
  const others = (async () => {
    for (let n = 0; going; n += 1) {
      await workers[1]?.change(uuid(0), (node) => ({ ...node, extra: { n } }))
      await turn()
    }
  })()
  openGate()
  await rest(0)
  going = false
  await others
  expect(await stores[0]?.node(uuid(0))).toMatchObject({ powerState: 'power on' })
  expect(acts).toHaveLength(1)
})

test('a deadline that one worker set is watched by the owner, which heard nothing of it', async () => {
  await one(1, { provisionState: 'available', powerState: 'power on' })
  for (const by of [0, 1]) await start(by)
  await workers[0]?.change(uuid(1), (node) => ({
    ...node,
    workflow: { ...node.workflow, deadlineMs: systemClock.now() + 100 },
  }))
  await until(async () => (await stores[0]?.node(uuid(1)))?.workflow.deadlineMs === null, {
    what: 'the deadline to be handled',
    timeoutMs: 30_000,
  })
})

test('an act that was begun ends when its node is no longer ours, and is begun again by its owner', async () => {
  await one(2)
  let held = true
  const begun: AbortSignal[] = []
  const first = new Worker({
    ...partsOf(stores[0] as SqliteStore),
    performer: {
      perform: (_, __, signal) =>
        new Promise((_resolve, reject) => {
          begun.push(signal)
          signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
        }),
    },
    owner: ownerAlone(() => held),
  })
  workers.push(first)
  await first.start()
  await first.dispatch(uuid(2), { type: 'power', target: 'power on' })
  await until(() => begun.length === 1, { what: 'the act', timeoutMs: 20_000 })
  const pending = (await stores[0]?.node(uuid(2)))?.workflow.pendingEffects

  held = false
  await until(() => begun[0]?.aborted, { what: 'the end of the act', timeoutMs: 20_000 })
  await first.wake(uuid(2))
  expect(begun).toHaveLength(1)

  held = true
  await until(() => first.wake(uuid(2)).then(() => begun.length === 2), { what: 'the act again', timeoutMs: 20_000 })
  expect((await stores[0]?.node(uuid(2)))?.workflow).toMatchObject({ pendingEffects: pending, tries: 0 })
})

test('what was abandoned while it waited for its next try is not tried again', async () => {
  await one(4)
  const retryMs = 12_345
  const tried: unknown[] = []
  const retry = new Promise<void>((resolve) => (openGate = resolve))
  let waits = false
  const first = new Worker({
    ...partsOf(stores[0] as SqliteStore),
    clock: {
      ...systemClock,
      sleep: (ms, signal) => {
        if (ms <= 1_000) return systemClock.sleep(ms, signal)
        waits = true
        return retry
      },
    },
    settings: { ...QUICK, effectRetryMs: retryMs },
    performer: {
      perform: async (effect) => {
        if (effect.do === 'power') tried.push(effect.to)
        if (tried.length === 1) throw new Fault('bmc.unreachable', 'no answer')
        return undefined
      },
    },
    owner: ownerAlone(() => true),
  })
  workers.push(first)
  await first.start()
  await first.dispatch(uuid(4), { type: 'power', target: 'power on' })
  await until(() => waits, { what: 'the pause before the next try', timeoutMs: 20_000 })
  // By another conductor.
  await workers[1]?.dispatch(uuid(4), { type: 'break-lock', why: 'asked for' })
  await workers[1]?.dispatch(uuid(4), { type: 'power', target: 'power off' })
  openGate()
  await rest(4)
  expect(tried).toEqual(['power on', 'power off'])
})

test('who watches the journal hears of events that another process added', async () => {
  const heard: number[] = []
  const stop = stores[0]?.journal.watch((upToSeq) => heard.push(upToSeq))
  await stores[1]?.journal.add({ atMs: 1, nodeUuid: null, kind: 'trouble', detail: {} })
  const last = await stores[1]?.journal.lastSeq()
  await until(() => heard.includes(last as number), { what: 'the doorbell', timeoutMs: 20_000 })
  stop?.()
})
