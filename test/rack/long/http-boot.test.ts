/** Boots by a URL that the BMC gives to real UEFI firmware (`redfish-https`), with Secure Boot off and on: the firmware
 *  fetches the boot ISO itself, starts it from memory, and the agent calls with the address that network_data gave
 *  it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { enroll, provision } from '../../lab/journey.ts'
import { fixedAddress, fixedNetwork } from '../../lab/media-nodes.ts'
import { openBench, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
/** The firmware holds the ISO in memory, and the ramdisk that is on it is unpacked there as well. */
const SPEC = { card: 'virtio', diskKind: 'virtio', diskBytes: 5 * GIB, memoryMb: 2048, bmc: 'redfish' } as const

interface Event {
  readonly kind: string
  readonly detail: { readonly step?: string; readonly address?: string }
}

describe('UEFI HTTP boot by the BMC', () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await openBench('http', {})
    await bench.conductor.start()
  })
  afterAll(() => bench?.rack.down())

  test.each([false, true])('Secure Boot %s: inspected from the boot ISO', { timeout: 600_000 }, async (secureBoot) => {
    const { api } = bench.conductor
    const name = secureBoot ? 'secure-1' : 'plain-1'
    const server = await bench.rack.addServer({ ...SPEC, name, firmware: 'uefi', secureBoot })
    const ip = fixedAddress(Number(secureBoot))
    const node = await enroll(api, server, {
      boot_interface: 'redfish-https',
      network_data: fixedNetwork(server.mac, ip),
    })
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await provision(api, node, { target: 'inspect' }, { to: 'manageable', timeoutMs: 500_000 })

    const { events } = (await api.ok('GET', `/rackward/v1/events?node=${node}`)) as unknown as { events: Event[] }
    const steps = events.flatMap(({ kind, detail }) => (kind === 'seen' ? [detail.step] : []))
    expect(steps).toContain('media')
    expect(steps).toContain('hello')
    // No other network boot was on the way.
    expect(steps).not.toContain('script')
    const heard = await readFile(join(server.dir, 'redfish.log'), 'utf8')
    expect(heard).toContain('HttpBootUri')
    expect(heard).not.toContain('InsertMedia')
    const console = await readFile(join(server.dir, 'console.log'), 'latin1')
    expect(console.includes('UEFI Secure Boot is enabled')).toBe(secureBoot)
    await api.ok('PUT', `/v1/nodes/${node}/states/power`, { target: 'power off' })
  })
})
