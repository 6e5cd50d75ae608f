/** BMCs that mean harm, polled by a real conductor: endless answers, deep JSON, long lists, redirects, slow drips. Each
 *  costs bounded memory, keeps nobody else waiting, and ends in a fault. */
import { createServer, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { Victim } from './victim.ts'

const SYSTEM = '/redfish/v1/Systems/1'
const MIB = 1024 ** 2
const LONG = JSON.stringify({ Members: Array.from({ length: 10_000 }, (_, i) => ({ '@odata.id': `${SYSTEM}/${i}` })) })

type Harm = (response: ServerResponse) => void
const HARMS: Readonly<Record<string, Harm>> = {
  'an answer without an end': (response) => {
    const more = () => {
      while (!response.destroyed && response.write(' '.repeat(65_536))) continue
    }
    response.on('drain', more)
    more()
  },
  'a hundred thousand levels': (response) => void response.end('['.repeat(100_000)),
  'ten thousand members': (response) => void response.end(LONG),
  'a redirect to another host': (response) => {
    response.writeHead(307, { location: `http://127.0.0.1:${nobodysPort}/redfish/v1/Systems/1` })
    response.end()
  },
  'headers without an end': (response) => {
    for (let i = 0; i < 2_000; i += 1) response.setHeader(`x-${i}`, 'y'.repeat(100))
    response.end('{}')
  },
  'one byte now and then': (response) => {
    response.write('{')
    const drip = setInterval(() => (response.destroyed ? clearInterval(drip) : response.write(' ')), 200)
  },
}

const BMCS_EACH = 5
let harm: Harm | undefined
let nobodysPort = 0
let server: Server
let victim: Victim
const name = (i: number) => `n${i}`

beforeAll(async () => {
  nobodysPort = await freePort()
  server = createServer((request, response) => {
    request.resume()
    const path = (request.url ?? '').replace(/(?<=.)\/$/, '')
    if (path === SYSTEM && harm) return harm(response)
    const body =
      path === SYSTEM
        ? { PowerState: 'Off' }
        : { RedfishVersion: '1.18.0', Systems: { '@odata.id': '/redfish/v1/Systems' } }
    const members = { Members: [{ '@odata.id': SYSTEM }] }
    response.end(JSON.stringify(path === '/redfish/v1/Systems' ? members : body))
  }).listen(0, '0.0.0.0')
  await new Promise((resolve) => server.once('listening', resolve))
  const { port } = server.address() as AddressInfo
  victim = await Victim.start({
    config: {
      powerSync: { everySeconds: 1, lostAfter: 2 },
      sensors: { everySeconds: 1 },
      provision: { effectTries: 1 },
    },
  })
  for (let i = 1; i <= BMCS_EACH; i += 1) {
    const driver_info = {
      redfish_address: `http://127.66.0.${i}:${port}`,
      redfish_username: 'u',
      redfish_password: 'p',
      redfish_auth_type: 'basic',
    }
    await victim.call('POST', '/v1/nodes', { driver: 'redfish', name: name(i), driver_info })
    await victim.call('PUT', `/v1/nodes/${name(i)}/states/provision`, { target: 'manage' })
  }
  await until(async () => (await states()).every((state) => state.provision_state === 'manageable'), {
    what: 'all to be manageable',
    timeoutMs: 30_000,
  })
}, 90_000)
afterAll(async () => {
  await victim?.remove()
  server?.closeAllConnections()
  server?.close()
})

const states = async (): Promise<Record<string, unknown>[]> =>
  (await victim.call('GET', '/v1/nodes/detail')).body.nodes as Record<string, unknown>[]

test.each(Object.keys(HARMS))(
  '%s: bounded memory, an API that answers, and a node that is healthy again afterwards',
  async (kind) => {
    const before = await victim.rssBytes()
    harm = HARMS[kind]
    let slowestMs = 0
    const endMs = performance.now() + 1_500
    while (performance.now() < endMs) {
      const startMs = performance.now()
      expect((await victim.call('GET', '/v1/nodes')).status).toBe(200)
      slowestMs = Math.max(slowestMs, performance.now() - startMs)
    }
    expect(slowestMs).toBeLessThan(5_000)
    expect((await victim.rssBytes()) - before).toBeLessThan(300 * MIB)
    harm = undefined
    server.closeAllConnections()
    await until(
      async () => (await states()).every(({ power_state: power, fault }) => power === 'power off' && fault === null),
      {
        what: 'all to be polled again',
        timeoutMs: 30_000,
      },
    )
  },
  60_000,
)
