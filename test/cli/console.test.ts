/** `rackward node console`: typed, shown, ended. */
import { spawn } from 'node:child_process'
import { createHash } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect, test } from 'vitest'
import { escapes } from '../../cli/console.ts'
import { STATUSES } from '../../cli/error.ts'
import { until } from '../../kit/clock.ts'
import { run } from '../../kit/run.ts'
import { base, create } from '../conductor/api-bench.ts'
import { RACKWARD_MAIN } from '../lab/root.ts'

const cli = (args: readonly string[], env: Record<string, string> = {}) =>
  run([process.execPath, RACKWARD_MAIN, ...args], {
    timeoutMs: 30_000,
    env: { RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '', ...env },
  })

test('a console: what is typed goes to the node, what it says comes back, ~. ends it', async () => {
  await create({ name: 'con-1' })
  const child = spawn(process.execPath, [RACKWARD_MAIN, 'node', 'console', 'con-1'], {
    env: { ...process.env, RACKWARD_SERVER: base, OS_CLOUD: '', OS_ENDPOINT: '' },
    stdio: ['pipe', 'pipe', 'ignore'],
  })
  let said = ''
  child.stdout.on('data', (chunk: Buffer) => (said += chunk.toString()))
  const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
  await until(() => said.includes('[fake console]'), { what: 'the console', timeoutMs: 30_000 })
  child.stdin.write('ls ~/~.x\r')
  await until(() => said.includes('ls ~/~.x\r'), { what: 'the echo', timeoutMs: 30_000 })
  child.stdin.write('~.')
  expect(await ended).toBe(0)
  expect((await cli(['node', 'console', 'nobody'])).code).toBe(STATUSES.missing)
  expect((await cli(['node', 'console', 'con-1'], { RACKWARD_SERVER: 'http://127.0.0.1:1' })).code).toBe(
    STATUSES.unreachable,
  )
})

test('a console shows what comes in one packet with the handshake', async () => {
  const server = createServer()
  server.on('upgrade', (request, socket) => {
    // RFC 6455, 1.3 and 5.2: the answer, a binary frame, and a close of status 1000.
    const key = `${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`
    const accept = createHash('sha1').update(key).digest('base64')
    const head = ['HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade']
    const answer = [...head, `Sec-WebSocket-Accept: ${accept}`, '', ''].join('\r\n')
    socket.write(Buffer.from(`${answer}\x82\x05login\x88\x02\x03\xe8`, 'latin1'))
    // The client's close is answered by the end of the connection.
    socket.on('data', () => socket.end())
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const at = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const { code, stdout } = await cli(['node', 'console', 'any'], { RACKWARD_SERVER: at })
    expect([code, stdout]).toEqual([0, 'login'])
  } finally {
    server.close()
  }
})

test.each([
  [['~.'], '', true],
  [['a~.'], 'a~.', false],
  [['ls\r', '~', '.', 'x'], 'ls\r', true],
  [['\r~~.'], '\r~~.', false],
  [['\n~', 'b'], '\n~b', false],
])('%j typed is %j, and ends: %j', (chunks, sent, ends) => {
  const take = escapes()
  let [all, over] = ['', false]
  for (const chunk of chunks) {
    const { send, end } = take(Buffer.from(chunk))
    all += send.toString()
    over = end
    if (over) break
  }
  expect([all, over]).toEqual([sent, ends])
})
