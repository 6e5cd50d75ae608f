/** The virtual BMC behaves as the standard says where no fault is set, and its faults do what they promise: what the
 *  machine boots, ETags, sessions, a restart. */
import { afterEach, expect, test } from 'vitest'
import { systemClock, until } from '../../kit/clock.ts'
import { redfishInfo } from '../../conductor/bmc/redfish/info.ts'
import { Redfish } from '../../conductor/bmc/redfish/redfish.ts'
import type { FaultName } from './faults.ts'
import type { SimulatedMachine } from './machine.ts'
import { VirtualBmc } from './virtual-bmc.ts'

const PXE = { device: 'pxe', once: true, efi: true } as const
const opened: { close: () => Promise<unknown> }[] = []
afterEach(async () => {
  await Promise.all(opened.splice(0).map((one) => one.close()))
})

async function rig(...faults: readonly FaultName[]) {
  const bmc = await VirtualBmc.start(...faults)
  const client = new Redfish(redfishInfo(bmc.driverInfo()), systemClock)
  opened.push({
    close: async () => {
      await client.close()
      await bmc.stop()
    },
  })
  return { bmc, client, signal: AbortSignal.timeout(20_000) }
}

/** What two starts boot after one order to boot from the network once. */
async function twoStarts(bmc: VirtualBmc<SimulatedMachine>, client: Redfish, signal: AbortSignal) {
  await client.setBootDevice(PXE, signal)
  await client.setPower('on', signal)
  await client.reset(signal)
  return bmc.machine.starts.map(({ target }) => target)
}

test.each<[string, readonly FaultName[], readonly (string | null)[]]>([
  ['is consumed by the start that follows', [], ['Pxe', null]],
  ['is kept, where the BMC never clears it', ['an override for once is kept for ever'], ['Pxe', 'Pxe']],
  ['does nothing, where the BMC ignores it', ['an override for once is ignored'], [null, null]],
  ['waits in the settings resource', ['the override is written in the settings resource'], ['Pxe', null]],
])('an override for once %s', async (_, faults, booted) => {
  const { bmc, client, signal } = await rig(...faults)
  expect(await twoStarts(bmc, client, signal)).toEqual(booted)
})

test('a restart of the BMC ends its sessions; the client logs in again; a forgotten override shows', async () => {
  const { bmc, client, signal } = await rig('a restart of the BMC forgets the override')
  await client.setBootDevice({ ...PXE, once: false }, signal)
  expect(bmc.system.boot.BootSourceOverrideTarget).toBe('Pxe')
  await client.resetController('cold', signal)
  await until(() => bmc.sessions.size === 0, { what: 'the restart', timeoutMs: 20_000 })
  const device = () => client.bootDevice(signal).catch(() => undefined)
  expect(await until(device, { what: 'the BMC to be back', timeoutMs: 20_000 })).toEqual({
    device: null,
    persistent: null,
  })
  expect([bmc.restarts, bmc.sessions.size]).toEqual([1, 1])
})

test('a ninth session is refused, and a client that finds the table full goes on with Basic', async () => {
  const { bmc, client, signal } = await rig()
  const others = Array.from({ length: 8 }, () => new Redfish(redfishInfo(bmc.driverInfo()), systemClock))
  opened.push(...others)
  for (const other of others) await other.power(signal)
  expect(bmc.sessions.size).toBe(8)
  expect(await client.power(signal)).toBe('off')
  expect([bmc.sessions.size, bmc.heard.at(-1)?.basic]).toEqual([8, true])
})
