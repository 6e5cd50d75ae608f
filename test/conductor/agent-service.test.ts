/** The agents' door of a live conductor: tokens, sessions, orders, reports, over the agent's own connection. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createHash, X509Certificate } from 'node:crypto'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { Config } from '../../conductor/config.ts'
import { mintToken } from '../../conductor/boot/token.ts'
import { ConductorLink } from '../../host-agent/deploy/conductor.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import type { Run } from '../../kit/run.ts'
import { ApiClient } from '../lab/client.ts'
import { storeWith } from './store-with.ts'
import { ask, code, disk, inventory, nic } from './agent-bench.ts'
import { freePort } from '../kit/free-port.ts'

let dir = ''
let conductor: Conductor
let api: ApiClient
let node = ''
/** Runs while an inventory is worked in. */
let gap: (() => Promise<void>) | undefined
let port = 0
const key = async () => Buffer.from((await readFile(join(dir, 'data/boot.key'), 'utf8')).trim(), 'hex')
const pin = async () =>
  createHash('sha256')
    .update(new X509Certificate(await readFile(join(dir, 'data/agent.crt'))).raw)
    .digest('hex')
/** The present generation, as it is stored. */
const generationOf = async () => {
  const db = new Database(join(dir, 'data/rackward.db'), { readonly: true })
  const { body } = db.prepare('SELECT body FROM nodes WHERE uuid = ?').get(node) as { body: string }
  db.close()
  return (JSON.parse(body) as { workflow: { generation: number } }).workflow.generation
}
/** A BMC that obeys. */
let power = 'off'
const ipmitool: Run = async (argv) => {
  power = /power (on|off)$/.exec(argv.join(' '))?.[1] ?? power
  return { code: 0, stdout: `Chassis Power is ${power}\n`, stderr: '' }
}

beforeAll(async () => {
  port = await freePort()
  dir = await mkdtemp(join(tmpdir(), 'rackward-agents-'))
  const raw = Buffer.alloc(1024 * 1024, 3)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'raw'), raw)
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'raw'), name: 'tiny' })
  conductor = await startConductor(
    Config.parse({
      data: join(dir, 'data'),
      images: { store: join(dir, 'images') },
      api: { listen: [], socket: join(dir, 'api.sock'), auth: { strategy: 'noauth' } },
      agent: { address: '127.0.0.1', port },
      provision: { agentSilenceSeconds: 2 },
    }),
    {
      log: silentLog,
      run: ipmitool,
      fleet: null,
      openStore: storeWith(
        (store) =>
          new Proxy(store, {
            get: (target, name) =>
              name === 'putInventory'
                ? async (...args: Parameters<typeof store.putInventory>) => {
                    await gap?.()
                    return target.putInventory(...args)
                  }
                : (Reflect.get(target, name)?.bind?.(target) ?? Reflect.get(target, name)),
          }),
      ),
    },
  )
  api = new ApiClient(join(dir, 'api.sock'))
  const made = await api.ok('POST', '/v1/nodes', {
    driver: 'ipmi',
    driver_info: { ipmi_address: '127.0.0.1', ipmi_username: 'u', ipmi_password: 'p' },
    instance_info: { image_source: 'tiny' },
  })
  node = String(made.uuid)
  await api.ok('POST', '/v1/ports', {
    node_uuid: node,
    address: nic.mac,
    pxe_enabled: false,
    local_link_connection: { port_id: 'mine', switch_id: '1c:7e:e0:aa:bb:00' },
  })
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'manage' })
  await state('manageable')
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
  await state('inspect wait')
})
afterAll(async () => {
  await conductor?.stop()
  await rm(dir, { recursive: true })
})

const state = (wanted: string) =>
  until(async () => (await api.ok('GET', `/v1/nodes/${node}`)).provision_state === wanted, {
    what: wanted,
    timeoutMs: 30_000,
    everyMs: 20,
  })
const idle = (wanted: string) =>
  until(
    async () => {
      const now = await api.ok('GET', `/v1/nodes/${node}`)
      return now.provision_state === wanted && now.reservation === null
    },
    { what: wanted, timeoutMs: 20_000, everyMs: 20 },
  )
const link = async (given?: string) =>
  new ConductorLink({ url: `https://127.0.0.1:${port}`, pin: given ?? (await pin()), clock: systemClock })
const token = async (generation: number, mintedMs: number) =>
  mintToken(await key(), { nodeUuid: node, generation, mintedMs })
