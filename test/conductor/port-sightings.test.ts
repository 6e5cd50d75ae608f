/** What the boot services see of a card -> its port: switch port, loader, card model; events when they change; the API
 *  and explain. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { noteCards } from '../../conductor/agents/found-ports.ts'
import { Accounts, PortAccounts } from '../../conductor/api/rackward-schemas.ts'
import { BootUpdates } from '../../conductor/boot/updates.ts'
import { BootWatch } from '../../conductor/boot/watch.ts'
import type { BootEvent } from '../../conductor/boot/wire.ts'
import { startConductor, type Conductor } from '../../conductor/conductor.ts'
import { devConfig } from '../../conductor/config.ts'
import { Sightings } from '../../conductor/node/query/sightings.ts'
import { openSqlite } from '../../conductor/start/open-store.ts'
import type { Store } from '../../conductor/store/port.ts'
import { systemClock, until } from '../../kit/clock.ts'
import { silentLog } from '../../kit/log.ts'
import { systemRandom } from '../../kit/random.ts'
import { call as plainCall } from './client.ts'

let dir = ''
let conductor: Conductor
let store: Store
beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'rackward-ports-'))
  conductor = await startConductor(devConfig({ port: 0, data: dir }), {
    log: silentLog,
    openStore: (...at) => {
      const opened = openSqlite(...at)
      store = opened.store
      return opened
    },
  })
})
afterAll(async () => {
  await conductor.stop()
  await rm(dir, { recursive: true })
})

const call = (method: string, path: string, body?: unknown) =>
  plainCall(method, path, body, { 'OpenStack-API-Version': 'baremetal latest' }, conductor.addresses[0] as string)

let cards = 0
async function nodeWithPort() {
  const { uuid } = (await call('POST', '/v1/nodes', { driver: 'fake-hardware' })).body
  const mac = `02:00:00:00:01:${String((cards += 1)).padStart(2, '0')}`
  const port = (await call('POST', '/v1/ports', { node_uuid: uuid, address: mac })).body
  return { uuid: String(uuid), mac, portUuid: String(port.uuid) }
}

function watched() {
  const events: { kind: string; detail: Readonly<Record<string, unknown>> }[] = []
  const queue = { add: (event: (typeof events)[number]) => void events.push(event) }
  return { events, watch: new BootWatch({ store, sightings: new Sightings(), queue: queue as never }) }
}

const portsOf = async (uuid: string) =>
  PortAccounts.parse((await call('GET', `/rackward/v1/nodes/${uuid}/ports`)).body).ports

const seenFrom = ({ uuid, mac }: { uuid: string; mac: string }, circuitId: string, atMs = 1_000): BootEvent => ({
  kind: 'seen',
  atMs,
  nodeUuid: uuid,
  mac,
  step: 'dhcp',
  detail: 'ack 10.9.0.10',
  switchPort: { relay: '10.9.0.1', circuitId, remoteId: 'leaf3' },
})

const circuitOf = async (uuid: string, wanted: string) =>
  until(async () => ((await portsOf(uuid))[0]?.switch_port?.circuit_id === wanted ? true : undefined), {
    what: `circuit id ${wanted}`,
    timeoutMs: 30_000,
    everyMs: 20,
    clock: systemClock,
  })

test('switch and port of a card stand in the API and in explain; a card that moved is one event', async () => {
  const node = await nodeWithPort()
  const { events, watch } = watched()
  for (let n = 0; n < 3; n += 1) watch.onEvent(seenFrom(node, 'Eth1/7'))
  await circuitOf(node.uuid, 'Eth1/7')
  expect((await portsOf(node.uuid))[0]).toEqual({
    uuid: node.portUuid,
    address: node.mac,
    card: null,
    switch_port: {
      circuit_id: 'Eth1/7',
      remote_id: 'leaf3',
      relay: '10.9.0.1',
      seen_at: '1970-01-01T00:00:01+00:00',
    },
    loader: null,
  })
  const account = Accounts.parse((await call('GET', `/rackward/v1/nodes/${node.uuid}/explain`)).body)
  expect(account.ports.map(({ switch_port: at }) => at?.circuit_id)).toEqual(['Eth1/7'])
  expect(events.filter(({ kind }) => kind === 'switch-port')).toEqual([])

  for (let n = 0; n < 3; n += 1) watch.onEvent(seenFrom(node, 'Eth1/8'))
  await circuitOf(node.uuid, 'Eth1/8')
  // Known from the store, too, when the conductor is another one.
  const later = watched()
  later.watch.onEvent(seenFrom(node, 'Eth1/9'))
  await circuitOf(node.uuid, 'Eth1/9')
  const moved = (from: string, to: string) => ({
    mac: node.mac,
    from: `port ${from}, switch leaf3, relay 10.9.0.1`,
    to: `port ${to}, switch leaf3, relay 10.9.0.1`,
  })
  const told = (list: typeof events) => list.filter(({ kind }) => kind === 'switch-port').map(({ detail }) => detail)
  await until(async () => (told(later.events).length > 0 ? true : undefined), {
    what: 'the event',
    timeoutMs: 30_000,
    everyMs: 20,
  })
  expect([told(events), told(later.events)]).toEqual([[moved('Eth1/7', 'Eth1/8')], [moved('Eth1/8', 'Eth1/9')]])
})

test('what was seen of another card of a port is not told of this one', async () => {
  const node = await nodeWithPort()
  watched().watch.onEvent(seenFrom(node, 'Eth1/7'))
  await circuitOf(node.uuid, 'Eth1/7')
  await call('PATCH', `/v1/ports/${node.portUuid}`, [{ op: 'replace', path: '/address', value: '02:00:00:00:02:99' }])
  expect((await portsOf(node.uuid))[0]).toMatchObject({ address: '02:00:00:00:02:99', switch_port: null })
})

test('another loader is an event, with what fell silent before it; the same one that boots again is none', async () => {
  const node = await nodeWithPort()
  const { events, watch } = watched()
  const loader = (file: string, worked: boolean, silent: string[] = []): BootEvent => ({
    kind: 'loader',
    atMs: 2_000,
    nodeUuid: node.uuid,
    mac: node.mac,
    card: '0x8086:0x1593 arch 7',
    file,
    worked,
    silent,
  })
  const steps: [BootEvent, boolean][] = [
    [loader('snponly.efi', true), true],
    [loader('snponly.efi', true), false],
    [loader('ipxe.efi', false, ['snponly.efi']), true],
    [loader('ipxe.efi', true, ['snponly.efi']), true],
  ]
  let wanted = 0
  for (const [event, tells] of steps) {
    watch.onEvent(event)
    if (tells) wanted += 1
    await until(
      async () => {
        const now = (await portsOf(node.uuid))[0]?.loader
        const done = event.kind === 'loader' && now?.file === event.file && now.worked === event.worked
        return done && events.length === wanted ? true : undefined
      },
      { what: 'the loader', timeoutMs: 20_000, everyMs: 20 },
    )
  }
  expect(events.map(({ detail }) => [detail.file, detail.silent, detail.what])).toEqual([
    ['snponly.efi', [], 'it booted'],
    ['ipxe.efi', ['snponly.efi'], 'it is tried next'],
    ['ipxe.efi', ['snponly.efi'], 'it booted'],
  ])
  expect((await portsOf(node.uuid))[0]?.loader).toMatchObject({
    file: 'ipxe.efi',
    worked: true,
    silent: ['snponly.efi'],
  })
})

test('another loader within one boot is an event too; the same one again is not', () => {
  const { events, watch } = watched()
  const fetch = (detail: string): BootEvent => ({
    kind: 'seen',
    atMs: 1,
    nodeUuid: 'n1',
    mac: '02:00:00:00:09:07',
    step: 'loader',
    detail,
  })
  for (const file of ['snponly.efi', 'snponly.efi', 'ipxe.efi', 'ipxe.efi']) watch.onEvent(fetch(file))
  watch.onEvent({ ...fetch('ack 10.0.0.5'), step: 'dhcp' } as BootEvent)
  watch.onEvent({ ...fetch('ack 10.0.0.6'), step: 'dhcp' } as BootEvent)
  expect(events.map(({ detail }) => detail.detail)).toEqual(['snponly.efi', 'ipxe.efi', 'ack 10.0.0.5'])
})

test('the card model of an inventory is part of what the boot services know, and is a PCI id of a port of the node alone', async () => {
  const [node, other] = [await nodeWithPort(), await nodeWithPort()]
  const record = await store.node(node.uuid)
  const parts = { store, clock: systemClock, random: systemRandom, log: silentLog, limits: { portsPerReport: 10 } }
  await noteCards(
    record!,
    [
      { mac_address: node.mac.toUpperCase(), vendor: '0x8086', product: '0x1593' },
      { mac_address: other.mac, vendor: '0x15b3', product: '0x1017' },
      { mac_address: node.mac, vendor: 'x'.repeat(32), product: '0x1' },
    ],
    parts,
  )
  const updates = new BootUpdates(store, undefined)
  const cardsOf = async (uuid: string) =>
    (await updates.ordersOf((await store.node(uuid))!)).clients.map(({ card }) => card)
  expect([await cardsOf(node.uuid), await cardsOf(other.uuid)]).toEqual([['0x8086:0x1593'], [null]])
})

test('the switch port of a card that no node has stands in its event', () => {
  const { events, watch } = watched()
  watch.onEvent({
    kind: 'unknown-mac',
    atMs: 1,
    mac: '02:00:00:00:09:09',
    switchPort: { circuitId: 'Eth1/9', remoteId: 'leaf3' },
  })
  watch.onEvent({ kind: 'unknown-mac', atMs: 1, mac: '02:00:00:00:09:08' })
  watch.onEvent({ kind: 'unknown-mac', atMs: 1, mac: '02:00:00:00:09:07', controller: 'a Dell iDRAC' })
  expect(events.map(({ detail }) => detail)).toEqual([
    { mac: '02:00:00:00:09:09', switch_port: 'port Eth1/9, switch leaf3' },
    { mac: '02:00:00:00:09:08' },
    { mac: '02:00:00:00:09:07', controller: 'a Dell iDRAC' },
  ])
})

test('a switch port that could not be noted is noted when the card asks again', async () => {
  const node = await nodeWithPort()
  const tried: string[] = []
  const flaky: Pick<Store, 'notePort'> = {
    notePort: (mac, ...rest) => {
      tried.push(mac)
      return tried.length === 1 ? Promise.reject(new Error('disk I/O error')) : store.notePort(mac, ...rest)
    },
  }
  const watch = new BootWatch({ store: flaky as Store, sightings: new Sightings(), queue: { add: () => undefined } })
  watch.onEvent(seenFrom(node, 'Eth1/9'))
  await new Promise((resolve) => setImmediate(resolve))
  watch.onEvent(seenFrom(node, 'Eth1/9', 2_000))
  await circuitOf(node.uuid, 'Eth1/9')
  expect(tried).toEqual([node.mac, node.mac])
})
