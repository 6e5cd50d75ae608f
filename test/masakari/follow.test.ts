/** What becomes of notifications while the mesh answers late, not at all, or as version 0.2 does. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { MasakariFollow } from '../../conductor/masakari/follow.ts'
import { Masakari } from '../../conductor/masakari/service.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { Fault } from '../../kit/fault.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { LIMITS, SEAL } from '../conductor/store-conformance/bench.ts'
import { HandClock } from '../kit/hand-clock.ts'

let dir = ''
let store: SqliteStore
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-follow-'))
  store = new SqliteStore(join(dir, 'r.db'), SEAL, { limits: LIMITS })
})
afterAll(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

test('a leader that does not carry requests out holds up no notification about a host, and nothing is done late', async () => {
  const clock = new HandClock(1_000_000)
  const asked: string[] = []
  let answer = (): { status: number; body: unknown } => {
    throw new Fault('peer.lost', 'no answer in time')
  }
  const link = {
    registry: async () => ({ arbiters: [], hosts: ['h1', 'h2'].map((name) => ({ name, node: null, hold: null })) }),
    request: async (method: string, path: string, { body }: { body?: unknown } = {}) => {
      const incidents = [{ id: 'i1', host: 'h1', state: 'fencing', time_line: [], instances: [] }]
      if (method === 'GET') return { status: 200, body: { incidents }, tag: undefined }
      if (!path.endsWith('/errands')) return { status: 200, body: {}, tag: undefined }
      asked.push((body as { token: string }).token.replace(/.* /, ''))
      return { ...answer(), tag: undefined }
    },
  }
  const limits = { segments: 2, notifications: 10, notificationDays: 30 }
  const parts = { store, link, clock, random: systemRandom, limits, onLimit: () => undefined }
  const masakari = new Masakari(parts)
  const follow = new MasakariFollow({ ...parts, masakari, log: silentLog, onDuty: () => true })
  const sent = async (type: 'VM' | 'COMPUTE_HOST', hostname: string, payload: Record<string, unknown>) =>
    (await masakari.notify({ type, hostname, payload, generatedAtMs: 0 }, 'monitor')).uuid
  const failedVm = (n: number) => ({ event: 'LIFECYCLE', instance_uuid: `vm${n}`, vir_domain_event: 'STOPPED_FAILED' })
  const bodyOf = async (uuid: string) => (await masakari.notification(uuid)).body

  const vm = await sent('VM', 'h2', failedVm(1))
  const host = await sent('COMPUTE_HOST', 'h1', { event: 'STOPPED', host_status: 'NORMAL' })
  await expect(follow.round()).rejects.toMatchObject({ code: 'peer.lost' })
  expect(await bodyOf(host)).toMatchObject({ state: 'running', incident: 'i1' })
  // It is recorded that the leader was asked, for it may have done it.
  expect([asked, (await bodyOf(vm)).state]).toEqual([['stop'], 'running'])

  clock.pass(3_600_000)
  const other = await sent('VM', 'h2', failedVm(2))
  answer = () => ({ status: 404, body: {} })
  await follow.round()
  // What may have been stopped is started; the other one meets an arbiter that knows no such request.
  expect(asked).toEqual(['stop', 'start', 'stop'])
  expect(await bodyOf(other)).toMatchObject({ state: 'failed', message: expect.stringContaining('older version') })

  const never = await sent('VM', 'h2', failedVm(3))
  clock.pass(3_600_000)
  await follow.round()
  expect(asked).toHaveLength(3)
  expect(await bodyOf(never)).toMatchObject({ state: 'failed', message: 'the mesh could not be asked in time' })
})
