/** LLDP from the wire to the record: golden frames of switches, every way to cut them short, frames of anybody's
 *  making, and what becomes of ports. */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { hookData } from '../../conductor/agents/hooks.ts'
import { ironicInventory } from '../../conductor/agents/inspection.ts'
import { linkOf, parseLldp } from '../../conductor/agents/lldp.ts'
import { Inventory, LldpField } from '../../conductor/api/agent-wire.ts'
import { lldpFields } from '../../host-agent/deploy/lldp-frame.ts'

const hex = (text: string) => Buffer.from(text.replaceAll(/\s/g, ''), 'hex')
const utf8 = (text: string) => Buffer.from(text).toString('hex')
const HEADER = '0180c200000e 525400000001 88cc'

/** A rack switch that tells all: chassis by MAC, port by name, and the fields of 802.1 and 802.3. */
const SWITCH = hex(`${HEADER}
  0207 04 1c7ee0aabb00
  0411 05 ${utf8('GigabitEthernet1')}
  0602 0078
  0810 ${utf8('to rack 7 unit 4')}
  0a04 ${utf8('tor7')}
  0c09 ${utf8('NOS 15.02')}
  0e04 0014 0004
  100c 05 01 c0000201 02 00000001 00
  1018 11 02 20010db8000000000000000000000001 02 00000001 00
  fe06 0080c2 01 0064
  fe07 0080c2 02 06 00c8
  fe0c 0080c2 03 0064 05 ${utf8('prov')}00
  fe09 0080c2 04 04 88cc0000
  fe06 0080c2 06 0001
  fe09 00120f 01 03 6c01 001e
  fe09 00120f 03 03 00000007
  fe06 00120f 04 2400
  fe05 001122 01 00
  0000`)

/** A small switch: chassis and port by local names, nothing else. */
const SMALL = hex(`${HEADER} 0204 07 ${utf8('sw1')} 0403 05 ${utf8('p2')} 0602 0078 0000 ${'00'.repeat(20)}`)

describe('frames', () => {
  test('the fields of a frame, in order, without its end and padding', () => {
    expect(lldpFields(SMALL)).toEqual([
      [1, '07737731'],
      [2, '057032'],
      [3, '0078'],
    ])
    expect(lldpFields(SWITCH)).toHaveLength(18)
  })

  test.each([
    [
      'of another protocol',
      hex(`0180c200000e 525400000001 0806 0204 07 ${utf8('sw1')} 0403 05 ${utf8('p2')} 0602 0078`),
    ],
    ['without a port', hex(`${HEADER} 0204 07 ${utf8('sw1')} 0602 0078`)],
    ['that says goodbye', hex(`${HEADER} 0204 07 ${utf8('sw1')} 0403 05 ${utf8('p2')} 0602 0000`)],
    ['that is empty', hex('')],
  ])('a frame %s is none', (_, frame) => expect(lldpFields(frame)).toBeUndefined())

  test('cut anywhere, it gives the whole fields before the cut, or is none', () => {
    const whole = lldpFields(SWITCH) ?? []
    for (let length = 0; length <= SWITCH.length; length += 1) {
      const cut = lldpFields(SWITCH.subarray(0, length))
      if (cut) expect(cut).toEqual(whole.slice(0, cut.length))
      else expect(length).toBeLessThan(46)
    }
  })

  test('whatever bytes come, what passes is what the conductor takes', () => {
    const frames = fc.oneof(
      fc.uint8Array({ maxLength: 1600 }),
      fc.uint8Array({ maxLength: 1500 }).map((tail) => Buffer.concat([SMALL.subarray(0, 29), Buffer.from(tail)])),
    )
    fc.assert(
      fc.property(frames, (bytes) => {
        for (const field of lldpFields(Buffer.from(bytes)) ?? []) LldpField.parse(field)
      }),
      { numRuns: 2000 },
    )
  })
})

