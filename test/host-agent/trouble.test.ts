/** What an agent says of the port that it cannot talk to: on the console each time, over HTTP what it knows. */
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { ANSWER, PIN } from '../../host-agent/deploy/conductor.ts'
import { troubleOf } from '../../host-agent/deploy/trouble.ts'
import { until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'

const unreached = new Fault('agent.network', 'the connection took too long')
const answered = new Fault('agent.network', 'the conductor answered 500', { field: ANSWER })
const distrusted = new Fault('agent.session', 'another certificate', { field: PIN })

test('a port that is not reached and a certificate that is not accepted are told; a conductor that answers is reached', async () => {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(`${request.method} ${request.url}`)
    response.writeHead(204).end()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const said: string[] = []
  const http = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  const trouble = troubleOf({ http, say: (line) => void said.push(line) })
  trouble(answered, 1)
  for (let tries = 1; tries <= 10; tries += 1) trouble(unreached, tries)
  trouble(new Fault('agent.token', 'used already'), 1)
  trouble(distrusted, 1)
  await until(() => asked.length === 3, { what: 'what is said', timeoutMs: 20_000 })
  expect(asked.sort()).toEqual(['GET /agent-said/distrusts', 'GET /agent-said/unreached', 'GET /agent-said/unreached'])
  expect(said).toHaveLength(4)
  server.close()
})

test('without an address that can be asked it stays at the console', () => {
  for (const http of [undefined, 'nonsense', 'ftp://127.0.0.1']) {
    const said: string[] = []
    troubleOf({ http, say: (line) => void said.push(line) })(unreached, 1)
    expect(said).toHaveLength(1)
  }
})
