/** Boots by virtual media on real firmware, BIOS and UEFI, with no DHCP server on the wire: the BMC fetches the boot
 *  ISO from the boot services by ranges, and the agent calls with the address that network_data gave it. With Secure
 *  Boot on, to the end: a Debian that runs with it. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { enroll, provision, travel } from '../../lab/journey.ts'
import { fixedAddress, mediaNode } from '../../lab/media-nodes.ts'
import { newSeen } from '../../lab/show.ts'
import { onServer, openBench, useDebian, type Bench } from '../setup.ts'

const GIB = 1024 ** 3
const FIRMWARE = ['bios', 'uefi'] as const
const SPEC = { card: 'virtio', diskKind: 'virtio', diskBytes: 5 * GIB, memoryMb: 1536, bmc: 'redfish' } as const

interface Event {
  readonly kind: string
  readonly detail: { readonly step?: string; readonly detail?: string }
}

describe('virtual media', () => {
  let bench: Bench
  beforeAll(async () => {
    bench = await openBench('media', {}, { dhcp: false })
    await bench.conductor.start()
  })
  afterAll(() => bench?.rack.down())

  test.each(FIRMWARE)('%s: inspected from the boot ISO, without DHCP', { timeout: 600_000 }, async (firmware) => {
    const { api } = bench.conductor
    const server = await bench.rack.addServer({ ...SPEC, name: `${firmware}-1`, firmware })
    const node = await enroll(api, server, mediaNode(server, fixedAddress(FIRMWARE.indexOf(firmware))))
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await provision(api, node, { target: 'inspect' }, { to: 'manageable', timeoutMs: 500_000 })

    const { events } = (await api.ok('GET', `/rackward/v1/events?node=${node}`)) as unknown as { events: Event[] }
    const steps = events.flatMap(({ kind, detail }) => (kind === 'seen' ? [detail.step] : [])).sort()
    expect(steps).toEqual(['hello', 'media'])
    expect(events.find(({ detail }) => detail.step === 'hello')?.detail.detail).toBe(firmware)
    const heard = await readFile(join(server.dir, 'redfish.log'), 'utf8')
    expect(heard).toContain('InsertMedia')

    const token = /\/media\/[A-Za-z0-9_-]{43}/
    expect(JSON.stringify(events)).not.toMatch(token)
    expect(await readFile(bench.conductor.logFile, 'utf8')).not.toMatch(token)
    await api.ok('PUT', `/v1/nodes/${node}/states/power`, { target: 'power off' })
  })

  test('Secure Boot is on from the boot ISO to the deployed Debian', { timeout: 900_000 }, async () => {
    const { conductor, rack } = bench
    const image = await useDebian(bench)
    const server = await rack.addServer({ ...SPEC, name: 'secure-1', firmware: 'uefi', secureBoot: true })
    const fixedIp = fixedAddress(FIRMWARE.length)
    const result = await travel({ api: conductor.api, rack, server, image, seen: newSeen(), fixedIp })
    expect(result.error).toBeUndefined()
    expect(await onServer(rack, fixedIp, 'cat /sys/kernel/security/lockdown')).toContain('[integrity]')
    // Four bytes of attributes, then the value.
    const variable = '/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c'
    expect(await onServer(rack, fixedIp, `od -An -tu1 -j4 ${variable}`)).toBe('1')

    // The kernel of the ramdisk says so, and that of the instance.
    const console = await readFile(join(server.dir, 'console.log'), 'latin1')
    expect(console.match(/UEFI Secure Boot is enabled/g)?.length).toBeGreaterThanOrEqual(2)
    const node = await conductor.api.ok('GET', '/v1/nodes/secure-1')
    expect(node).toMatchObject({ provision_state: 'active', secure_boot: true })
    // Nobody switched it meanwhile.
    expect(await readFile(join(server.dir, 'redfish.log'), 'utf8')).not.toContain('SecureBootEnable')
  })
})
