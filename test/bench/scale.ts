/** `npm run bench -- scale [--nodes N]`: what single things cost with N nodes in one SQLite file, as CPU time of this
 *  process and the longest stretch in which nobody else had a turn. */
import Database from 'better-sqlite3'
import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { openClientFile } from '../../conductor/boot/client-file.ts'
import { BootClients } from '../../conductor/boot/clients.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { EventHub } from '../../conductor/events/hub.ts'
import { streamEvents } from '../../conductor/events/stream.ts'
import { newNode, type NodeRecord } from '../../conductor/node/record.ts'
import { nodeColumns } from '../../conductor/store/node-rows.ts'
import { portColumns } from '../../conductor/store/port-rows.ts'
import { PORT_DEFAULTS } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock, turn, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { inserter } from '../conductor/random-records.ts'

interface Cost {
  readonly cpuMs: number
  /** Nobody else had a turn for so long. */
  readonly longestMs: number
}
export type ScaleFigures = Readonly<Record<string, Cost>>

const SLICE = 100
const PAGE = 1_000
const WATCHERS = 500
const CHANGES = 20
const uuid = (n: number) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`
const macOf = (n: number) =>
  `02:00:00:${[16, 8, 0].map((shift) => ((n >> shift) & 255).toString(16).padStart(2, '0')).join(':')}`

export async function benchScaleOfNodes(count: number): Promise<ScaleFigures> {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-scale-'))
  const seal = new Seal(Buffer.alloc(32, 1), systemRandom)
  const openStore = () => new SqliteStore(join(dir, 'r.db'), seal)
  await openStore().close()
  fill(join(dir, 'r.db'), seal, count)
  const store = openStore()
  try {
    return {
      ...(await lists(store, count)),
      'nodes counted for /metrics': await costOf(() => store.nodeCounts()),
      ...(await watchers(store)),
      ...(await bootOrders(dir, count)),
    }
  } finally {
    await store.close()
    await rm(dir, { recursive: true })
  }
}

function nodeAt(n: number, count: number): NodeRecord {
  const notes = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`note ${i}`, 'x'.repeat(60)]))
  return {
    ...newNode({ uuid: uuid(n), driver: 'ipmi', name: `server-${(n * 7_919) % count}` }, 1_000_000 + n),
    resourceClass: 'baremetal',
    owner: `project-${n % 50}`,
    provisionState: n % 3 === 0 ? 'active' : 'available',
    powerState: n % 3 === 0 ? 'power on' : 'power off',
    shard: `shard-${n % 20}`,
    updatedAtMs: 1_000_000 + ((n * 31) % 10_007),
    driverInfo: {
      ipmi_address: `10.0.0.${n % 250}`,
      ipmi_port: n,
      ipmi_username: 'admin',
      ipmi_password: `secret ${n}`,
    },
    extra: notes,
  }
}

/** Written beside the store in one transaction: what is measured is not the disk. */
function fill(path: string, seal: Seal, count: number): void {
  const db = new Database(path)
  const insert = inserter(db)
  db.transaction(() => {
    for (let n = 0; n < count; n += 1) {
      const node = nodeAt(n, count)
      insert('nodes', { uuid: node.uuid, created_at: node.createdAtMs, ...nodeColumns(node, seal) })
      const port = {
        ...PORT_DEFAULTS,
        uuid: uuid(n + 10_000_000),
        nodeUuid: uuid(n),
        address: macOf(n),
        createdAtMs: n,
      }
      insert('ports', { uuid: port.uuid, created_at: port.createdAtMs, ...portColumns(port) })
    }
  })()
  db.close()
}

async function costOf(work: () => Promise<unknown>): Promise<Cost> {
  const delays = monitorEventLoopDelay({ resolution: 1 })
  await systemClock.sleep(20)
  delays.enable()
  await systemClock.sleep(5)
  const before = process.cpuUsage()
  await work()
  const { user, system } = process.cpuUsage(before)
  await systemClock.sleep(5)
  delays.disable()
  return { cpuMs: round((user + system) / 1_000), longestMs: round(delays.max / 1e6) }
}
const round = (ms: number) => Math.round(ms * 100) / 100

/** A page as the API reads it: slice after slice, with a turn for everybody else. */
async function page(fetch: (marker: string | undefined) => Promise<{ uuid: string }[]>): Promise<void> {
  let marker: string | undefined
  for (let got = 0; got < PAGE; got += SLICE) {
    const rows = await fetch(marker)
    if (rows.length < SLICE) return
    marker = rows.at(-1)?.uuid
    await turn()
  }
}

async function lists(store: SqliteStore, count: number): Promise<ScaleFigures> {
  const figures: Record<string, Cost> = {}
  const from = (marker: string | undefined) => (marker === undefined ? {} : { marker })
  for (const sortKey of ['id', 'name', 'owner', 'updated_at', 'description']) {
    const fetch = (marker: string | undefined) =>
      store.nodes({}, { limit: SLICE, sortKey, descending: false, ...from(marker) })
    figures[`a page of nodes sorted by ${sortKey}`] = await costOf(() => page(fetch))
  }
  const available = (marker: string | undefined) =>
    store.nodes({ provisionState: 'available' }, { limit: SLICE, sortKey: 'name', descending: false, ...from(marker) })
  figures['a page of available nodes sorted by name'] = await costOf(() => page(available))
  const sharded = (marker: string | undefined) =>
    store.ports({ shard: ['shard-3'] }, { limit: SLICE, sortKey: 'id', descending: false, ...from(marker) })
  figures['a page of ports of a shard'] = await costOf(() => page(sharded))
  const last = { limit: SLICE, sortKey: 'name', descending: true, marker: uuid(Math.floor(count / 2)) }
  figures['a slice of nodes in the middle, sorted by name'] = await costOf(() => store.nodes({}, last))
  return figures
}

class Client extends EventEmitter {
  readonly writableNeedDrain = false
  events = 0
  writeHead() {}
  end() {}
  write(text: string) {
    if (text.startsWith('id: ')) this.events += 1
  }
}

async function watchers(store: SqliteStore): Promise<ScaleFigures> {
  const hub = new EventHub({ journal: store.journal, log: silentLog, batch: 500 })
  await hub.start()
  const abort = new AbortController()
  const clients = Array.from({ length: WATCHERS }, () => new Client())
  const parts = { journal: store.journal, hub, clock: systemClock, signal: abort.signal, batch: 500 }
  const afterSeq = await store.journal.lastSeq()
  const streams = clients.map((client) =>
    streamEvents(client as unknown as ServerResponse, { afterSeq, filter: {} }, parts),
  )
  const change = async (n: number) => {
    await store.journal.add({ atMs: n, nodeUuid: uuid(n), kind: 'trouble', detail: { n } })
    const all = () => clients.every(({ events }) => events > n)
    await until(async () => all(), { what: 'every watcher', timeoutMs: 60_000, everyMs: 1 })
  }
  const all = await costOf(async () => {
    for (let n = 0; n < CHANGES; n += 1) await change(n)
  })
  abort.abort()
  await Promise.all(streams)
  await hub.stop()
  return { [`a change that ${WATCHERS} watchers are told of`]: { ...all, cpuMs: round(all.cpuMs / CHANGES) } }
}

/** Changes a fifth of a second apart, as a rollout makes them: each is followed by what is written to the disk. */
async function bootOrders(dir: string, count: number): Promise<ScaleFigures> {
  const clients = new BootClients({
    open: () => openClientFile(join(dir, 'boot-clients.db'), () => undefined),
    snapshot: join(dir, 'none'),
    clock: systemClock,
    onWarning: () => undefined,
  })
  await clients.load()
  const order = (n: number, hostName: string): BootClient => ({
    mac: macOf(n),
    nodeUuid: uuid(n),
    label: `server-${n}`,
    order: { kind: 'ramdisk', generation: 3, rescue: false, token: true },
    fixedIp: null,
    hostName,
    card: null,
  })
  const message = { t: 'clients', revision: 1, gone: [], media: [] } as const
  clients.apply({ ...message, whole: true, set: Array.from({ length: count }, (_, n) => order(n, 'first')) })
  await systemClock.sleep(1_000)
  const all = await costOf(async () => {
    for (let n = 0; n < CHANGES; n += 1) {
      clients.apply({ ...message, whole: false, set: [order(n, 'second')] })
      await systemClock.sleep(250)
    }
  })
  await clients.stop()
  return { 'a change of one boot order, with what is written': { ...all, cpuMs: round(all.cpuMs / CHANGES) } }
}

export function scaleTable(figures: ScaleFigures): string {
  const rows = Object.entries(figures).map(
    ([name, { cpuMs, longestMs }]) =>
      `${name.padEnd(56)} ${cpuMs.toFixed(2).padStart(10)} ${longestMs.toFixed(1).padStart(10)}`,
  )
  return [`${''.padEnd(56)} ${'CPU, ms'.padStart(10)} ${'longest'.padStart(10)}`, ...rows].join('\n')
}
