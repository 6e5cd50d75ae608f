/** Port groups in network boots: what the conductor tells the boot services of their cards, when it changes, which
 *  kernel arguments come of it, and what the agent reads of them. */
import { mkdtemp, rm } from 'node:fs/promises'
import { createServer, type Server, type Socket } from 'node:net'
import { once } from 'node:events'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { agentIdentity } from '../../conductor/agents/certificate.ts'
import { openClientFile } from '../../conductor/boot/client-file.ts'
import { BootClients } from '../../conductor/boot/clients.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import { kernelArgs } from '../../conductor/boot/render.ts'
import { bootFingerprint } from '../../conductor/boot/service.ts'
import { readLines, writeLine, type ToBoot } from '../../conductor/boot/wire.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { parseConfig, type Config } from '../../conductor/config.ts'
import { parseCmdline } from '../../host-agent/deploy/cmdline.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { isSafeWord } from '../../pxe/script.ts'
import { freePort } from '../kit/free-port.ts'
import { call as plainCall } from './client.ts'

const MACS = ['02:00:00:00:02:01', '02:00:00:00:02:02']
let dir = ''
let conductor: Conductor
let config: Config
let server: Server
const sockets: Socket[] = []
/** What the boot services hold now. */
const held = new Map<string, BootClient>()

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-groups-'))
  config = parseConfig(
    `data: ${dir}
images: { store: ${dir}/images }
api: { listen: [{ address: 127.0.0.1, port: 0 }], auth: { strategy: noauth } }
agent: { address: 127.0.0.1, port: ${await freePort()} }
boot:
  interfaces: []
  http: { address: 127.0.0.1, port: 8088 }
  tftp: 127.0.0.1
  kernel: /k
  initrd: /i
  subnets: [{ cidr: 10.0.0.0/24, serverIp: 10.0.0.1, first: 10.0.0.10, last: 10.0.0.20, router: 10.0.0.254 }]
`,
    'c.yaml',
  )
  const { pin } = await agentIdentity(dir)
  server = createServer((socket) => {
    sockets.push(socket)
    writeLine(socket, { t: 'hello', fingerprint: bootFingerprint(config, pin), pid: 1 })
    readLines<ToBoot>(socket, (message) => {
      if (message.t !== 'clients') return
      for (const client of message.set) held.set(client.mac, client)
      for (const mac of message.gone) held.delete(mac)
      if (!message.more) writeLine(socket, { t: 'have', revision: message.revision })
    })
  }).listen(join(dir, 'boot.sock'))
  await once(server, 'listening')
  conductor = await startConductor(config, { log: silentLog, launchBoot: () => ({ running: () => true }) })
})
afterAll(async () => {
  await conductor?.stop()
  for (const socket of sockets) socket.destroy()
  server?.close()
  await rm(dir, { recursive: true, force: true })
})

const call = async (method: string, path: string, body?: unknown) => {
  const headers = { 'OpenStack-API-Version': 'baremetal latest' }
  const answer = await plainCall(method, path, body, headers, conductor.addresses[0] as string)
  expect(answer.status, JSON.stringify(answer.body)).toBeLessThan(300)
  return answer.body as Record<string, string>
}
const told = (what: string, is: (clients: (BootClient | undefined)[]) => boolean) =>
  until(() => is(MACS.map((mac) => held.get(mac))), { what, timeoutMs: 20_000 })

test('the cards of a port group are told as one bundle with one fixed address, and a change of the group at once', async () => {
  const node = await call('POST', '/v1/nodes', { driver: 'fake-hardware' })
  const group = await call('POST', '/v1/portgroups', {
    node_uuid: node.uuid,
    mode: '802.3ad',
    properties: { lacp_rate: 'fast' },
    extra: { vlan_id: 7 },
  })
  for (const [i, address] of MACS.entries())
    await call('POST', '/v1/ports', {
      node_uuid: node.uuid,
      address,
      portgroup_uuid: group.uuid,
      ...(i === 1 ? { extra: { ipv4_address: '10.0.0.50' } } : {}),
    })
  const bond = { mode: '802.3ad', members: MACS, options: ['lacp_rate=fast', 'miimon=100'], address: null }
  await told('both cards', ([one]) => one?.group?.bond.members.length === 2)
  for (const mac of MACS)
    expect(held.get(mac)).toMatchObject({ group: { uuid: group.uuid, bond }, vlan: 7, fixedIp: '10.0.0.50' })

  const patch = (path: string, value: unknown) =>
    call('PATCH', `/v1/portgroups/${group.uuid}`, [{ op: 'replace', path, value }])
  await patch('/mode', 'active-backup')
  await told('the new mode', (all) => all.every((one) => one?.group?.bond.mode === 'active-backup'))
  await patch('/mode', 'lacp')
  await told('a refusal', (all) => all.every((one) => one?.refusal?.includes('the mode "lacp"') === true))
  await patch('/mode', '802.3ad')
  await patch('/standalone_ports_supported', false)
  await told('another refusal', (all) =>
    all.every((one) => one?.refusal?.includes('standalone_ports_supported') === true),
  )
  await patch('/standalone_ports_supported', true)
  await told('the bundle again', (all) => all.every((one) => one?.group?.bond.mode === '802.3ad' && !one.refusal))
})

test('the boot services know the other cards of a bundle, for as long as they are in it', async () => {
  const clients = new BootClients({
    open: () => openClientFile(join(dir, 'clients.db'), () => undefined),
    snapshot: join(dir, 'no'),
    clock: systemClock,
    onWarning: () => undefined,
  })
  await clients.load()
  const about = { t: 'clients', revision: 1, whole: false, gone: [], media: [] } as const
  const both = MACS.map((mac) => held.get(mac) as BootClient)
  clients.apply({ ...about, set: both })
  expect(MACS.map(clients.siblings)).toEqual([[MACS[1]], [MACS[0]]])
  const { group: _, ...alone } = both[1] as BootClient
  clients.apply({ ...about, set: [alone] })
  expect([...MACS, 'x'].map(clients.siblings)).toEqual([[], [], []])
  await clients.stop()
})

test('the kernel arguments carry bond and VLAN through iPXE unchanged, and the agent reads them', () => {
  const [first] = MACS.map((mac) => held.get(mac) as BootClient)
  const client: BootClient = {
    ...(first as BootClient),
    order: { kind: 'ramdisk', generation: 1, rescue: false, token: true },
  }
  const parts = { config: config as never, pin: 'f'.repeat(64), tokenKey: Buffer.alloc(32) }
  const args = kernelArgs(client, { ip: '10.0.0.50', mintedMs: 1, own: [] }, parts)
  expect(args.every(isSafeWord)).toBe(true)
  expect(parseCmdline(args.join(' '))).toMatchObject({
    mac: MACS[0],
    ip: '10.0.0.50/24',
    gateway: '10.0.0.254',
    bond: { mode: '802.3ad', options: ['lacp_rate=fast', 'miimon=100'], members: MACS, address: undefined },
    vlan: '7',
  })
  const { group: _, vlan: __, ...plain } = client
  expect(parseCmdline(kernelArgs(plain, { ip: '10.0.0.50', mintedMs: 1, own: [] }, parts).join(' '))).toMatchObject({
    bond: undefined,
    vlan: undefined,
  })
})
