/** The queue of admission over a real store and a real worker: hundreds of nodes, limits that hold at every moment, a
 *  conductor that dies in the middle, two that share the nodes. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { AdmissionQueue, type AdmissionConfig } from '../../conductor/admission/queue.ts'
import { PlaceEvents } from '../../conductor/admission/place-events.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { inspectPlan } from '../../conductor/node/policy/steps.ts'
import { queueText } from '../../conductor/node/query/explain-queue.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { Worker } from '../../conductor/node/run/worker.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { QUICK } from './node-step-bench.ts'

const LIMIT = 6
const fixed = (start: number) => ({ least: start, start, most: start })
const CONFIG: AdmissionConfig = { boots: fixed(LIMIT), writes: fixed(LIMIT), perRack: 2, perGroup: null }
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const BOOTS = { type: 'verb', verb: 'inspect', warm: false, plan: inspectPlan } as const

let dir = ''
let store: SqliteStore
const living: { stop(): Promise<void> }[] = []
/** In the order in which their power was switched on. */
const began: string[] = []
const booting = new Set<string>()
let most = 0

const open = () => new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom), { shared: true })
beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-admission-'))
  store = open()
  began.length = 0
  booting.clear()
  most = 0
})
afterEach(async () => {
  await Promise.all(living.splice(0).map((one) => one.stop()))
  await store.close()
  await rm(dir, { recursive: true })
})

/** A conductor, as far as nodes go. Its performer counts who boots at the same time. */
async function conductor(on = store, onDuty = () => true) {
  const sightings = new Sightings()
  const listeners: ((node: NodeRecord) => void)[] = []
  const worker = new Worker({
    store: on,
    clock: systemClock,
    monotonic: systemClock,
    log: silentLog,
    settings: { ...QUICK, admission: true },
    sightings,
    tickMs: 50,
    onChange: (node) => listeners.forEach((hear) => hear(node)),
    performer: {
      async perform(effect, node) {
        if (effect.do === 'power' && effect.to === 'power on') {
          began.push(node.uuid)
          booting.add(node.uuid)
          most = Math.max(most, booting.size)
        }
        return undefined
      },
    },
  })
  const queue = new AdmissionQueue({
    store: on,
    sightings,
    events: new PlaceEvents({ write: (events) => on.journal.addAll(events), log: silentLog }),
    dispatch: (ident, event) => worker.dispatch(ident, event),
    onDuty,
    config: CONFIG,
    clock: systemClock,
    log: silentLog,
  })
  listeners.push((node) => queue.changed(node))
  await worker.start()
  queue.start()
  const stop = async () => {
    await queue.stop()
    await worker.stop()
  }
  living.push({ stop })
  return { worker, queue, sightings, stop, hear: (node: NodeRecord) => queue.changed(node) }
}
type Conductor = Awaited<ReturnType<typeof conductor>>

async function enrol(count: number, more: (n: number) => Partial<NodeRecord> = () => ({})) {
  for (let n = 0; n < count; n += 1)
    await store.addNode({
      ...newNode({ uuid: uuid(n), driver: 'ipmi', provisionState: 'manageable', powerState: 'power off' }, 1),
      extra: { rackward: { rack: `r${n % 10}` } },
      ...more(n),
    })
}

/** The agent of a server that has booted says hello. */
async function hello({ worker }: Conductor, ident: string) {
  booting.delete(ident)
  const { generation } = (await store.node(ident))!.workflow
  const agent = { sessionHash: ident, generation, tokenMs: 1, helloAtMs: systemClock.now() }
  await worker.dispatch(ident, { type: 'hello', agent })
}

const waits = async (ident: string) => (await store.node(ident))?.provisionState === 'inspect wait'
/** Servers that have booted say hello until `count` have begun. */
async function run(at: Conductor, count: number) {
  await until(
    async () => {
      for (const ident of booting) if (await waits(ident)) await hello(at, ident)
      return began.length >= count
    },
    { what: `${count} servers to begin`, timeoutMs: 60_000, everyMs: 5 },
  )
}

