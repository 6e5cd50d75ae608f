/** A thousand Redfish BMCs in one process, told apart by their address: session, root and a system of the size that
 *  real ones have. Says its port; counts reads by address. */
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { makePair } from '../redfish/listener.ts'

const SYSTEM = '/redfish/v1/Systems/1'
const SYSTEM_BYTES = 6_000
/** One that is asked for this address does not answer at all. */
const DEAD = '127.77.0.1'

const json = (value: unknown) => JSON.stringify(value)
const at = (path: string) => ({ '@odata.id': path })
const bodies: Readonly<Record<string, string>> = {
  '/redfish/v1': json({
    ...at('/redfish/v1/'),
    Id: 'RootService',
    Name: 'Root',
    RedfishVersion: '1.18.0',
    Systems: at('/redfish/v1/Systems'),
    SessionService: at('/redfish/v1/SessionService'),
    Links: { Sessions: at('/redfish/v1/SessionService/Sessions') },
  }),
  '/redfish/v1/Systems': json({ Name: 'Systems', 'Members@odata.count': 1, Members: [at(SYSTEM)] }),
  '/redfish/v1/SessionService': json({
    Id: 'S',
    Name: 'S',
    ServiceEnabled: true,
    SessionTimeout: 1800,
    Sessions: at('/redfish/v1/SessionService/Sessions'),
  }),
  [SYSTEM]: json({
    ...at(SYSTEM),
    '@odata.type': '#ComputerSystem.v1_20_0.ComputerSystem',
    Id: '1',
    Name: 'System',
    PowerState: 'On',
    Status: { State: 'Enabled', Health: 'OK' },
    UUID: '30313233-3435-4637-b839-414243444546',
    Boot: { BootSourceOverrideMode: 'UEFI' },
    Actions: { '#ComputerSystem.Reset': { target: `${SYSTEM}/Actions/ComputerSystem.Reset` } },
    Description: 'x'.repeat(SYSTEM_BYTES),
  }),
}

const reads = new Map<string, number>()
let connections = 0
let dead = false
const server = createServer(await makePair(), (request, response) => {
  const address = request.socket.localAddress ?? ''
  if (dead && address === DEAD) return
  const path = (request.url ?? '').replace(/(?<=.)\/$/, '')
  request.resume()
  if (request.method === 'POST') {
    response.writeHead(201, { 'x-auth-token': 't', location: `${path}/1` })
    return void response.end('{}')
  }
  if (path === SYSTEM) reads.set(address, (reads.get(address) ?? 0) + 1)
  response.writeHead(bodies[path] ? 200 : 404, { 'content-type': 'application/json' })
  response.end(bodies[path] ?? '{}')
})
server.keepAliveTimeout = 120_000
server.on('secureConnection', () => (connections += 1))
process.on('message', (ask: { dead?: boolean }) => {
  dead = ask.dead ?? dead
  process.send?.({ reads: reads.size, connections })
  reads.clear()
  connections = 0
})
process.on('disconnect', () => process.exit())
server.listen(0, '0.0.0.0', 4096, () => process.send?.({ port: (server.address() as AddressInfo).port }))
