/** Ironic's doors for agents: they give nothing away, and take nothing without the token of the node's present boot. */
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { mintToken } from '../../conductor/boot/token.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { call as plain, faultOf } from './api-bench.ts'

let dir = ''
let own: Conductor
let node = ''
let number = 0
/** A BMC that obeys. */
let power = 'off'
const ipmitool: Run = async (argv) => {
  power = /power (on|off)$/.exec(argv.join(' '))?.[1] ?? power
  return { code: 0, stdout: `Chassis Power is ${power}\n`, stderr: '' }
}
/** What rules call: remembers what came, and answers what the path says. */
const hooks = {
  origin: '',
  asked: [] as { url: string; key: unknown }[],
  server: createServer((request, response) => {
    hooks.asked.push({ url: request.url ?? '', key: request.headers['x-key'] })
    const status = Number(/\d+$/.exec(request.url ?? '')?.[0] ?? 200)
    response.writeHead(status, status === 302 ? { location: '/elsewhere' } : {}).end('x'.repeat(100_000))
  }),
  async start() {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve))
    this.origin = `http://127.0.0.1:${(this.server.address() as AddressInfo).port}`
  },
  stop() {
    this.server.closeAllConnections()
    this.server.close()
  },
}
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-doors-'))
  await hooks.start()
  own = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: dir },
      api: { listen: [{ address: '127.0.0.1', port: 0 }], auth: { strategy: 'noauth' } },
      inspection: { apiCallUrls: [`${hooks.origin}/hooks/`] },
    }),
    { log: silentLog, run: ipmitool, fleet: null },
  )
})
afterAll(async () => {
  await own?.stop()
  hooks.stop()
  await rm(dir, { recursive: true })
})
const call = (method: string, path: string, body?: unknown) => plain(method, path, body, undefined, own.addresses[0])
const look = async () => (await call('GET', `/v1/nodes/${node}`)).body
const mac = () => `52:54:00:d0:00:${number.toString(16).padStart(2, '0')}`
const state = (wanted: string) =>
  until(async () => (await look()).provision_state === wanted, { what: wanted, timeoutMs: 20_000, everyMs: 10 })
const token = async (generation: number, atMs = Date.now()) =>
  mintToken(Buffer.from((await readFile(join(dir, 'data/boot.key'), 'utf8')).trim(), 'hex'), {
    nodeUuid: node,
    generation,
    mintedMs: atMs,
  })

