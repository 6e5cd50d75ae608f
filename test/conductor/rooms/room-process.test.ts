/** `rackward boot --room` and a conductor as real processes, with a network between them: a server's firmware takes
 *  its address, its loader, its script, its kernel and its ramdisk from the room, also while no conductor is there. */
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { Measures } from '../../../cli/simulate/measures.ts'
import { bootOverNetwork, fetchText } from '../../../cli/simulate/network-boot.ts'
import { Relay } from '../../../cli/simulate/relay.ts'
import { systemClock, until } from '../../../kit/clock.ts'
import { runOk } from '../../../kit/run.ts'
import { RmcpBmc } from '../../fake/rmcp-bmc.ts'
import type { Victim } from '../../security/victim.ts'
import { cli, endOf, INITRD, KERNEL, Site, WAIT } from './site.ts'

const MAC = '52:54:00:aa:bb:01'

let site: Site
let bmc: RmcpBmc
let relay: Relay

beforeEach(async () => {
  site = await Site.open()
  const { wire } = site
  // The address that the server is going to have: its firmware is this process.
  await runOk(['ip', 'address', 'add', `${wire.at(0, 100)}/24`, 'dev', wire.own], { timeoutMs: 10_000 })
  bmc = await RmcpBmc.start()
  relay = new Relay({
    clock: systemClock,
    address: wire.at(0, 1),
    server: wire.at(0, 2),
    port: 67,
    onAgain: () => undefined,
  })
  await relay.listen()
})
afterEach(async () => {
  relay.close()
  await site.close()
  await bmc.stop()
}, 60_000)

/** As a server's firmware. Answers what of it went another way than to the ramdisk. */
async function boots(): Promise<string> {
  const signal = AbortSignal.timeout(90_000)
  const measures = new Measures()
  const booted = await bootOverNetwork(MAC, { relay, clock: systemClock, measures }, signal)
  if (booted.kind !== 'ramdisk') return booted.kind
  const at = { localAddress: booted.ip, signal, measures }
  for (const [name, bytes] of [
    ['kernel', KERNEL],
    ['initrd', INITRD],
  ] as const) {
    const text = await fetchText(`http://${site.wire.at(0, 2)}:8080/ramdisk/${name}`, at)
    if (!Buffer.from(text, 'latin1').equals(bytes)) return `another ${name}`
  }
  return `ramdisk at ${booted.ip}, token of ${/~([a-z0-9-]+)/.exec(booted.cmdline)?.[1] ?? 'nobody'}`
}

test('a server boots through a room, and goes on doing so without a conductor and after a restart of the room', async () => {
  const victim: Victim = await site.conductor()
  const { dir, wire } = site
  const made = await site.addRoom(victim, 'r1')
  expect([made.code, made.stderr]).toEqual([0, ''])
  const room = await site.startRoom()
  await site.roomIs(room, 'fresh')

  const node = { name: 'n1', driver: 'ipmi', driver_info: bmc.driverInfo() }
  const { uuid } = (await victim.call('POST', '/v1/nodes', node)).body as { uuid: string }
  const port = { node_uuid: uuid, address: MAC, physical_network: 'rack1' }
  expect((await victim.call('POST', '/v1/ports', port)).status).toBe(201)
  const isIn = async (wanted: string) => {
    const answer = await victim.call('GET', `/v1/nodes/${uuid}`)
    return (answer.body as { provision_state?: string }).provision_state === wanted
  }
  for (const [target, state] of [
    ['manage', 'manageable'],
    ['inspect', 'inspect wait'],
  ] as const) {
    expect((await victim.call('PUT', `/v1/nodes/${uuid}/states/provision`, { target })).status).toBe(202)
    await until(() => isIn(state), { ...WAIT, what: `the node to be ${state}` })
  }
  const whole = `ramdisk at ${wire.at(0, 100)}, token of r1`
  expect(await boots()).toBe(whole)
  // What the room saw is in the journal of the conductor.
  const steps = async () => {
    const page = await victim.call('GET', `/rackward/v1/events?node=${uuid}&kinds=seen&limit=1000`)
    const { events = [] } = (page.body ?? {}) as { events?: { detail: { step: string } }[] }
    return events.map(({ detail }) => detail.step)
  }
  await until(async () => (await steps()).includes('initrd'), { ...WAIT, what: 'the steps of the boot' })
  expect(await steps()).toEqual(['dhcp', 'loader', 'ipxe-dhcp', 'script', 'kernel', 'initrd'])

  await victim.end('SIGKILL')
  await site.roomIs(room, 'away')
  expect(await boots()).toBe(whole)

  await endOf(room.child, 'SIGTERM')
  const again = await site.startRoom()
  await site.roomIs(again, 'away')
  expect(await boots()).toBe(whole)

  await victim.restart()
  await site.roomIs(again, 'fresh')
  const { stdout } = await cli('room', 'list', '--server', victim.base)
  expect(stdout).toMatch(/r1 +connected +rack1/)
  const at = ['--server', victim.base]
  const renewed = await cli('room', 'renew', 'r1', '--out', join(dir, 'renewed.json'), ...at)
  expect([renewed.code, renewed.stderr]).toEqual([0, ''])
  expect((await cli('room', 'remove', 'r1', ...at)).code).toBe(0)
  expect((await cli('room', 'list', ...at)).stdout).not.toContain('r1')
}, 240_000)
