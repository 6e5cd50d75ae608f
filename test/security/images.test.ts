/** A lessee names what the conductor fetches: this machine is not reached by it, its answers are not told, and an
 *  import ends with the lock of its node. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { parse, stringify } from 'yaml'
import { until } from '../../kit/clock.ts'
import { freePort } from '../kit/free-port.ts'
import { Victim } from './victim.ts'

const USERS = { root: { role: 'admin' }, lessee: { role: 'operator', project: 'blue' } } as const
const SECRET = 'f'.repeat(64)

let tools = ''
let victim: Victim
let server: Server
let port = 0
let asked = 0
let open = 0
beforeAll(async () => {
  tools = await mkdtemp(join(tmpdir(), 'rackward-tools-'))
  // The BMCs: every server is off.
  await writeFile(join(tools, 'ipmitool'), '#!/bin/sh\necho "Chassis Power is off"\n')
  await chmod(join(tools, 'ipmitool'), 0o755)
  server = createServer((request, response) => {
    asked += 1
    open += 1
    response.on('close', () => (open -= 1))
    if (request.url === '/trickle') return void response.writeHead(200).write('x')
    response.end('the answer of a service that only this machine reaches')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  port = (server.address() as AddressInfo).port
  victim = await Victim.start({
    users: USERS,
    env: { PATH: `${tools}:${process.env.PATH}` },
    config: {
      bmc: { ipmiClient: 'ipmitool' },
      powerSync: { everySeconds: 0 },
      provision: { automatedClean: false, effectTries: 1 },
    },
  })
}, 60_000)
afterAll(async () => {
  server.closeAllConnections()
  server.close()
  await victim?.remove()
  await rm(tools, { recursive: true, force: true })
})

const settled = (uuid: string, states: readonly string[]) =>
  until(
    async () =>
      ((node) => states.includes(node.provision_state) && node.reservation === null && node)(
        (await victim.call('GET', `/v1/nodes/${uuid}`, undefined, { user: 'root' })).body,
      ),
    {
      what: `${states.join(' or ')}`,
      timeoutMs: 30_000,
      everyMs: 20,
    },
  )

let made = 0
/** A node that the lessee may deploy on. */
async function leased(): Promise<string> {
  made += 1
  const info = { ipmi_address: `192.0.2.${made}`, ipmi_username: 'u', ipmi_password: 'p' }
  const body = { driver: 'ipmi', driver_info: info, owner: 'red', lessee: 'blue' }
  const { uuid } = (await victim.call('POST', '/v1/nodes', body, { user: 'root' })).body
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['provide', 'available'],
  ] as const) {
    const answer = await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target }, { user: 'root' })
    expect([answer.status, JSON.stringify(answer.body ?? null)]).toEqual([202, 'null'])
    await settled(uuid, [state])
  }
  return uuid
}
async function deploy(image_source: string, uuid: string) {
  const patch = [{ op: 'add', path: '/instance_info', value: { image_source, image_checksum: SECRET } }]
  expect((await victim.call('PATCH', `/v1/nodes/${uuid}`, patch, { user: 'lessee' })).status).toBe(200)
  return victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target: 'active' }, { user: 'lessee' })
}

test('no way to write this machine’s address makes the conductor ask it, and an open port is told like a closed one', async () => {
  const uuid = await leased()
  const closed = await freePort()
  for (const host of [
    '127.0.0.1',
    'localhost',
    '2130706433',
    '0x7f000001',
    '0177.0.0.1',
    '127.1',
    '0.0.0.0',
    '[::1]',
    '[::ffff:127.0.0.1]',
    '[::ffff:7f00:1]',
    '169.254.169.254',
  ]) {
    const told: string[] = []
    for (const at of [port, closed]) {
      expect([host, (await deploy(`http://${host}:${at}/`, uuid)).status]).toEqual([host, 202])
      const { last_error } = await settled(uuid, ['deploy failed'])
      expect(last_error).toContain('images.allowedHosts')
      told.push(String(last_error).replaceAll(String(at), 'PORT'))
    }
    expect(told[0]).toBe(told[1])
  }
  expect(asked).toBe(0)
}, 60_000)

test('a source of another scheme is refused before anything begins', async () => {
  const uuid = await leased()
  for (const source of ['a:/../../etc/passwd', 'ftp://192.0.2.1/x', '/etc/passwd', 'data:,x']) {
    const { status, body } = await deploy(source, uuid)
    expect([source, status]).toEqual([source, 400])
    expect(JSON.parse(body.error_message).faultstring).toContain('instance_info/image_source')
  }
})

test('breaking the lock ends the import and removes its files; what a killed conductor left goes at its next start', async () => {
  // The host is allowed for these; an unfinished index of another image is there beside.
  await victim.end()
  const broken = join(victim.dir, 'images', 'e'.repeat(64))
  await mkdir(broken, { recursive: true })
  await writeFile(join(broken, 'index.json'), '')
  const file = join(victim.dir, 'conductor.yaml')
  const config = parse(await readFile(file, 'utf8')) as { images: object }
  await writeFile(file, stringify({ ...config, images: { ...config.images, allowedHosts: ['127.0.0.1'] } }))
  await victim.restart()
  expect((await victim.call('GET', '/readyz')).body).toMatchObject({ damaged: [`image ${'e'.repeat(64)}`] })
  const parts = async () => (await readdir(join(victim.dir, 'images'))).filter((entry) => entry.startsWith('.part'))
  const uuid = await leased()
  expect((await deploy(`http://127.0.0.1:${port}/trickle`, uuid)).status).toBe(202)
  await until(async () => open === 1 && (await parts()).length === 1, {
    what: 'the import',
    timeoutMs: 20_000,
    everyMs: 20,
  })
  expect(
    (await victim.call('DELETE', `/rackward/v1/nodes/${uuid}/lock?reason=enough`, undefined, { user: 'root' })).status,
  ).toBe(200)
  await until(async () => open === 0 && (await parts()).length === 0, {
    what: 'the end of the import',
    timeoutMs: 20_000,
    everyMs: 20,
  })

  const other = await leased()
  expect((await deploy(`http://127.0.0.1:${port}/trickle`, other)).status).toBe(202)
  await until(async () => (await parts()).length === 1, { what: 'the import', timeoutMs: 20_000, everyMs: 20 })
  const [left] = await parts()
  await victim.end('SIGKILL')
  expect(await parts()).toEqual([left])
  await victim.restart()
  expect(await parts()).not.toContain(left)
}, 90_000)
