/** Two boot rooms of one segment as real processes, of which one is killed in the middle of a boot: the server, which
 *  begins anew as firmware does, boots through the other one, with the same address. */
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Measures } from '../../../cli/simulate/measures.ts'
import { bootOverNetwork, fetchAll, fetchText } from '../../../cli/simulate/network-boot.ts'
import { Relay } from '../../../cli/simulate/relay.ts'
import { fetchByTftp } from '../../../cli/simulate/tftp.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { runOk } from '../../../kit/run.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import { endOf, Site, WAIT, type RoomProcess } from './site.ts'

const MAC = '52:54:00:aa:ee:01'

let site: Site
let bmc: RmcpBmc
let relay: Relay | undefined

beforeEach(async () => {
  site = await Site.open()
  const { wire } = site
  await runOk(['ip', 'address', 'add', `${wire.at(0, 100)}/24`, 'dev', wire.own], { timeoutMs: 10_000 })
  bmc = await RmcpBmc.start()
})
afterEach(async () => {
  relay?.close()
  await site.close()
  await bmc.stop()
}, 60_000)

/** The segment as the server sees it, when this room answers first. */
async function seen({ address: server }: RoomProcess): Promise<Relay> {
  relay?.close()
  const parts = { clock: systemClock, address: site.wire.at(0, 1), server, port: 67, onAgain: () => undefined }
  relay = new Relay(parts)
  await relay.listen()
  return relay
}

/** Boots as far as this, and kills the room there. Answers the address that the server had. */
async function bootUntil(moment: string, room: RoomProcess): Promise<string> {
  const signal = AbortSignal.timeout(90_000)
  const by = await seen(room)
  const kill = () => endOf(room.child, 'SIGKILL')
  const first = await by.lease(MAC, 'firmware', signal)
  if (!first) throw new Error('no address')
  if (moment === 'address') return kill().then(() => first.ip)
  await fetchByTftp({ ...first, localAddress: first.ip, clock: systemClock, signal })
  if (moment === 'loader') return kill().then(() => first.ip)
  const lease = await by.lease(MAC, 'ipxe', signal)
  const at = { localAddress: first.ip, signal, measures: new Measures() }
  const script = await fetchText(lease?.file ?? '', at)
  if (moment === 'script') return kill().then(() => first.ip)
  const initrd = /^initrd --name \S+ (\S+)/m.exec(script)?.[1] ?? ''
  let killed: Promise<void> | undefined
  await expect(fetchAll(initrd, at, () => void (killed ??= kill()))).rejects.toMatchObject({ code: 'deploy.download' })
  await killed
  return first.ip
}

test('one of two rooms is killed at any moment of a boot, and the server boots through the other', async () => {
  const victim = await site.conductor()
  for (const name of ['r1', 'r2']) expect((await site.addRoom(victim, name)).code).toBe(0)
  let mortal = await site.startRoom('r1')
  const other = await site.startRoom('r2')
  for (const room of [mortal, other]) await site.roomIs(room, 'fresh')

  const node = { name: 'n1', driver: 'ipmi', driver_info: bmc.driverInfo() }
  const { uuid } = (await victim.call('POST', '/v1/nodes', node)).body as { uuid: string }
  const port = { node_uuid: uuid, address: MAC, physical_network: 'rack1' }
  expect((await victim.call('POST', '/v1/ports', port)).status).toBe(201)
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['inspect', 'inspect wait'],
  ] as const) {
    expect((await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })).status).toBe(202)
    const isSo = async () => {
      const { body } = await victim.call('GET', `/v1/nodes/${uuid}`)
      return (body as { provision_state: string }).provision_state === state
    }
    await until(isSo, { ...WAIT, what: `the node to be ${state}` })
  }

  for (const moment of ['address', 'loader', 'script', 'ramdisk']) {
    const ip = await bootUntil(moment, mortal)
    const parts = { relay: await seen(other), clock: systemClock, measures: new Measures() }
    const booted = await bootOverNetwork(MAC, parts, AbortSignal.timeout(90_000))
    expect([moment, booted]).toEqual([moment, { kind: 'ramdisk', ip, cmdline: expect.stringContaining('~r2') }])
    mortal = await site.startRoom('r1')
    await site.roomIs(mortal, 'fresh')
  }
}, 300_000)
