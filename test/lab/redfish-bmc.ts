/** The Redfish BMC of one virtual server, as a program beside its ipmi_sim: `redfish-bmc.js DIR`, where DIR holds
 *  server.json. Every request is a line of DIR/redfish.log. */
import { existsSync } from 'node:fs'
import { appendFile, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Pair } from '../../kit/certificate.ts'
import { makePair } from '../redfish/listener.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'
import { QemuMachine } from './qemu-machine.ts'
import { BMC_PASSWORD, BMC_USER, type Server } from './server.ts'

/** A BMC keeps its key over restarts. */
async function keyOf(dir: string): Promise<Pair> {
  const file = join(dir, 'redfish-key.json')
  if (existsSync(file)) return JSON.parse(await readFile(file, 'utf8')) as Pair
  const pair = await makePair()
  await writeFile(file, JSON.stringify(pair), { mode: 0o600 })
  return pair
}

async function main(dir: string): Promise<void> {
  const server = JSON.parse(await readFile(join(dir, 'server.json'), 'utf8')) as Server
  const say = (line: string) =>
    void appendFile(join(dir, 'redfish.log'), `${new Date().toISOString()} ${line}\n`).catch(() => undefined)
  const bmc = await VirtualBmc.open({
    machine: new QemuMachine(server, say),
    listen: { address: server.bmcIp, port: 443 },
    tls: await keyOf(dir),
    user: BMC_USER,
    password: BMC_PASSWORD,
  })
  bmc.onHeard = ({ method, path, body }) => say([method, path, bodyText(path, body)].join(' ').trim())
}

const bodyText = (path: string, body: unknown): string =>
  body === undefined ? '' : path.endsWith('/Sessions') ? '(login)' : JSON.stringify(body).slice(0, 500)

const [dir] = process.argv.slice(2)
if (!dir) throw new Error('redfish-bmc.js DIR')
await main(dir)
