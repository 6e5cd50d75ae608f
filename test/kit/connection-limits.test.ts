/** A full listener makes room at the cost of those who asked for nothing, and not of those who work. */
import { Agent, createServer, request, type Server } from 'node:http'
import { connect, type AddressInfo, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { limitConnections } from '../../kit/connection-limits.ts'
import { until } from '../../kit/clock.ts'

const ALL = 40
let server: Server
let port = 0
let refused: string[] = []
const sockets: Socket[] = []
const agents: Agent[] = []
beforeEach(async () => {
  refused = []
  server = createServer((_request, response) => void response.end('here'))
  limitConnections(server, { all: ALL, perAddress: 30 }, (which, address) => void refused.push(`${which} ${address}`))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
})
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy()
  for (const agent of agents.splice(0)) agent.destroy()
  server.close()
  server.closeAllConnections()
})

const ask = (agent: Agent): Promise<boolean> =>
  new Promise((resolve) => {
    request({ host: '127.0.0.1', port, agent }, (response) => response.resume().on('end', () => resolve(true)))
      .on('error', () => resolve(false))
      .end()
  })
const worker = () => {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  agents.push(agent)
  return agent
}
/** Connects from an address of its own, and says nothing. */
const silent = (n: number) => {
  const socket = connect({ host: '127.0.0.1', port, localAddress: `127.0.3.${n}` })
  socket.on('error', () => undefined)
  sockets.push(socket)
}
const connections = () => new Promise<number>((resolve) => server.getConnections((_error, count) => resolve(count)))

test('twenty clients of one address that work keep their connections while thirty addresses fill all places with silence', async () => {
  const workers = Array.from({ length: 20 }, worker)
  expect(await Promise.all(workers.map(ask))).not.toContain(false)
  for (let n = 0; n < 60; n += 1) silent((n % 30) + 1)
  await until(async () => refused.length > 0 && (await connections()) === ALL, {
    what: 'a full listener',
    timeoutMs: 30_000,
  })

  expect(await Promise.all(workers.map(ask))).not.toContain(false)
  for (let n = 0; n < 5; n += 1) expect(await ask(worker())).toBe(true)
  expect(refused.filter((text) => text.includes('127.0.0.1'))).toEqual([])
})

test('one address that opens silent connections loses its own, the oldest first', async () => {
  for (let n = 0; n < 25; n += 1) silent(1)
  for (let n = 0; n < 15; n += 1) silent(n + 2)
  await until(async () => (await connections()) === ALL, { what: 'a full listener', timeoutMs: 20_000 })
  expect(await ask(worker())).toBe(true)
  expect(refused).toEqual(['all 127.0.3.1'])
  await until(() => sockets[0]?.destroyed === true, { what: 'the end of the oldest', timeoutMs: 20_000 })
})
