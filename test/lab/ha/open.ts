/** The mesh of `npm run lab -- --ha`: arbiters and the manager of instances beside the rack, an invitation for each
 *  server. */
import { spawn } from 'node:child_process'
import { closeSync, openSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { ensureConsul } from '../../../kit/setup/consul.mjs'
import { runOk } from '../../../kit/run.ts'
import type { ApiClient } from '../client.ts'
import { CONDUCTOR_IP, type Rack } from '../rack.ts'
import { ROOT } from '../root.ts'
import { Arbiters } from './arbiters.ts'
import { CLOUD_PORT, hostUserData } from './host.ts'
import { Play } from './play.ts'

/** Server -> what it is told. */
export type Hosts = ReadonlyMap<string, { readonly address: string; readonly userData: string }>

const CLOUD = join(ROOT, 'dist/test/lab/ha/practice.js')
const addressOf = (rack: Rack, name: string) =>
  `10.77.0.${51 + rack.servers.findIndex((server) => server.name === name)}`

export async function openHa(rack: Rack, password: string): Promise<Hosts> {
  const arbiters = new Arbiters(rack, process.env.RACKWARD_CONSUL ?? ensureConsul())
  await startCloud(rack)
  await arbiters.up(password)
  const hosts = new Map<string, { address: string; userData: string }>()
  for (const { name, mac } of rack.servers) {
    const address = addressOf(rack, name)
    hosts.set(name, {
      address,
      userData: hostUserData({ name, address, mac, bundle: await arbiters.invite(name), conductor: CONDUCTOR_IP }),
    })
  }
  return hosts
}

async function startCloud(rack: Rack): Promise<void> {
  const file = join(rack.dir, 'instances.json')
  const hosts = Object.fromEntries(rack.servers.map(({ name }) => [name, addressOf(rack, name)]))
  await writeFile(file, JSON.stringify({ hosts, instances: [], down: [] }))
  const log = openSync(join(rack.dir, 'cloud.log'), 'a')
  const argv = rack.in([process.execPath, CLOUD, 'serve', file, CONDUCTOR_IP, String(CLOUD_PORT)])
  spawn(argv[0] as string, argv.slice(1), { stdio: ['ignore', log, log], detached: true }).unref()
  closeSync(log)
}

export const playOf = (rack: Rack, api: ApiClient, say: (line: string) => void): Play =>
  new Play({
    rack,
    api,
    say,
    cloud: async (call) =>
      void (await runOk(rack.in([process.execPath, CLOUD, 'driver', CONDUCTOR_IP, String(CLOUD_PORT)]), {
        timeoutMs: 130_000,
        input: JSON.stringify(call),
      })),
  })