describe('fields', () => {
  test('get Ironic’s names and types', () => {
    expect(parseLldp(lldpFields(SWITCH) ?? [])).toEqual({
      switch_chassis_id: '1c:7e:e0:aa:bb:00',
      switch_port_id: 'GigabitEthernet1',
      switch_port_description: 'to rack 7 unit 4',
      switch_system_name: 'tor7',
      switch_system_description: 'NOS 15.02',
      switch_capabilities_support: ['Router', 'Bridge'],
      switch_capabilities_enabled: ['Bridge'],
      switch_mgmt_addresses: ['192.0.2.1', '2001:db8::1'],
      switch_port_untagged_vlan_id: 100,
      switch_port_protocol_vlan_enabled: true,
      switch_port_protocol_vlan_support: true,
      switch_port_protocol_vlan_ids: [200],
      switch_port_vlans: [{ name: 'prov', id: 100 }],
      switch_protocol_identities: ['88cc0000'],
      switch_port_management_vlan_id: 1,
      switch_port_autonegotiation_enabled: true,
      switch_port_autonegotiation_support: true,
      switch_port_physical_capabilities: [
        '1000BASE-T fdx',
        '100BASE-TX fdx',
        '100BASE-TX hdx',
        '10BASE-T fdx',
        '10BASE-T hdx',
      ],
      switch_port_mau_type: '1000BASE-T full duplex',
      switch_port_link_aggregation_enabled: true,
      switch_port_link_aggregation_support: true,
      switch_port_link_aggregation_id: 7,
      switch_port_mtu: 9216,
    })
    expect(parseLldp(lldpFields(SMALL) ?? [])).toEqual({ switch_chassis_id: 'sw1', switch_port_id: 'p2' })
  })

  test('the link of a port: a chassis that is no MAC is no switch_id', () => {
    expect(linkOf(lldpFields(SWITCH) ?? [])).toEqual({
      switch_id: '1c:7e:e0:aa:bb:00',
      port_id: 'GigabitEthernet1',
      switch_info: 'tor7',
    })
    expect(linkOf(lldpFields(SMALL) ?? [])).toEqual({ port_id: 'p2' })
  })

  test('each field cut short is left out alone, or reads as less; nothing throws', () => {
    const fields = lldpFields(SWITCH) ?? []
    for (const [i, [type, value]] of fields.entries())
      for (let digits = 0; digits < value.length; digits += 2) {
        const parsed = parseLldp(fields.with(i, [type, value.slice(0, digits)]))
        expect(parsed.switch_system_name ?? parsed.switch_port_id).toBeDefined()
      }
  })

  test('texts of strangers are fit for a terminal, and no field that a stranger makes up throws or becomes another type', () => {
    expect(parseLldp([[5, `${utf8('a')}1b5b324a${utf8('‮')}`]])).toEqual({ switch_system_name: 'a?[2J?' })
    expect(parseLldp([[5, 'ff']])).toEqual({})
    const field = fc.tuple(
      fc.oneof(fc.constantFrom(1, 2, 4, 5, 6, 7, 8), fc.constant(127), fc.integer({ min: 0, max: 127 })),
      fc.oneof(
        fc.uint8Array({ maxLength: 511 }),
        fc
          .tuple(fc.constantFrom('0080c2', '00120f'), fc.uint8Array({ maxLength: 24 }))
          .map(([oui, rest]) => Buffer.concat([hex(oui), Buffer.from(rest)])),
      ),
    )
    fc.assert(
      fc.property(fc.array(field, { maxLength: 12 }), (made) => {
        const fields = made.map(([type, bytes]): LldpField => [type, Buffer.from(bytes).toString('hex')])
        for (const [name, value] of Object.entries(parseLldp(fields))) {
          expect(name).toMatch(/^switch_[a-z_]+$/)
          expect(['string', 'number', 'boolean', 'object']).toContain(typeof value)
        }
        for (const value of Object.values(linkOf(fields))) expect(value.length).toBeLessThanOrEqual(511)
      }),
      { numRuns: 2000 },
    )
  })
})

const inventory = Inventory.parse({
  cpu: { count: 8, sockets: 1, model: null, architecture: 'x86_64', frequencyMhz: 2600.1, flags: ['aes'] },
  memoryBytes: 2 ** 34,
  physicalMemoryMb: 16384,
  disks: [
    {
      name: '/dev/sda',
      sizeBytes: 10 ** 12,
      rotational: true,
      model: 'm',
      vendor: 'v',
      serial: 's',
      wwn: '0x600508b1001c4d416e8b4e8f0fc3e9b1',
      hctl: '0:0:0:0',
      byPath: '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
      transport: 'scsi',
      logicalSectorBytes: 512,
      physicalSectorBytes: 4096,
      readOnly: false,
    },
  ],
  nics: [
    { name: 'eno1', mac: '52:54:00:00:00:01', lldp: lldpFields(SWITCH), ipv4: '192.0.2.7', ipv6: 'fe80::1' },
    { name: 'eno2', mac: '52:54:00:00:00:02', ipv4: null },
  ].map((nic) => ({
    hasCarrier: true,
    speedMbps: 1000,
    driver: 'e1000e',
    vendor: '0x8086',
    product: '0x10d3',
    pciAddress: '0000:00:02.0',
    ...nic,
  })),
  bootMode: 'uefi',
  bootMac: '52:54:00:00:00:01',
  system: {
    vendor: 'V',
    product: 'P',
    serial: null,
    uuid: 'u',
    firmwareVersion: '1',
    firmwareVendor: 'F',
    firmwareDate: '02/01/2026',
  },
  bmcAddress: '192.0.2.9',
  bmcMac: '52:54:00:00:00:09',
  numa: { ram: [{ node: 0, sizeKb: 5 }], cpus: [{ core: 0, node: 0, threads: [0, 1] }], nics: [] },
})

