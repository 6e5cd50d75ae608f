/** The Redfish BMCs of the Vagrant rack, beside their ipmi_sim: `redfish-bmcs DIR`, one for each server, at port 443 of
 *  the same addresses. Their keys and a log of every request are in DIR. */
import { appendFile } from 'node:fs/promises'
import { join } from 'node:path'
import { run } from '../../kit/run.ts'
import { keyOf } from '../lab/bmc-key.ts'
import { LibvirtMachine } from '../lab/libvirt-machine.ts'
import { VirtualBmc } from '../redfish/virtual-bmc.ts'

const SERVERS = [1, 2, 3]

async function main(dir: string): Promise<void> {
  for (const number of SERVERS) {
    const own = join(dir, `server-${number}`)
    const say = (line: string) =>
      void appendFile(join(own, 'redfish.log'), `${new Date().toISOString()} ${line}\n`).catch(() => undefined)
    const bmc = await VirtualBmc.open({
      machine: await LibvirtMachine.open(`rackward_server-${number}`, { run, dir: own, say }),
      listen: { address: `10.88.0.20${number}`, port: 443 },
      tls: await keyOf(own),
    })
    bmc.onHeard = ({ method, path }) => say(`${method} ${path}`)
  }
}

const [dir] = process.argv.slice(2)
if (!dir) throw new Error('redfish-bmcs DIR')
await main(dir)
