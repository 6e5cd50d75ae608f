/** What the attacks on HTTP share: requests from many loopback addresses, raw connections, and a node whose fencing
 *  must go on meanwhile. */
import { once } from 'node:events'
import { request } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect } from 'vitest'
import { until } from '../../kit/clock.ts'
import type { Victim } from './victim.ts'

export interface Shot {
  readonly from?: string
  readonly method?: string
  readonly headers?: Record<string, string>
  readonly body?: Buffer | string
}

/** The status of the answer; 0 when the connection broke. */
export function shoot(
  base: string,
  path: string,
  { from, method = 'GET', headers = {}, body }: Shot = {},
): Promise<number> {
  const { hostname, port } = new URL(base)
  return new Promise((resolve) => {
    const ask = request(
      { hostname, port, path, method, headers, ...(from ? { localAddress: from } : {}) },
      (response) => {
        response.resume()
        response.on('error', () => resolve(0))
        response.on('end', () => resolve(response.statusCode ?? 0))
      },
    )
    ask.on('error', () => resolve(0))
    ask.end(body)
  })
}

/** A connection that has sent `bytes` and waits. Its text grows with what it hears. */
export async function hold(
  base: string,
  bytes: Buffer | string,
  from?: string,
): Promise<{ socket: Socket; heard: () => string }> {
  const { hostname, port } = new URL(base)
  const socket = connect({ host: hostname, port: Number(port), ...(from ? { localAddress: from } : {}) })
  let text = ''
  socket.on('data', (chunk) => (text += chunk.toString('latin1')))
  socket.on('error', () => undefined)
  await Promise.race([once(socket, 'connect'), once(socket, 'close')]).catch(() => undefined)
  socket.write(bytes)
  return { socket, heard: () => text }
}

/** An active node with the fake driver, named `victim`. */
export async function activeNode(victim: Victim, user?: string): Promise<void> {
  const as = user === undefined ? {} : { user }
  const go = async (target: string, state: string) => {
    expect((await victim.call('PUT', '/v1/nodes/victim/states/provision', { target }, as)).status).toBe(202)
    await until(
      async () => {
        const { body } = await victim.call('GET', '/v1/nodes/victim', undefined, as)
        return body.provision_state === state && body.reservation === null
      },
      { what: state, timeoutMs: 20_000, everyMs: 20 },
    )
  }
  expect(
    (await victim.call('POST', '/v1/nodes', { driver: 'fake-hardware', name: 'victim', automated_clean: false }, as))
      .status,
  ).toBe(201)
  await go('manage', 'manageable')
  await go('provide', 'available')
  await go('active', 'active')
}

/** Fences it, and asks its BMC. */
export async function fence(victim: Victim, user?: string): Promise<void> {
  const as = user === undefined ? {} : { user }
  expect((await victim.call('POST', '/rackward/v1/nodes/victim/fence', { act: 'off' }, as)).status).toBe(200)
  expect((await victim.call('POST', '/rackward/v1/nodes/victim/fence', { act: 'identify' }, as)).body.power).toBe('off')
}

/** How often a limit was reached, by the conductor's own count. */
export async function reached(victim: Victim, limit: string, user: string): Promise<number> {
  const { hostname, port } = new URL(victim.base)
  const headers = { authorization: `Basic ${Buffer.from(`${user}:${user}-password`).toString('base64')}` }
  const text = await new Promise<string>((resolve, reject) => {
    const ask = request({ hostname, port, path: '/metrics', headers }, (response) => {
      let all = ''
      response.on('data', (chunk: Buffer) => (all += chunk.toString()))
      response.on('end', () => resolve(all))
    })
    ask.on('error', reject)
    ask.end()
  })
  return Number(new RegExp(`^rackward_limit_reached_total\\{limit="${limit}"\\} (\\d+)`, 'm').exec(text)?.[1] ?? 0)
}
