/** Which address a port may fix, for whom: nobody's that the network needs, and for users of a project none that
 *  another card has now. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Config } from '../../conductor/config.ts'
import { addressPlan } from '../../conductor/node/policy/fixed-addresses.ts'
import { PortService } from '../../conductor/node/ports.ts'
import { newNode } from '../../conductor/node/record.ts'
import { PORT_DEFAULTS, type PortRecord } from '../../conductor/store/port.ts'
import { Seal } from '../../conductor/store/secrets.ts'
import { SqliteStore } from '../../conductor/store/sqlite.ts'
import { systemClock } from '../../kit/clock.ts'
import { Fault } from '../../kit/fault.ts'
import { systemRandom } from '../../kit/random.ts'
import { Turns } from '../../kit/turns.ts'

const config = Config.parse({
  data: '/tmp',
  images: { store: '/tmp' },
  api: { listen: [{ address: '10.9.0.4', port: 1 }], auth: { strategy: 'noauth' } },
  agent: { address: '10.9.0.5', port: 2 },
  boot: {
    interfaces: [{ name: 'eth0', address: '10.9.0.6' }],
    http: { address: '10.9.0.7', port: 3 },
    tftp: '10.9.0.8',
    subnets: [
      {
        cidr: '10.9.0.0/24',
        first: '10.9.0.100',
        last: '10.9.0.200',
        serverIp: '10.9.0.1',
        router: '10.9.0.2',
        dns: ['10.9.0.3', '9.9.9.9'],
      },
    ],
    kernel: 'k',
    initrd: 'i',
  },
})
const NODE = '00000000-0000-4000-8000-000000000001'
let dir = ''
let store: SqliteStore
let ports: PortService
let card: PortRecord
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-ports-'))
  store = new SqliteStore(join(dir, 'r.db'), new Seal(Buffer.alloc(32, 1), systemRandom))
  await store.addNode(newNode({ uuid: NODE, driver: 'fake-hardware' }, 1))
  ports = new PortService({
    store,
    clock: systemClock,
    random: systemRandom,
    turns: new Turns(),
    plan: addressPlan(config),
    recordBytes: 1_000_000,
    onPorts: async () => undefined,
  })
  card = await ports.add({ nodeUuid: NODE, address: '52:54:00:00:00:01' })
  await ports.add({ nodeUuid: NODE, address: '52:54:00:00:00:02', extra: { ipv4_address: '10.9.0.50' } })
  const held = { ...PORT_DEFAULTS, uuid: '00000000-0000-4000-8000-000000000009', nodeUuid: NODE, createdAtMs: 1 }
  await store.addPort({ ...held, address: '52:54:00:00:00:03', internalInfo: { ipv4_address: '10.9.0.101' } })
})
afterAll(async () => {
  await store.close()
  await rm(dir, { recursive: true })
})

const fix = async (ip: string, confined: boolean) => {
  const node = await store.node(NODE)
  if (!node) throw new Error('no node')
  const now = { ...card, version: (await store.port(card.uuid))?.version ?? 0 }
  return ports.update(now, { ...now, extra: { ipv4_address: ip } }, { node, confined }).then(
    () => 'taken',
    (error: Fault) => error.code,
  )
}

test.each([
  ['10.9.0.0', 'input.invalid', 'input.invalid'],
  ['10.9.0.1', 'input.invalid', 'input.invalid'],
  ['10.9.0.2', 'input.invalid', 'input.invalid'],
  ['10.9.0.3', 'input.invalid', 'input.invalid'],
  ['10.9.0.4', 'input.invalid', 'input.invalid'],
  ['10.9.0.5', 'input.invalid', 'input.invalid'],
  ['10.9.0.6', 'input.invalid', 'input.invalid'],
  ['10.9.0.7', 'input.invalid', 'input.invalid'],
  ['10.9.0.8', 'input.invalid', 'input.invalid'],
  ['10.9.0.255', 'input.invalid', 'input.invalid'],
  ['10.9.1.1', 'input.invalid', 'input.invalid'],
  ['127.0.0.1', 'input.invalid', 'input.invalid'],
  ['10.9.0.50', 'object.conflict', 'object.conflict'],
  // Leased to another card now: DHCP moves that one when an administrator of all projects says so.
  ['10.9.0.101', 'object.conflict', 'taken'],
  ['10.9.0.60', 'taken', 'taken'],
])('%s: %s to a project, %s to an administrator of all', async (ip, confined, whole) =>
  expect([await fix(ip, true), await fix(ip, false)]).toEqual([confined, whole]),
)

test('a new port is held to the same', async () => {
  const add = (ip: string) => ports.add({ nodeUuid: NODE, address: '52:54:00:00:00:07', extra: { ipv4_address: ip } })
  await expect(add('10.9.0.1')).rejects.toMatchObject({
    code: 'input.invalid',
    detail: expect.stringContaining('extra/ipv4_address') as string,
  })
  await expect(add('192.168.0.1')).rejects.toMatchObject({ code: 'input.invalid' })
})

test('a change that the node’s state does not allow is refused by the name that the API has for the field', async () => {
  const node = await store.node(NODE)
  if (!node) throw new Error('no node')
  const now = { ...card, version: (await store.port(card.uuid))?.version ?? 0 }
  const refused = ports.update(
    now,
    { ...now, pxeEnabled: false },
    { node: { ...node, provisionState: 'available' }, confined: false },
  )
  await expect(refused).rejects.toMatchObject({
    code: 'object.conflict',
    detail: expect.stringContaining('"available": pxe_enabled can be changed in') as string,
  })
})

test('without boot networks nothing gives addresses: an administrator may note one, a project may not', async () => {
  const plan = addressPlan(
    Config.parse({ data: '/tmp', images: { store: '/tmp' }, api: { auth: { strategy: 'noauth' } } }),
  )
  const bare = new PortService({
    store,
    clock: systemClock,
    random: systemRandom,
    turns: new Turns(),
    plan,
    recordBytes: 1_000_000,
    onPorts: async () => undefined,
  })
  const node = await store.node(NODE)
  if (!node) throw new Error('no node')
  const now = { ...card, version: (await store.port(card.uuid))?.version ?? 0 }
  const next = { ...now, extra: { ipv4_address: '10.1.1.1' } }
  await expect(bare.update(now, next, { node, confined: true })).rejects.toMatchObject({ code: 'input.invalid' })
  expect((await bare.update(now, next, { node, confined: false })).extra).toEqual({ ipv4_address: '10.1.1.1' })
})