test('a conductor whose certificate is not the pinned one is not spoken to', async () => {
  expect(await code((await link('0'.repeat(64))).open(ask(await token(2, 5))))).toBe('agent.session')
})

test('a token opens one session; the same trade again is the same session; a token of another boot or a forged one changes nothing', async () => {
  const good = await token(2, 100)
  expect(await code((await link()).open(ask(await token(1, 100))))).toBe('agent.token')
  expect(await code((await link()).open(ask(good)))).toBe('accepted')
  expect(await code((await link()).open(ask(good)))).toBe('accepted')
  expect(await code((await link()).open(ask(`${good}x`, 'b')))).toBe('agent.token')
  expect(await code((await link()).open(ask(await token(3, 100), 'b')))).toBe('agent.token')
  expect(await code((await link()).open(ask(good)))).toBe('accepted')
})

test('inspect, then a deploy on the parked agent without any power command, then failure: each as the API shows it', async () => {
  const agent = await link()
  await agent.open(ask(await token(2, 100)))
  const order = await agent.order('')
  expect(order).toMatchObject({ kind: 'inspect' })
  const again = 'its agent was started again in the same boot'
  const seen = async () => {
    const { seen } = await api.ok('GET', `/rackward/v1/nodes/${node}/explain`)
    return (seen as { what: string }[]).map(({ what }) => what)
  }
  expect(await seen()).not.toContain(again)
  await (await link()).open(ask(await token(2, 100)))
  expect(await seen()).toContain(again)
  await agent.report({ orderId: order!.id, done: { inventory, rootDisk: disk } })
  await state('manageable')
  expect((await api.ok('GET', `/v1/nodes/${node}`)).properties).toMatchObject({
    cpus: 8,
    memory_mb: 16384,
    local_gb: 99,
    capabilities: 'boot_mode:uefi',
  })
  // The port was there before, with a word of its owner; what it lacked came from the switch.
  const [port] = (await api.ok('GET', `/v1/ports/detail?address=${nic.mac}`)).ports as Record<string, unknown>[]
  expect(port?.local_link_connection).toEqual({ port_id: 'mine', switch_id: '1c:7e:e0:aa:bb:00', switch_info: 'tor7' })
  expect((await api.ok('GET', `/v1/nodes/${node}/inventory`)).plugin_data).toMatchObject({
    macs: [nic.mac],
    parsed_lldp: { eth0: { switch_port_id: 'Eth1', switch_system_name: 'tor7' } },
    root_disk: { name: '/dev/sda', size: disk.sizeBytes },
  })
  await expect(agent.report({ orderId: order!.id, done: {} })).rejects.toMatchObject({ code: 'store.stale' })

  await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'replace', path: '/automated_clean', value: false }])
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'provide' })
  await state('available')
  power = 'must not be touched'
  const waiting = agent.order('')
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, {
    target: 'active',
    configdrive: { meta_data: { hostname: 'h' }, user_data: '#!/bin/sh' },
    deploy_steps: [{ interface: 'deploy', step: 'write_image', priority: 80, args: { compare: false } }],
  })
  const write = (await waiting) ?? (await agent.order(''))
  expect(write).toMatchObject({ kind: 'deploy', configDrive: true, compare: false })
  expect(
    createHash('sha256')
      .update(await agent.index())
      .digest('hex'),
  ).toBe(write?.kind === 'deploy' && write.indexSha256)
  const drive = await agent.configDrive()
  expect(drive.subarray(32769, 32774).toString()).toBe('CD001')
  expect(drive.includes('#!/bin/sh')).toBe(true)
  expect(power).toBe('must not be touched')
  await agent.report({ orderId: write!.id, progress: { phase: 'write', doneBytes: 5, totalBytes: 10 } })
  expect(
    ((await api.ok('GET', `/v1/nodes/${node}`)).driver_internal_info as { rackward: { progress: unknown } }).rackward
      .progress,
  ).toEqual({
    phase: 'write',
    done_bytes: 5,
    total_bytes: 10,
  })
  await agent.report({ orderId: write!.id, failed: { code: 'deploy.hints', text: 'none of these' } })
  await state('deploy failed')
  expect((await api.ok('GET', `/v1/nodes/${node}`)).last_error).toMatch(
    /^none of these \(correct properties\/root_device/,
  )
  expect((await api.ok('GET', `/v1/nodes/${node}`)).instance_info).toMatchObject({ configdrive: '******' })
  agent.close()
})

