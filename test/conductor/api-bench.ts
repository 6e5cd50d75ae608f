/** A live conductor with fake hardware for the file that imports this, and a plain client of it. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { devConfig } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { StoreBench } from './postgres.ts'
import { call as plainCall, faultOf, type Answer } from './client.ts'

const bench = new StoreBench()
export let dir = ''
export let base = ''
export let conductor: Conductor

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-api-'))
  conductor = await startConductor(
    { ...devConfig({ port: 0, data: dir }), store: await bench.store(), fake: { delaySeconds: 0.01 } },
    { log: silentLog },
  )
  base = conductor.addresses[0] as string
})
afterAll(async () => {
  await conductor.stop()
  await bench.stop()
  await rm(dir, { recursive: true })
})

/** A record as it is stored, secrets sealed. */
export const stored = (table: 'nodes' | 'objects', uuid: string): Promise<{ body: string; sealed: string }> =>
  bench.stored(dir, table, uuid)

export type { Answer }
export { faultOf }
export const call = (
  method: string,
  path: string,
  body?: unknown,
  headers: Record<string, string> = { 'OpenStack-API-Version': 'baremetal latest' },
  to = base,
): Promise<Answer> => plainCall(method, path, body, headers, to)
export const create = async (more: Record<string, unknown> = {}) =>
  (await call('POST', '/v1/nodes', { driver: 'fake-hardware', ...more })).body
export const state = (uuid: string, wanted: string) =>
  until(async () => ((await call('GET', `/v1/nodes/${uuid}`)).body.provision_state === wanted ? true : undefined), {
    what: wanted,
    timeoutMs: 30_000,
    everyMs: 10,
  })

/** A request at a minor version. */
export const at = (minor: number, method: string, path: string, body?: unknown) =>
  call(method, path, body, { 'OpenStack-API-Version': `baremetal 1.${minor}` })

const VERBS: Record<string, string> = {
  manage: 'manageable',
  inspect: 'manageable',
  provide: 'available',
  active: 'active',
  rebuild: 'active',
  deleted: 'available',
}

/** Fake hardware has no power state before it is given one. */
export async function power(uuid: string, wanted: 'on' | 'off'): Promise<void> {
  const answer = await call('PUT', `/v1/nodes/${uuid}/states/power`, { target: `power ${wanted}` })
  if (answer.status !== 202) throw new Error(`power: ${answer.status} ${JSON.stringify(answer.body)}`)
  const there = async () => {
    const now = (await call('GET', `/v1/nodes/${uuid}`)).body
    return now.power_state === `power ${wanted}` && now.reservation === null
  }
  await until(there, { what: `power ${wanted}`, timeoutMs: 20_000, everyMs: 10 })
}

/** Sends verbs one after the other; each is `verb` or `verb>state`, and ends unlocked in its state. */
export async function drive(
  uuid: string,
  ...verbs: (string | [verb: string, to: string, more?: Record<string, unknown>])[]
): Promise<void> {
  for (const given of verbs) {
    const [target, to, more] = typeof given === 'string' ? [given, VERBS[given] ?? given, {}] : given
    const answer = await call('PUT', `/v1/nodes/${uuid}/states/provision`, { target, ...more })
    if (answer.status !== 202) throw new Error(`${target}: ${answer.status} ${JSON.stringify(answer.body)}`)
    await until(
      async () => {
        const now = (await call('GET', `/v1/nodes/${uuid}`)).body
        return now.provision_state === to && now.reservation === null
      },
      { what: `${target} to end in ${to}`, timeoutMs: 20_000, everyMs: 10 },
    )
  }
}
