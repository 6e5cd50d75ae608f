/** The serial console as a websocket: who may open it, what goes through it, how it ends; and the one of a real BMC
 *  (ipmi_sim) by serial over LAN. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import bcrypt from 'bcryptjs'
import { afterAll, beforeAll, expect, test } from 'vitest'
import WebSocket from 'ws'
import { closeReason } from '../../conductor/api/console.ts'
import { Config } from '../../conductor/config.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { startSim, type Sim } from '../fake/sim.ts'
import { call } from './api-bench.ts'

let dir = ''
let own: Conductor
let base = ''
let sim: Sim
let other: Sim
/** What the machine behind the BMC prints, and what it is told. */
let serial: Server
let told = ''
const machines: Socket[] = []
const basic = (user: string) => ({ authorization: `Basic ${Buffer.from(`${user}:pw-${user}`).toString('base64')}` })
const place = (node: string, query = '') => `${base.replace('http', 'ws')}/rackward/v1/nodes/${node}/console${query}`

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-console-'))
  const users = ['op', 'reader', 'tenant', 'owner']
  await writeFile(join(dir, 'htpasswd'), users.map((user) => `${user}:${bcrypt.hashSync(`pw-${user}`, 4)}\n`).join(''))
  serial = createServer((socket) => {
    machines.push(socket)
    socket.on('data', (chunk) => (told += chunk.toString()))
    socket.on('error', () => undefined)
  })
  await new Promise<void>((resolve) => serial.listen(0, '127.0.0.1', resolve))
  sim = await startSim(57, { serial: (serial.address() as AddressInfo).port })
  other = await startSim(58)
  const config = Config.parse({
    data: join(dir, 'data'),
    images: { store: dir },
    api: {
      listen: [{ address: '127.0.0.1', port: 0 }],
      auth: {
        strategy: 'http_basic',
        file: join(dir, 'htpasswd'),
        users: {
          op: { role: 'admin' },
          reader: { role: 'reader' },
          tenant: { role: 'operator', project: 't' },
          owner: { role: 'operator', project: 'o' },
        },
      },
    },
    fake: { delaySeconds: 0.01 },
  })
  own = await startConductor(config, { log: silentLog })
  base = own.addresses[0] as string
  const make = (body: unknown) =>
    call('POST', '/v1/nodes', body, { 'OpenStack-API-Version': 'baremetal latest', ...basic('op') }, base)
  await make({ name: 'f1', driver: 'fake-hardware', owner: 'o' })
  const driver_info = { ipmi_address: sim.address, ipmi_username: 'admin', ipmi_password: 'secret' }
  await make({ name: 'r1', driver: 'ipmi', driver_info })
  await make({
    name: 'r2',
    driver: 'ipmi',
    driver_info: { ...driver_info, ipmi_address: other.address, ipmi_password: 'wrong' },
  })
}, 30_000)
afterAll(async () => {
  await own.stop()
  for (const machine of machines) machine.destroy()
  serial.close()
  await sim.stop()
  await other.stop()
  await rm(dir, { recursive: true })
})

interface Line {
  readonly ws: WebSocket
  said(): string
  readonly closed: Promise<{ code: number; reason: string }>
}

function open(url: string, headers: Record<string, string>): Promise<Line> {
  return new Promise((resolve, reject) => {
    const ws = new WebSocket(url, { headers })
    let text = ''
    ws.on('message', (data: Buffer) => (text += data.toString()))
    const closed = new Promise<{ code: number; reason: string }>((done) =>
      ws.once('close', (code, reason) => done({ code, reason: reason.toString() })),
    )
    ws.once('open', () => resolve({ ws, said: () => text, closed }))
    ws.once('error', reject)
    ws.once('unexpected-response', (_, response) => reject(new Error(String(response.statusCode))))
  })
}
const says = (line: Line, what: string) => until(() => line.said().includes(what), { what, timeoutMs: 30_000 })

test.each([
  ['nobody', 'f1', {}, '401'],
  ['a wrong password', 'f1', { authorization: `Basic ${Buffer.from('op:no').toString('base64')}` }, '401'],
  ['a reader', 'f1', basic('reader'), '403'],
  ['a node that is not there', 'nobody', basic('op'), '404'],
  ['the node of another project', 'f1', basic('tenant'), '404'],
  ['a page of a sibling domain', 'f1', { ...basic('op'), 'sec-fetch-site': 'same-site' }, '403'],
  ['a page of another site', 'f1', { ...basic('op'), origin: 'https://evil.example' }, '403'],
  ['an origin that is none', 'f1', { ...basic('op'), origin: 'null' }, '403'],
  ['a name that is not encoded as it should be', '%zz', basic('op'), '400'],
  ['a password that the BMC refuses', 'r2', basic('op'), '500'],
])('%s is refused', async (_, node, headers, status) => {
  await expect(open(place(node), headers)).rejects.toThrow(status)
})

test('without a handshake it says what it is; a broken one leaves nothing behind', async () => {
  const answer = await call('GET', '/rackward/v1/nodes/f1/console', undefined, basic('op'), base)
  expect(answer.status).toBe(400)
  expect(answer.body.error_message).toMatch(/websocket/)
  const { port, hostname } = new URL(base)
  for (const path of ['/rackward/v1/nodes/f1/console', '/v1/nodes', '/%', '//', '//x', '?']) {
    const socket = connect(Number(port), hostname)
    socket.write(
      `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nAuthorization: ${basic('op').authorization}\r\n\r\n`,
    )
    const text = await new Promise<string>((resolve) => {
      let all = ''
      socket.on('data', (chunk) => (all += chunk.toString()))
      socket.on('close', () => resolve(all))
    })
    expect(text).toMatch(/^HTTP\/1\.1 4\d\d /)
  }
})