test('a session is worth nothing once the node was switched off', async () => {
  const agent = await link()
  await agent.open(ask(await token(2, 100))).catch(() => undefined)
  power = 'on'
  await api.ok('PUT', `/v1/nodes/${node}/states/power`, { target: 'power off' })
  await until(async () => (await api.ok('GET', `/v1/nodes/${node}`)).power_state === 'power off', {
    what: 'off',
    timeoutMs: 30_000,
    everyMs: 20,
  })
  expect(await code(agent.order('x'))).toBe('agent.session')
})

test.each([
  ['the same token with another secret', 100],
  ['another token of the same boot', 101],
])('%s is a second machine: both are refused, the node is switched off and says why', async (_, mintedMs) => {
  power = 'on'
  await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'replace', path: '/automated_clean', value: true }])
  if ((await api.ok('GET', `/v1/nodes/${node}`)).provision_state === 'deploy failed') {
    await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'deleted' })
  } else await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
  const waiting = await until(
    async () => {
      const now = await api.ok('GET', `/v1/nodes/${node}`)
      return String(now.provision_state).endsWith(' wait') && now.reservation === null && now
    },
    { what: 'the node to wait for its agent', timeoutMs: 20_000, everyMs: 20 },
  )
  const generation = await generationOf()
  const server = await link()
  await server.open(ask(await token(generation, 100)))
  expect(await server.order('')).not.toBeNull()
  const second = (await link()).open(ask(await token(generation, mintedMs), 'b'))
  await expect(second).rejects.toMatchObject({
    code: 'agent.token',
    message: expect.stringContaining(`two machines claimed boot ${generation}`) as string,
  })
  expect(await code(server.order(''))).toBe('agent.session')
  expect(await code(server.configDrive())).toBe('agent.session')
  await until(() => power === 'off', { what: 'the node to be switched off', timeoutMs: 20_000, everyMs: 20 })
  expect(await api.ok('GET', `/v1/nodes/${node}`)).toMatchObject({
    provision_state: waiting.provision_state === 'clean wait' ? 'clean failed' : 'inspect failed',
    last_error: expect.stringMatching(/two machines claimed.*find out which other machine/) as string,
    driver_internal_info: { rackward: { last_fault: 'node.claimed' } },
  })
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'manage' })
  await state('manageable')
})

let parked: ConductorLink
test('what a person changes while an inventory is worked in is not undone by it', async () => {
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'inspect' })
  await idle('inspect wait')
  parked = await link()
  await parked.open(ask(await token(await generationOf(), 300)))
  const order = await parked.order('')
  let patched: Promise<unknown> = Promise.resolve()
  gap = async () => {
    gap = undefined
    patched = api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'add', path: '/properties/rack', value: 'r7' }])
    // While these are answered it would be carried out, were it not for the node's turn.
    for (let i = 0; i < 50; i += 1) await api.ok('GET', `/v1/nodes/${node}`)
  }
  await parked.report({
    orderId: order!.id,
    done: { inventory: { ...inventory, cpu: { ...inventory.cpu, count: 12 } } },
  })
  await patched
  await state('manageable')
  expect((await api.ok('GET', `/v1/nodes/${node}`)).properties).toMatchObject({ cpus: 12, rack: 'r7' })
})

test('how the disks were erased is an event, and stands in explain until an image is written', async () => {
  await api.ok('PUT', `/v1/nodes/${node}/states/provision`, { target: 'provide' })
  await idle('clean wait')
  // The agent of the inspection is parked, and gets the next order without a boot.
  const order = await parked.order('')
  expect(order).toMatchObject({ kind: 'clean', whole: false, discard: true })
  const erased = [{ disk: '/dev/sda', serial: 's', sizeBytes: disk.sizeBytes, how: 'zeroed-by-disk' as const }]
  await parked.report({ orderId: order!.id, done: { erased } })
  await state('available')
  const account = await api.ok('GET', `/rackward/v1/nodes/${node}/explain`)
  expect(account.erased).toMatchObject({
    step: 'erase_devices_express',
    disks: [{ ...erased[0], description: expect.stringContaining('the disk zeroed every block') as string }],
  })
  const db = new Database(join(dir, 'data/rackward.db'), { readonly: true })
  const details = db.prepare("SELECT detail FROM events WHERE kind = 'agent-done' ORDER BY seq DESC LIMIT 1").get() as {
    detail: string
  }
  db.close()
  expect(JSON.parse(details.detail)).toMatchObject({ step: 'deploy.erase_devices_express', erased })
  parked.close()
})
