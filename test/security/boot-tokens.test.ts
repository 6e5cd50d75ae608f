/** Attacks on the agents' door with what anybody on the provisioning network can have: boot scripts, and the tokens in
 *  them. */
import { createHash, X509Certificate } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { mintToken } from '../../conductor/boot/token.ts'
import { ConductorLink } from '../../host-agent/deploy/conductor.ts'
import { importImage } from '../../images/import.ts'
import { ImageStore } from '../../images/store.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { freePort } from '../kit/free-port.ts'
import { Victim } from './victim.ts'

let dir = ''
let victim: Victim
let port = 0
let nodes = 0
const links: ConductorLink[] = []

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-tokens-'))
  await mkdir(join(dir, 'bin'))
  // A BMC for each address: it keeps its power in a file, and a list of what it was told.
  const ipmitool = `#!/bin/sh
while [ "$1" != -H ]; do shift; done
bmc=${dir}/bmc-$2
case "$*" in
  *"power status") echo "Chassis Power is $(cat $bmc 2>/dev/null || echo off)" ;;
  *"power on") echo on > $bmc; echo on >> $bmc.told ;;
  *"power off") echo off > $bmc; echo off >> $bmc.told ;;
  *"raw 0x00 0x08 0x05"*" 0x04 "*) echo pxe >> $bmc.told ;;
esac
`
  await writeFile(join(dir, 'bin/ipmitool'), ipmitool, { mode: 0o755 })
  const raw = Buffer.alloc(1024 * 1024, 3)
  raw.writeUInt16LE(0xaa55, 510)
  await writeFile(join(dir, 'raw'), raw)
  await importImage(new ImageStore(join(dir, 'images')), { source: join(dir, 'raw'), name: 'tiny' })
  port = await freePort()
  const images = { store: join(dir, 'images') }
  victim = await Victim.start({
    env: { PATH: `${dir}/bin:${process.env.PATH ?? ''}` },
    config: { bmc: { ipmiClient: 'ipmitool' }, images, agent: { address: '127.0.0.1', port } },
  })
})
afterAll(async () => {
  for (const link of links) link.close()
  await victim?.remove()
  await rm(dir, { recursive: true, force: true })
})

interface Workflow {
  readonly generation: number
  readonly pendingEffects: readonly unknown[]
}
interface Box {
  readonly uuid: string
  readonly bmc: string
}

function stored(uuid: string): { workflow: Workflow; provisionState: string; [field: string]: unknown } {
  const db = new Database(join(victim.dir, 'data/rackward.db'), { readonly: true })
  const { body } = db.prepare('SELECT body FROM nodes WHERE uuid = ?').get(uuid) as { body: string }
  db.close()
  return JSON.parse(body) as ReturnType<typeof stored>
}
const look = async ({ uuid }: Box) => (await victim.call('GET', `/v1/nodes/${uuid}`)).body as Record<string, any>
const told = async ({ bmc }: Box) =>
  (await readFile(join(dir, `bmc-${bmc}.told`), 'utf8').catch(() => '')).split('\n').filter(Boolean)
const arrives = (box: Box, state: string) =>
  until(() => stored(box.uuid).provisionState === state && stored(box.uuid).workflow.pendingEffects.length === 0, {
    what: state,
    timeoutMs: 20_000,
    everyMs: 20,
  })
const provision = async (box: Box, target: string, more: Record<string, unknown> = {}) =>
  expect([
    target,
    (await victim.call('PUT', `/v1/nodes/${box.uuid}/states/provision`, { target, ...more })).status,
  ]).toEqual([target, 202])

async function enrolled(): Promise<Box> {
  nodes += 1
  const bmc = `127.0.9.${nodes}`
  const made = await victim.call('POST', '/v1/nodes', {
    driver: 'ipmi',
    // ipmipower cannot be told a blank, so that every command goes by ipmitool.
    driver_info: { ipmi_address: bmc, ipmi_username: 'u', ipmi_password: 'p w' },
    instance_info: { image_source: 'tiny' },
  })
  const box = { uuid: String(made.body.uuid), bmc }
  await provision(box, 'manage')
  await arrives(box, 'manageable')
  return box
}

/** What a boot script holds now, for whoever fetches it: each one a token of its own. */
let minted = Date.now()
async function script({ uuid }: Box): Promise<string> {
  const key = Buffer.from((await readFile(join(victim.dir, 'data/boot.key'), 'utf8')).trim(), 'hex')
  return mintToken(key, { nodeUuid: uuid, generation: stored(uuid).workflow.generation, mintedMs: (minted += 1) })
}
async function trade(token: string, who: string): Promise<ConductorLink> {
  const pin = createHash('sha256')
    .update(new X509Certificate(await readFile(join(victim.dir, 'data/agent.crt'))).raw)
    .digest('hex')
  const link = new ConductorLink({ url: `https://127.0.0.1:${port}`, pin, clock: systemClock })
  links.push(link)
  await link.open({ token, secret: who.padEnd(43, 'x'), macs: [], bootMode: 'bios' })
  return link
}
const code = (promise: Promise<unknown>) =>
  promise.then(
    () => 'accepted',
    (error: unknown) => (error instanceof Fault ? error.code : String(error)),
  )