test('two hundred servers at once: never more than the limits, in all and of a rack; each begins once', async () => {
  const at = await conductor()
  await enrol(200)
  await Promise.all(Array.from({ length: 200 }, (_, n) => at.worker.dispatch(uuid(n), BOOTS)))
  await until(() => booting.size === LIMIT, { what: 'the first ones', timeoutMs: 20_000 })
  const held = at.queue.state()
  expect(held.running.boots).toBe(LIMIT)
  const last = held.waiting.at(-1)!
  expect(last).toMatchObject({ place: 194, of: 194 })
  const { provisionState, lastError, workflow } = (await store.node(last.uuid))!
  // Clients of Ironic see an order that goes on, and no error; no time runs for it.
  expect({ provisionState, lastError, deadlineMs: workflow.deadlineMs, usual: workflow.usual ?? null }).toEqual({
    provisionState: 'inspecting',
    lastError: null,
    deadlineMs: null,
    usual: null,
  })
  expect(queueText(at.sightings.look(last.uuid).queue)).toBe(
    'its turn: place 194 of 194; there are 6 servers that boot the ramdisk',
  )
  await run(at, 200)
  expect(most).toBe(LIMIT)
  expect(new Set(began).size).toBe(200)
  expect(at.queue.state().waiting).toEqual([])
  const told = (await store.journal.ofNode(last.uuid, 100, { kinds: ['queue'] })).map(({ detail }) =>
    Number(detail.place),
  )
  expect(told.at(-1)).toBe(told.toSorted((a, b) => b - a)[0])
  // Newest first: each is at most half of the one before.
  for (const [i, place] of told.slice(0, -1).entries()) expect(place).toBeLessThanOrEqual((told[i + 1] ?? 0) / 2)
  expect(told.length).toBeGreaterThan(2)
}, 120_000)

test('a node that is in maintenance stays in the queue, says so, and begins when maintenance ends', async () => {
  const at = await conductor()
  await enrol(LIMIT + 2, () => ({ extra: {} }))
  for (let n = 0; n < LIMIT; n += 1) await at.worker.dispatch(uuid(n), BOOTS)
  await until(() => booting.size === LIMIT, { what: 'the first ones', timeoutMs: 20_000 })
  const [held, next] = [uuid(LIMIT), uuid(LIMIT + 1)]
  await at.worker.dispatch(held, BOOTS)
  const keep = async (maintenance: boolean) => {
    const now = (await store.node(held))!
    at.hear(await store.putNode({ ...now, maintenance, maintenanceReason: maintenance ? 'a fan' : null }))
  }
  await keep(true)
  await at.worker.dispatch(next, BOOTS)
  await run(at, LIMIT + 1)
  await until(() => began.includes(next), { what: 'the node behind it', timeoutMs: 20_000 })
  expect(began).not.toContain(held)
  expect(queueText(at.sightings.look(held).queue)).toBe('its turn: place 1 of 1; the node is in maintenance: a fan')
  await keep(false)
  await until(() => began.includes(held), { what: 'its turn', timeoutMs: 20_000 })
}, 60_000)

test('priority goes first, and what waits is in the store: a conductor that dies and starts again goes on', async () => {
  const first = await conductor()
  await enrol(40, (n) => ({ extra: {}, ...(n >= 30 ? { instanceInfo: { priority: 5 } } : {}) }))
  for (let n = 0; n < 30; n += 1) await first.worker.dispatch(uuid(n), BOOTS)
  await until(() => booting.size === LIMIT, { what: 'the first ones', timeoutMs: 20_000 })
  for (let n = 30; n < 40; n += 1) await first.worker.dispatch(uuid(n), BOOTS)
  const before = [...began]
  await first.stop()
  const second = await conductor()
  await run(second, 40)
  expect(most).toBe(LIMIT)
  expect(new Set(began).size).toBe(40)
  // What was under way when it died is done again, and is no new beginning.
  const later = began.filter((ident) => !before.includes(ident))
  expect(later.slice(0, 10).toSorted()).toEqual(Array.from({ length: 10 }, (_, i) => uuid(30 + i)))
}, 60_000)

test('of two conductors one admits; a node that is deleted in the queue is forgotten', async () => {
  const other = open()
  living.push({ stop: () => other.close() })
  const watcher = await conductor(other, () => false)
  await enrol(12, () => ({ extra: {} }))
  await Promise.all(Array.from({ length: 12 }, (_, n) => watcher.worker.dispatch(uuid(n), BOOTS)))
  await until(() => watcher.queue.state().waiting.length > 0, { what: 'places', timeoutMs: 20_000 })
  expect(began).toEqual([])
  const admits = await conductor()
  await until(() => began.length >= LIMIT, { what: 'admission by the other one', timeoutMs: 20_000 })
  const [held] = admits.queue.state().waiting
  await admits.worker.breakLock(held!.uuid, 'nobody wants it')
  expect(admits.queue.state().waiting.some(({ uuid: ident }) => ident === held!.uuid)).toBe(true)
  await until(() => !admits.queue.state().waiting.some(({ uuid: ident }) => ident === held!.uuid), {
    what: 'the queue without it',
    timeoutMs: 20_000,
  })
  expect((await store.node(held!.uuid))?.provisionState).toBe('inspect failed')
  expect(began).not.toContain(held!.uuid)
}, 60_000)
