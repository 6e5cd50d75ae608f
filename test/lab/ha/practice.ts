/** The lab's manager of instances and its servers' first words, as a program of one file for places that are no
 *  checkout (vagrant/):
 *
 *     practice serve STATE_FILE ADDRESS PORT          the manager of instances
 *     practice driver ADDRESS PORT                    what an arbiter runs
 *     practice user-data NAME ADDRESS MAC BUNDLE CONDUCTOR_ADDRESS    config drive of a server that comes into the
 *  mesh */
import { readFile } from 'node:fs/promises'
import { driver, serve } from './cloud.ts'
import { hostUserData } from './host.ts'

const [verb, ...args] = process.argv.slice(2) as [string, string, string, string, string, string]
switch (verb) {
  case 'serve':
    serve(args[0], args[1], Number(args[2]))
    break
  case 'driver':
    await driver(args[0], Number(args[1]))
    break
  case 'user-data': {
    const [name, address, mac, bundle, conductor] = args
    const user_data = hostUserData({ name, address, mac, bundle: await readFile(bundle, 'utf8'), conductor })
    const links = [{ id: 'boot', type: 'phy', ethernet_mac_address: mac }]
    const networks = [{ id: 'boot4', type: 'ipv4_dhcp', link: 'boot', network_id: 'rack' }]
    process.stdout.write(
      `${JSON.stringify({ meta_data: { hostname: name, name }, network_data: { links, networks, services: [] }, user_data }, null, 1)}\n`,
    )
    break
  }
  default:
    process.stderr.write('practice: serve, driver or user-data\n')
    process.exitCode = 2
}
