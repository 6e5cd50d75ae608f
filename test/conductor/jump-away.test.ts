/** A conductor that comes back after the agent of a node jumped: what the boot services heard meanwhile is waited for
 *  before the server is started cold. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import type { NodeRecord } from '../../conductor/node/record.ts'
import { Worker } from '../../conductor/node/run/worker.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { steppingClock } from '../kit/stepping-clock.ts'
import { AGENT_OF, inState, QUICK } from './node-step-bench.ts'

const JUMPED_MS = 1_700_000_000_000
const DEADLINE_MS = JUMPED_MS + 300_000
let dir = ''
let store: SqliteStore
let worker: Worker
let nowMs = DEADLINE_MS + 1
const clock = steppingClock(() => nowMs)
const looked = () => clock.looked(2)
const node = async () => (await store.node('0'.repeat(36))) as NodeRecord

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-away-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  const plain = inState('deploying', { powerState: 'power on' })
  const reboot = { how: 'kexec', because: 'it was asked for', readyIn: 0, jumpedAtMs: JUMPED_MS } as const
  const workflow = { ...plain.workflow, order: 'deploy', phase: 'jump', deadlineMs: DEADLINE_MS, reboot } as const
  await store.addNode({ ...plain, agent: AGENT_OF(plain), workflow })
  nowMs = DEADLINE_MS + 1
  worker = new Worker({
    store,
    clock,
    monotonic: clock,
    log: silentLog,
    settings: QUICK,
    sightings: new Sightings(),
    performer: { perform: async () => undefined },
    onChange: () => undefined,
  })
  await worker.start()
})
afterEach(async () => {
  await worker.stop()
  await store.close()
  await rm(dir, { recursive: true })
})

test('a sign of life that was kept for it ends the deploy', async () => {
  await looked()
  expect((await node()).workflow.phase).toBe('jump')
  await worker.dispatch('0'.repeat(36), { type: 'alive', atMs: JUMPED_MS + 30_000 })
  expect(await node()).toMatchObject({ provisionState: 'active', startedColdAtMs: null })
})

test('without one, the server is started cold all the same', async () => {
  await looked()
  nowMs += QUICK.agentSilenceMs
  await until(async () => (await node()).provisionState === 'active', {
    what: 'the cold start',
    timeoutMs: 30_000,
    everyMs: 5,
  })
  expect((await node()).startedColdAtMs).toBe(nowMs)
})