test('a stranger who trades after the server takes nothing over: the node is stopped, and the operator is told', async () => {
  const box = await enrolled()
  await provision(box, 'inspect')
  await arrives(box, 'inspect wait')
  const server = await trade(await script(box), 'server')
  expect(await server.order('')).toMatchObject({ kind: 'inspect' })
  await expect(trade(await script(box), 'stranger')).rejects.toMatchObject({
    code: 'agent.token',
    message: expect.stringContaining('two machines claimed boot') as string,
  })
  expect(await code(server.order(''))).toBe('agent.session')
  await arrives(box, 'inspect failed')
  expect((await told(box)).at(-1)).toBe('off')
  expect(await code(trade(await script(box), 'stranger'))).toBe('agent.token')
  expect(await look(box)).toMatchObject({
    power_state: 'power off',
    last_error: expect.stringContaining('two machines claimed boot') as string,
  })
  const account = (await victim.call('GET', `/rackward/v1/nodes/${box.uuid}/explain`)).body
  expect(JSON.stringify(account.causes)).toMatch(/two machines claimed the same boot/)
  const history = (await victim.call('GET', `/v1/nodes/${box.uuid}/history`)).body
  expect(JSON.stringify(history)).toContain('two machines claimed boot')
})

test('a stranger who traded before the server is found out when the server asks, and the server is told why', async () => {
  const box = await enrolled()
  await provision(box, 'inspect')
  await arrives(box, 'inspect wait')
  const stranger = await trade(await script(box), 'stranger')
  await expect(trade(await script(box), 'server')).rejects.toMatchObject({
    code: 'agent.token',
    message: expect.stringContaining('two machines') as string,
  })
  expect(await code(stranger.order(''))).toBe('agent.session')
  await arrives(box, 'inspect failed')
})

test('a token that was kept is worth nothing once the node is active, and a delete boots the node anew', async () => {
  const box = await enrolled()
  await victim.call('PATCH', `/v1/nodes/${box.uuid}`, [{ op: 'replace', path: '/automated_clean', value: false }])
  await provision(box, 'provide')
  await arrives(box, 'available')
  await victim.call('PATCH', `/v1/nodes/${box.uuid}`, [{ op: 'replace', path: '/automated_clean', value: true }])
  await provision(box, 'active', { configdrive: { user_data: 'secret of the tenant' } })
  await arrives(box, 'wait call-back')
  const server = await trade(await script(box), 'server')
  const kept = await script(box)
  const order = await server.order('')
  expect(order).toMatchObject({ kind: 'deploy', configDrive: true })
  expect((await server.configDrive()).includes('secret of the tenant')).toBe(true)
  await server.report({ orderId: order!.id, done: { writtenBytes: 1 } })
  await arrives(box, 'active')
  for (const token of [kept, await script(box)]) expect(await code(trade(token, 'stranger'))).toBe('agent.token')
  expect([await code(server.configDrive()), await code(server.index())]).toEqual(['agent.session', 'agent.session'])
  expect(await look(box)).toMatchObject({ provision_state: 'active', last_error: null })
  const before = (await told(box)).length
  await provision(box, 'deleted')
  await arrives(box, 'clean wait')
  // The instance ends at once, and its server boots when there is room for it.
  expect((await told(box)).slice(before)).toEqual(['off', 'off', 'pxe', 'on'])
  expect(await code(trade(kept, 'stranger'))).toBe('agent.token')
  expect((await look(box)).provision_state).toBe('clean wait')
})

test('a config drive and an index are there for the order that writes them alone', async () => {
  const box = await enrolled()
  await provision(box, 'clean', { clean_steps: [{ interface: 'deploy', step: 'collect_inventory' }] })
  await arrives(box, 'clean wait')
  await victim.call('PATCH', `/v1/nodes/${box.uuid}`, [
    { op: 'add', path: '/instance_info/configdrive', value: { user_data: 'x' } },
  ])
  const agent = await trade(await script(box), 'server')
  expect([await code(agent.configDrive()), await code(agent.index())]).not.toContain('accepted')
})

