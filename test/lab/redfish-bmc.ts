/** The Redfish BMC of one virtual server, as a program beside its ipmi_sim: `redfish-bmc.js DIR`, where DIR holds
 *  server.json. Every request is a line of DIR/redfish.log. */
import { appendFile, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'
import { keyOf } from './bmc-key.ts'
import { QemuMachine } from './qemu-machine.ts'
import { BMC_PASSWORD, BMC_USER, type Server } from './server.ts'

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
