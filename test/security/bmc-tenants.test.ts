/** BMCs between projects: nobody takes the BMC of another's node, sends its password elsewhere, or reads where it
 *  is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { until } from '../../kit/clock.ts'
import { basic, Victim } from './victim.ts'

const ADDRESS = '127.99.98.97'
const USER = 'bmc-operator'
let victim: Victim
let dir = ''
/** An ipmitool that ends as the real one does when a BMC is silent, or refuses the password. */
const answers = (line: string) =>
  writeFile(join(dir, 'ipmitool'), `#!/bin/sh\necho 'Error: ${line}' >&2\nexit 1\n`, { mode: 0o755 })
const SILENT = 'Unable to establish IPMI v2 / RMCP+ session'
const as = (user: string) => (method: string, path: string, body?: unknown) => victim.call(method, path, body, { user })
const [root, red, blue, reader] = [as('root'), as('red'), as('blue'), as('blue-reader')]
const driverInfo = (more = {}) => ({ ipmi_address: ADDRESS, ipmi_username: USER, ipmi_password: 'right', ...more })

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-bmc-tenants-'))
  await answers(SILENT)
  victim = await Victim.start({
    users: {
      root: { role: 'admin' },
      red: { role: 'admin', project: 'red' },
      blue: { role: 'admin', project: 'blue' },
      'blue-reader': { role: 'reader', project: 'blue' },
    },
    env: { PATH: `${dir}:${process.env.PATH}` },
    config: {
      bmc: { ipmiClient: 'ipmitool' },
      powerSync: { everySeconds: 0 },
      provision: { effectTries: 1, powerTimeoutSeconds: 20 },
    },
  })
  expect((await red('POST', '/v1/nodes', { driver: 'ipmi', name: 'n1', driver_info: driverInfo() })).status).toBe(201)
}, 60_000)
afterAll(async () => {
  await victim.remove()
  await rm(dir, { recursive: true })
})

test('another project cannot enroll a node with the same BMC, nor move one there, and does not learn whose it is', async () => {
  for (const info of [driverInfo({ ipmi_password: 'wrong' }), { ipmi_address: `::ffff:${ADDRESS}`, ipmi_port: 623 }]) {
    const refused = await blue('POST', '/v1/nodes', { driver: 'ipmi', name: 'thief', driver_info: info })
    expect([refused.status, String(refused.body.error_message)]).toEqual([
      409,
      expect.stringContaining('driver_info/ipmi_address') as string,
    ])
    expect(refused.body.error_message).not.toMatch(/n1|red/)
  }
  expect(
    (
      await blue('POST', '/v1/nodes', {
        driver: 'ipmi',
        name: 'b1',
        driver_info: driverInfo({ ipmi_address: '127.99.98.96', ipmi_username: 'other' }),
      })
    ).status,
  ).toBe(201)
  const whole = [{ op: 'replace', path: '/driver_info', value: driverInfo() }]
  expect((await blue('PATCH', '/v1/nodes/b1', whole)).status).toBe(409)
})

test('a user of a project gives the password again with a new address; a whole administrator need not', async () => {
  const move = (more: object[] = []) => [
    { op: 'replace', path: '/driver_info/ipmi_address', value: '127.99.98.90' },
    ...more,
  ]
  const kept = [
    move(),
    [{ op: 'add', path: '/driver_info/ipmi_port', value: 6230 }],
    move([{ op: 'replace', path: '/driver_info/ipmi_password', value: '******' }]),
    [
      {
        op: 'replace',
        path: '/driver_info',
        value: driverInfo({ ipmi_address: '127.99.98.90', ipmi_password: '******' }),
      },
    ],
  ]
  for (const patch of kept) {
    const refused = await blue('PATCH', '/v1/nodes/b1', patch)
    expect([patch, refused.status, String(refused.body.error_message)]).toEqual([
      patch,
      400,
      expect.stringContaining('ipmi_password again') as string,
    ])
  }
  expect(
    (await blue('PATCH', '/v1/nodes/b1', [{ op: 'add', path: '/driver_info/ipmi_priv_level', value: 'OPERATOR' }]))
      .status,
  ).toBe(200)
  expect(
    (await blue('PATCH', '/v1/nodes/b1', move([{ op: 'replace', path: '/driver_info/ipmi_password', value: 'new' }])))
      .status,
  ).toBe(200)
  expect(
    (await root('PATCH', '/v1/nodes/b1', [{ op: 'replace', path: '/driver_info/ipmi_address', value: '127.99.98.96' }]))
      .status,
  ).toBe(200)
})

/** All that the conductor answers to a console that cannot be opened. */
const handshake = (path: string) =>
  new Promise<string>((resolve, reject) => {
    const { hostname, port } = new URL(victim.base)
    const socket = connect(Number(port), hostname)
    let text = ''
    socket.on('data', (chunk) => (text += chunk.toString()))
    socket.once('error', reject)
    socket.once('close', () => resolve(text))
    const headers = [
      'Connection: Upgrade',
      'Upgrade: websocket',
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==',
    ]
    socket.write(
      [`GET ${path} HTTP/1.1`, `Host: ${hostname}:${port}`, `Authorization: ${basic('blue')}`, ...headers, '', ''].join(
        '\r\n',
      ),
    )
  })

test.each([
  ['did not answer', SILENT, /BMC did not answer/],
  ['refuses the password', 'RAKP 2 HMAC is invalid', /refused the user or the password/],
])('a lessee reads that the BMC %s, and nowhere its address or its user', async (_, line, says) => {
  await answers(line)
  expect((await root('PATCH', '/v1/nodes/n1', [{ op: 'add', path: '/lessee', value: 'blue' }])).status).toBe(200)
  expect((await red('PUT', '/v1/nodes/n1/states/provision', { target: 'manage' })).status).toBe(202)
  const shown = await until(
    async () => {
      const { body } = await root('GET', '/v1/nodes/n1')
      return body.provision_state === 'enroll' && body.last_error ? body : undefined
    },
    { what: 'the BMC to be given up', timeoutMs: 60_000, everyMs: 100 },
  )
  expect(shown.last_error).toContain(ADDRESS)
  await root('PUT', '/v1/nodes/n1/maintenance', { reason: `BMC ${ADDRESS} of ${USER} is broken` })
  const paths = [
    '/v1/nodes/n1',
    '/v1/nodes/detail',
    '/v1/nodes/n1/states',
    '/v1/nodes/n1/history?detail=true',
    '/v1/nodes/n1/management/boot_device',
    '/rackward/v1/nodes/n1/explain',
    `/rackward/v1/events?after=0&node=${shown.uuid}&limit=1000`,
  ]
  for (const path of paths) {
    const text = JSON.stringify((await reader('GET', path)).body)
    expect([path, text.includes(ADDRESS), text.includes(USER)]).toEqual([path, false, false])
  }
  expect((await reader('GET', '/v1/nodes/n1')).body.last_error).toMatch(says)
  const refused = await handshake('/rackward/v1/nodes/n1/console')
  expect([/HTTP\/1.1 5\d\d/.test(refused), refused.includes(ADDRESS), refused.includes(USER)]).toEqual([
    true,
    false,
    false,
  ])
  // Its owner still reads the address.
  expect((await red('GET', '/v1/nodes/n1')).body.last_error).toContain(ADDRESS)
  await root('DELETE', '/v1/nodes/n1/maintenance')
})