test('in rescue, a token is worth nothing without a boot of ours', async () => {
  const box = await enrolled()
  // The rescue ramdisk needs boot services, which need a network of their own: the node is put where they would have
  // brought it.
  await victim.end()
  const db = new Database(join(victim.dir, 'data/rackward.db'))
  const { body } = db.prepare('SELECT body FROM nodes WHERE uuid = ?').get(box.uuid) as { body: string }
  const record = JSON.parse(body) as { workflow: object; instanceInfo: object }
  const steps = [{ interface: 'rescue', step: 'rescue', args: {}, priority: 100, by: 'agent' }]
  const workflow = { ...record.workflow, order: 'rescue', steps, stepIndex: 1, bootToken: 'over', generation: 9 }
  const rescued = {
    ...record,
    provisionState: 'rescue',
    workflow,
    instanceInfo: { hashed_rescue_password: '$6$x$y', configdrive: { user_data: 'x' } },
  }
  db.prepare("UPDATE nodes SET provision_state = 'rescue', body = ? WHERE uuid = ?").run(
    JSON.stringify(rescued),
    box.uuid,
  )
  db.close()
  await victim.restart()
  const before = await told(box)
  expect(await code(trade(await script(box), 'stranger'))).toBe('agent.token')
  const beat = { callback_url: 'https://127.0.0.1:1', agent_token: await script(box) }
  expect((await victim.call('POST', `/v1/heartbeat/${box.uuid}`, beat)).status).toBe(400)
  expect(await look(box)).toMatchObject({ provision_state: 'rescue', last_error: null })
  expect(await told(box)).toEqual(before)
})

const macOf = (n: number) => `02:00:00:00:77:${n.toString(16).padStart(2, '0')}`
const NIC = {
  hasCarrier: true,
  speedMbps: 1000,
  driver: 'x',
  vendor: null,
  product: null,
  pciAddress: null,
  ipv4: null,
}
const inventory = (macs: readonly string[]) => ({
  cpu: { count: 8, model: 'x', architecture: 'x86_64', frequencyMhz: 2000, flags: [] },
  memoryBytes: 2 ** 34,
  physicalMemoryMb: 16384,
  disks: [],
  nics: macs.map((mac, n) => ({ ...NIC, name: `eth${n}`, mac })),
  bootMode: 'uefi' as const,
  bootMac: macs[0] ?? null,
  system: { vendor: 'v', product: 'p', serial: 's', uuid: null, firmwareVersion: null },
  bmcAddress: null,
})
const portsOf = async ({ uuid }: Box) =>
  (await victim.call('GET', `/v1/nodes/${uuid}/ports?detail=true`)).body.ports as {
    address: string
    pxe_enabled: boolean
  }[]

test('an inventory of 255 cards: none of a clean, a few of an inspection, none for network boots, and none of another node', async () => {
  const [box, other] = [await enrolled(), await enrolled()]
  const macs = Array.from({ length: 255 }, (_, n) => macOf(n))
  await victim.call('POST', '/v1/ports', { node_uuid: other.uuid, address: macOf(1) })
  await provision(box, 'clean', { clean_steps: [{ interface: 'deploy', step: 'erase_devices_metadata' }] })
  await arrives(box, 'clean wait')
  const cleaner = await trade(await script(box), 'cleaner')
  await cleaner.report({ orderId: (await cleaner.order(''))!.id, done: { inventory: inventory(macs) } })
  await arrives(box, 'manageable')
  expect(await portsOf(box)).toEqual([])
  expect((await victim.call('GET', `/v1/nodes/${box.uuid}/inventory`)).status).toBe(404)
  await provision(box, 'inspect')
  await until(() => ['inspect wait'].includes(stored(box.uuid).provisionState), {
    what: 'the inspection',
    timeoutMs: 30_000,
    everyMs: 20,
  })
  const order = await cleaner.order('')
  expect(order).toMatchObject({ kind: 'inspect' })
  await cleaner.report({ orderId: order!.id, done: { inventory: inventory(macs) } })
  await arrives(box, 'manageable')
  const made = await portsOf(box)
  expect([made.length, made.filter((one) => one.pxe_enabled), made.some((one) => one.address === macOf(1))]).toEqual([
    63,
    [],
    false,
  ])
  expect((await portsOf(other)).map(({ address }) => address)).toEqual([macOf(1)])
  const db = new Database(join(victim.dir, 'data/rackward.db'), { readonly: true })
  const troubles = db.prepare("SELECT detail FROM events WHERE kind = 'trouble' AND node_uuid = ?").all(box.uuid) as {
    detail: string
  }[]
  db.close()
  expect(troubles.map(({ detail }) => detail).join('\n')).toMatch(
    /ports of other nodes.*02:00:00:00:77:01[\s\S]*255 cards/,
  )
})

test('an empty key is no key: the conductor refuses to start, and says which file', async () => {
  await victim.end()
  const path = join(victim.dir, 'data/boot.key')
  const key = await readFile(path)
  await truncate(path, 0)
  await expect(victim.restart()).rejects.toThrow(/boot\.key does not hold a key of 32 bytes/)
  await writeFile(path, key)
  await victim.restart()
})