test('what is typed comes to the node, and what it says comes back; both are in the record', async () => {
  const events = async () =>
    (await call('GET', '/rackward/v1/events?node=f1&kinds=console', undefined, basic('op'), base)).body.events as {
      detail: unknown
    }[]
  const before = (await events()).length
  const line = await open(place('f1'), basic('owner'))
  await says(line, '[fake console]')
  line.ws.send('hello')
  await says(line, 'hello')
  line.ws.close()
  await line.closed
  await until(async () => (await events()).length === before + 2, { what: 'both events', timeoutMs: 20_000 })
  expect((await events()).slice(before).map(({ detail }) => detail)).toEqual([
    { what: 'opened', by: 'owner' },
    { what: 'closed', by: 'owner' },
  ])
})

test('a browser opens one with the cookie of its session and from a page of its own, and it ends with the session', async () => {
  const logged = await call('POST', '/rackward/v1/session', { user: 'op', password: 'pw-op' }, {}, base)
  const cookie = String(logged.headers['set-cookie']).split(';')[0] as string
  await expect(open(place('f1'), { cookie })).rejects.toThrow('403')
  await expect(open(place('f1'), { cookie, origin: 'https://evil.example' })).rejects.toThrow('403')
  const lines = await Promise.all([1, 2].map(() => open(place('f1'), { cookie, origin: base })))
  // The BMC of r1 takes its time: the session ends while it does.
  const refused = open(place('r1'), { cookie, origin: base }).catch((error: Error) => error)
  const opening = async () =>
    (await call('GET', '/rackward/v1/events?node=r1&newest=true&kinds=console', undefined, basic('op'), base)).body
      .events.length > 0
  await until(opening, { what: 'the console of r1', timeoutMs: 30_000, everyMs: 5 })
  await call('DELETE', '/rackward/v1/session', undefined, { cookie, 'x-rackward-csrf': logged.body.csrf }, base)
  for (const { closed } of lines) expect(await closed).toMatchObject({ code: 1008, reason: 'your session has ended' })
  const third = await refused
  if (third instanceof Error) expect(third.message).toBe('401')
  else expect((await third.closed).code).toBe(1008)
})

test('more than a message may hold ends it', async () => {
  const line = await open(place('f1'), basic('op'))
  line.ws.send(Buffer.alloc(70_000))
  expect((await line.closed).code).toBe(1009)
})

test('a page whose console is refused is told why, and what it sends instead of closing breaks nothing', async () => {
  const headers = { ...basic('op'), origin: base }
  const refused = await open(place('r2'), headers)
  expect(await refused.closed).toMatchObject({ code: 4000, reason: expect.stringMatching(/./) })
  const broken: unknown[] = []
  const onBroken = (error: unknown) => void broken.push(error)
  process.prependListener('uncaughtException', onBroken)
  const rude = new WebSocket(place('r2'), { headers })
  rude.on('error', () => undefined)
  // More than a message may hold, before the close of the conductor is answered.
  rude.once('open', () => rude.send(Buffer.alloc(70_000)))
  await new Promise((resolve) => rude.once('close', resolve))
  expect((await call('GET', '/rackward/v1/me', undefined, basic('op'), base)).status).toBe(200)
  process.removeListener('uncaughtException', onBroken)
  expect(broken).toEqual([])
})

test('the reason of a close fits into its frame, wherever its characters are cut', () => {
  for (const text of ['漢'.repeat(200), '𝄞'.repeat(200), 'é'.repeat(200), 'short'])
    for (const pad of ['', 'x', 'xx', 'xxx'])
      for (const keep of ['start', 'end'] as const) {
        const reason = closeReason(pad + text + pad, keep)
        // RFC 6455, 5.5: 125 bytes, of which the code takes two.
        expect(Buffer.byteLength(reason)).toBeLessThanOrEqual(123)
        expect(pad + text + pad).toContain(reason)
        expect(reason).not.toBe('')
      }
})

test('a real BMC: what the machine prints is seen, and what is typed reaches it', { timeout: 60_000 }, async () => {
  const line = await open(place('r1'), basic('op'))
  await says(line, 'SOL Session operational')
  await until(() => machines.length > 0, { what: 'the BMC at the serial line', timeoutMs: 20_000 })
  machines.at(-1)?.write('login: ')
  await says(line, 'login: ')
  line.ws.send('root\r')
  await until(() => told.includes('root\r'), { what: 'what was typed', timeoutMs: 20_000 })
  line.ws.close()
  await line.closed
  // The session of the BMC ends with it: the next one need not take it away from anybody.
  const operational = async () => {
    const next = await open(place('r1'), basic('op'))
    const isOpen = await Promise.race([
      says(next, 'SOL Session operational').then(() => true),
      next.closed.then(() => false),
    ])
    next.ws.close()
    return isOpen
  }
  await until(operational, { what: 'another session without stealing', timeoutMs: 20_000, everyMs: 200 })
  const next = await open(place('r1', '?steal=true'), basic('op'))
  await says(next, 'SOL Session operational')
  next.ws.close()
})

test('a conductor that stops says so', async () => {
  const line = await open(place('f1'), basic('op'))
  await own.stop()
  expect([1001, 1006]).toContain((await line.closed).code)
})