beforeEach(async () => {
  number += 1
  power = 'off'
  const made = await call('POST', '/v1/nodes', {
    driver: 'ipmi',
    driver_info: { ipmi_address: `127.0.1.${number}`, ipmi_username: 'u', ipmi_password: 'p' },
  })
  node = String(made.body.uuid)
  await call('POST', '/v1/ports', { node_uuid: node, address: mac() })
  await call('PUT', `/v1/nodes/${node}/states/provision`, { target: 'manage' })
  await state('manageable')
  await call('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
  await state('inspect wait')
})

describe('lookup', () => {
  test('names the node of a booting server, and never a token; unknown, ambiguous and resting ones are not there', async () => {
    const found = await call('GET', `/v1/lookup?addresses=${mac().toUpperCase()},02:00:00:00:00:99`)
    expect(found).toMatchObject({
      status: 200,
      body: {
        node: { uuid: node },
        config: { agent_token: '******', agent_token_required: true, heartbeat_timeout: 300 },
      },
    })
    expect(JSON.stringify(found.body)).not.toContain('"p"')
    expect((await call('GET', `/v1/lookup?node_uuid=${node}`)).status).toBe(200)
    expect((await call('GET', '/v1/lookup')).status).toBe(400)
    await call('PUT', `/v1/nodes/${node}/states/provision`, { target: 'abort' })
    await state('inspect failed')
    const texts = await Promise.all(
      [`addresses=${mac()}`, 'addresses=02:00:00:00:00:99', 'node_uuid=nobody'].map(
        async (query) => faultOf(await call('GET', `/v1/lookup?${query}`)).faultstring,
      ),
    )
    expect(new Set(texts).size).toBe(1)
  })
})

describe('heartbeat', () => {
  const beat = (more: Record<string, unknown>) =>
    call('POST', `/v1/heartbeat/${node}`, { callback_url: 'https://10.0.0.5:9999', agent_version: '9.0', ...more })
  test('counts only with the token of the present boot; one that was used is refused', async () => {
    expect((await beat({})).status).toBe(400)
    expect((await beat({ agent_token: 'x' })).status).toBe(400)
    expect((await beat({ agent_token: await token(1) })).status).toBe(400)
    const own = await token(2)
    expect([(await beat({ agent_token: own })).status, (await beat({ agent_token: own })).status]).toEqual([202, 202])
    expect((await beat({ agent_token: own, callback_url: 'ftp://x' })).status).toBe(400)
    expect((await look()).driver_internal_info.rackward).toMatchObject({
      agent: 'working',
      milestones: { hello: expect.any(String) as string },
    })
    // A second token of the same boot is a second machine.
    expect((await beat({ agent_token: await token(2, 5) })).status).toBe(400)
    expect(await look()).toMatchObject({
      provision_state: 'inspect failed',
      last_error: expect.stringContaining('two machines claimed boot 2') as string,
    })
    expect((await beat({ agent_token: own })).status).toBe(400)
  })
  test('an agent that says end has done its step; one that says error has failed', async () => {
    expect(
      (await beat({ agent_token: await token(2), agent_status: 'error', agent_status_message: 'no disk' })).status,
    ).toBe(202)
    expect(await look()).toMatchObject({
      provision_state: 'inspect failed',
      last_error: expect.stringContaining('no disk') as string,
    })
  })
})

describe('continue_inspection', () => {
  const inventory = {
    interfaces: [{ mac_address: '02:00:00:00:01:01' }, { mac_address: 'no mac' }],
    cpu: { count: 16, architecture: 'aarch64' },
    memory: { physical_mb: 65_536 },
    boot: { current_boot_mode: 'uefi', pxe_interface: '02:00:00:00:01:01' },
    system_vendor: { manufacturer: 'Acme', product_name: 'R1' },
  }
  const send = async (body: unknown, with_ = `agent_token=${'x'}`) =>
    call('POST', `/v1/continue_inspection?node_uuid=${node}&${with_}`, body)
  afterEach(async () => {
    for (const { uuid } of (await call('GET', '/v1/inspection_rules')).body.inspection_rules)
      await call('DELETE', `/v1/inspection_rules/${uuid}`)
  })
  test('takes an inventory with the token alone, runs the rules, and ends the inspection', async () => {
    await call('POST', '/v1/inspection_rules', {
      priority: 5,
      conditions: [
        { op: 'eq', args: { values: ['{inventory[cpu][architecture]}', 'aarch64'] } },
        { op: '!lt', args: [['{inventory[memory][physical_mb]}', 1024]] },
      ],
      actions: [
        { op: 'set-attribute', args: ['properties/rack', '{inventory[system_vendor][manufacturer]}-7'] },
        { op: 'set-capability', args: { name: 'gpu', value: 'no' } },
        { op: 'add-trait', args: ['CUSTOM_ARM'] },
        { op: 'set-port-attribute', args: { port_id: '{item}', path: 'extra/seen', value: true }, loop: [mac()] },
      ],
    })
    expect((await send({ inventory })).status).toBe(400)
    expect((await send({ inventory: { interfaces: [] } }, `agent_token=${await token(2)}`)).status).toBe(400)
    expect((await look()).provision_state).toBe('inspect wait')
    expect((await send({ inventory, extra: { a: 1 } }, `agent_token=${await token(2)}`)).status).toBe(202)
    await state('manageable')
    expect(await look()).toMatchObject({
      properties: {
        cpus: 16,
        cpu_arch: 'aarch64',
        memory_mb: 65_536,
        vendor: 'Acme',
        model: 'R1',
        rack: 'Acme-7',
        capabilities: 'boot_mode:uefi,gpu:no',
      },
      traits: ['CUSTOM_ARM'],
    })
    expect((await call('GET', `/v1/nodes/${node}/inventory`)).body).toMatchObject({
      inventory: { cpu: { count: 16 } },
      plugin_data: { extra: { a: 1 } },
    })
    const { ports } = (await call('GET', `/v1/nodes/${node}/ports?detail=true`)).body
    expect(ports.map((port: { address: string }) => port.address).sort()).toEqual(['02:00:00:00:01:01', mac()].sort())
    expect(ports.find((port: { address: string }) => port.address === mac()).extra).toEqual({ seen: true })
  })
  const ruleThatCalls = (path: string, more: object = {}) =>
    call('POST', '/v1/inspection_rules', {
      priority: 9,
      actions: [
        { op: 'set-attribute', args: ['extra/called', true] },
        { op: 'api-call', args: { url: `${hooks.origin}/hooks/${path}`, backoff_factor: 0.01, ...more } },
      ],
    })
  test('a rule calls an allowed URL that is made of the inventory', async () => {
    hooks.asked = []
    await ruleThatCalls('{inventory[system_vendor][product_name]}/200', { headers: { 'X-Key': 'k1' } })
    expect((await send({ inventory }, `agent_token=${await token(2)}`)).status).toBe(202)
    await state('manageable')
    expect(hooks.asked).toEqual([{ url: '/hooks/R1/200', key: 'k1' }])
    expect((await look()).extra).toEqual({ called: true })
  })
  test.each([
    // Ironic's retries: the first try and three more for 503, one try for 404.
    ['503', 4, 'answered 503'],
    ['404', 1, 'answered 404'],
    ['302', 1, 'redirects to'],
    ['{inventory[system_vendor][manufacturer]}/../../elsewhere', 0, 'below none of the prefixes'],
  ])('a call that fails fails the inspection, and nothing of the rules stays: %s', async (path, tries, why) => {
    hooks.asked = []
    await ruleThatCalls(path)
    const answer = await send({ inventory }, `agent_token=${await token(2)}`)
    expect([answer.status, faultOf(answer).faultstring]).toEqual([400, expect.stringContaining(why)])
    await state('inspect failed')
    expect([hooks.asked.length, (await look()).extra]).toEqual([tries, {}])
  })
  test('a rule that says fail fails the inspection, with its message', async () => {
    await call('POST', '/v1/inspection_rules', {
      priority: 9,
      conditions: [{ op: 'is-none', args: ['{inventory[no_such]}'] }],
      actions: [{ op: 'fail', args: ['wrong rack'] }],
    })
    const answer = await send(
      { inventory: { ...inventory, interfaces: [{ mac_address: '02:00:00:00:01:02' }] } },
      `agent_token=${await token(2)}`,
    )
    expect([answer.status, faultOf(answer).faultstring]).toEqual([400, expect.stringContaining('wrong rack')])
    await state('inspect failed')
    expect((await look()).last_error).toContain('wrong rack')
  })
})