describe('the inventory in Ironic’s form', () => {
  const document = ironicInventory(inventory, { hostName: 'n1', root: inventory.disks[0] })
  const { pluginData, links } = hookData(document.inventory, document.plugin_data)

  test('has what clients decode, with the types of Ironic’s agent', () => {
    expect(document.inventory).toMatchObject({
      hostname: 'n1',
      cpu: { model_name: '', frequency: '2600.1', socket_count: 1 },
      system_vendor: { serial_number: '', firmware: { vendor: 'F', version: '1', build_date: '02/01/2026' } },
      bmc_v6address: null,
      bmc_mac: '52:54:00:00:00:09',
    })
    expect((document.inventory.disks as object[])[0]).toEqual({
      name: '/dev/sda',
      model: 'm',
      size: 10 ** 12,
      rotational: true,
      wwn: '0x600508b1001c4d416e8b4e8f0fc3e9b1',
      wwn_with_extension: '0x600508b1001c4d416e8b4e8f0fc3e9b1',
      wwn_vendor_extension: '0x6e8b4e8f0fc3e9b1',
      serial: 's',
      vendor: 'v',
      hctl: '0:0:0:0',
      by_path: '/dev/disk/by-path/pci-0000:00:1f.2-ata-1',
      logical_sectors: 512,
      physical_sectors: 4096,
      tran: 'scsi',
    })
    expect(document.inventory.interfaces[1]).toEqual({
      name: 'eno2',
      mac_address: '52:54:00:00:00:02',
      ipv4_address: null,
      ipv6_address: null,
      has_carrier: true,
      lldp: null,
      vendor: '0x8086',
      product: '0x10d3',
      client_id: null,
      biosdevname: null,
      speed_mbps: 1000,
      pci_address: '0000:00:02.0',
      driver: 'e1000e',
    })
  })

  test('the hooks add valid interfaces, MACs, announcements and links', () => {
    expect(pluginData).toMatchObject({
      boot_interface: '52:54:00:00:00:01',
      macs: ['52:54:00:00:00:01', '52:54:00:00:00:02'],
      all_interfaces: { eno1: { pxe_enabled: true, ipv6_address: 'fe80::1' }, eno2: { pxe_enabled: false } },
      valid_interfaces: { eno1: {}, eno2: {} },
      parsed_lldp: { eno1: { switch_system_name: 'tor7', switch_port_untagged_vlan_id: 100 } },
      root_disk: { name: '/dev/sda' },
      numa_topology: {
        ram: [{ numa_node: 0, size_kb: 5 }],
        cpus: [{ cpu: 0, numa_node: 0, thread_siblings: [0, 1] }],
        nics: [],
      },
      system_uuid: 'u',
    })
    expect([...links]).toEqual([
      ['52:54:00:00:00:01', { switch_id: '1c:7e:e0:aa:bb:00', port_id: 'GigabitEthernet1', switch_info: 'tor7' }],
    ])
  })

  test('what an agent of Ironic sends is read the same way: raw announcements win, and what is none is left out', () => {
    const [chassis, port] = lldpFields(SWITCH) ?? []
    const sent = hookData(
      {
        interfaces: [
          { name: 'a', mac_address: '52:54:00:00:00:0A', lldp: [chassis, port], ipv6_address: 'fe80::2%a' },
          { name: '__proto__', mac_address: '52:54:00:00:00:0b', lldp: [[1, 'zz'], 'x', [200, '00'], null] },
          { name: 'lo', mac_address: '52:54:00:00:00:0c' },
          { mac_address: '52:54:00:00:00:0d' },
        ],
        boot: { pxe_interface: '01-52-54-00-00-00-0A' },
      },
      { lldp_raw: { a: [[2, '05783179']] } },
    )
    expect(sent.pluginData).toMatchObject({
      macs: ['52:54:00:00:00:0a', '52:54:00:00:00:0b'],
      all_interfaces: { a: { pxe_enabled: true, ipv6_address: 'fe80::2' } },
      parsed_lldp: { a: { switch_port_id: 'x1y' } },
    })
    expect(Object.getPrototypeOf(sent.pluginData.all_interfaces)).toBe(Object.prototype)
  })
})
