/** An arbiter whose Consul does not answer still says what it knows itself. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { afterEach, expect, test } from 'vitest'
import { systemClock } from '../../kit/clock.ts'
import { Consul } from '../../kit/consul.ts'
import { listen } from '../../kit/listen.ts'
import { meshRoutes } from '../../host-agent/api/routes.ts'
import type { RouteParts } from '../../host-agent/api/routes.ts'

const mute = createServer(() => undefined)
afterEach(() => mute.closeAllConnections())

test('who leads is answered as unknown before a Consul without a quorum gives up', async () => {
  await listen(mute, { port: 0, host: '127.0.0.1' })
  const consul = new Consul({ url: `http://127.0.0.1:${(mute.address() as AddressInfo).port}` })
  const core = { name: 'a1', leads: () => false } as unknown as RouteParts['core']
  const routes = meshRoutes({ core, api: null, consul, clock: systemClock, pages: () => [] })
  const route = routes.find(({ path }) => path === '/rackward/v1/mesh/leader')

  // Consul holds this question for longer than this.
  const gaveUp = consul.get('x').catch(() => 'Consul gave up')
  const call = { params: {}, query: {}, body: undefined } as unknown as Parameters<
    NonNullable<typeof route>['handle']
  >[0]
  const first = await Promise.race([gaveUp, route?.handle(call)])
  expect(first).toEqual({ name: null, api: null, leads: false })
  mute.closeAllConnections()
  await gaveUp
  mute.close()
})
