/** PostgreSQL with a standby and several conductors for `npm run lab -- --conductors N`, and one way to their API. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { until } from '../../../kit/clock.ts'
import { ApiClient, type Answer } from '../client.ts'
import type { ConductorOptions } from '../conductor.ts'
import type { Rack } from '../rack.ts'
import { ROOT } from '../root.ts'
import { Database } from './database.ts'
import { Machines, socketsOf } from './machines.ts'

const PATIENCE_MS = 60_000
const AGAIN_MS = 300

/** Asks again what may be asked again: a conductor that is killed answers nothing more, and another one does. */
export class PatientClient extends ApiClient {
  override call(method: string, path: string, body?: unknown): Promise<Answer> {
    if (method !== 'GET') return super.call(method, path, body)
    const ask = async () => {
      const answer = await super.call(method, path, body).catch(() => undefined)
      return answer && answer.status < 500 ? answer : undefined
    }
    return until(ask, { what: `an answer to ${method} ${path}`, timeoutMs: PATIENCE_MS, everyMs: AGAIN_MS })
  }
}

export async function openConductors(
  rack: Rack,
  { count, options }: { readonly count: number; readonly options: Omit<ConductorOptions, 'machine'> },
): Promise<{ machines: Machines; api: PatientClient; password: string }> {
  const database = new Database(rack)
  await database.up()
  const machines = await Machines.make({ rack, count, url: database.url, options })
  const password = machines.all[0]?.conductor.password ?? ''
  const door = join(rack.dir, 'api.sock')
  const program = join(ROOT, 'dist/test/lab/conductors/door-main.js')
  rack.launch(join(rack.dir, 'door.log'), [process.execPath, program, door, ...socketsOf(machines.all)])
  await until(() => existsSync(door), { what: 'the way to the API', timeoutMs: 30_000, everyMs: 100 })
  return { machines, api: new PatientClient(door, { user: 'admin', password }), password }
}
