/** What real firmware does beside the standards, quirk by quirk: each as the packet that shows it, and our answer to
 *  it byte by byte where the bytes matter. Those of proxies, relays, TFTP, loaders and HTTP have files of their own. */
import { describe, expect, test } from 'vitest'
import { decodePacket, encodePacket, type Packet } from '../../pxe/dhcp/packet.ts'
import { OPTION, u16 } from '../../pxe/dhcp/options.ts'
import { ARM64_LOADER, BIOS_LOADER, EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { bench, far, http, mac, ofMac, packet, pxe, request, script, SERVER } from './dhcp-bench.ts'

const IPXE_CLASS = Buffer.from('iPXE')
/** Where the options of a datagram begin. */
const OPTIONS_AT = 240

const offerTo = (options: [number, Buffer][], more: Partial<Packet> = {}) =>
  bench().ask(packet(1, 'discover', options, more))

/** The bytes of an option as they stand in the datagram, with its code and length, and the byte behind them. */
function rawOption(bytes: Buffer, code: number): { value: Buffer; next: number | undefined } | undefined {
  for (let at = OPTIONS_AT; at < bytes.length && bytes[at] !== 255;) {
    const end = at + 2 + (bytes[at + 1] as number)
    if (bytes[at] === code) return { value: bytes.subarray(at + 2, end), next: bytes[end] }
    at = end
  }
  return undefined
}

describe('what firmware sends', () => {
  test('iPXE names its class without the length byte of RFC 3004; with one it is iPXE as well', () => {
    const withLength = Buffer.concat([Buffer.from([IPXE_CLASS.length]), IPXE_CLASS])
    for (const userClass of [IPXE_CLASS, withLength])
      expect(offerTo([...pxe(7), [OPTION.userClass, userClass]])?.packet.file).toBe(script(mac(1)))
  })
  test('iPXE in the ROM of a card is given the script, never a loader to start on top of itself', () => {
    for (const arch of [0, 7, 9])
      expect(offerTo([...pxe(arch), [OPTION.userClass, IPXE_CLASS]])?.packet.file).toBe(script(mac(1)))
  })
  test('firmware, iPXE, GRUB and the system send client identifiers of their own: they have one address', () => {
    const { ask } = bench()
    const ids = ['', '00-guid-of-the-board', '\x01\x02\x00\x00\x00\x00\x01', '\xff duid of the system']
    const ips = ids.map((id) => {
      const own: [number, Buffer][] = id === '' ? [] : [[61, Buffer.from(id, 'latin1')]]
      return ask(packet(1, 'discover', [...pxe(7), ...own]))?.packet.yiaddr
    })
    expect(new Set(ips)).toEqual(new Set(['10.0.0.10']))
  })
  test.each([
    ['the GUID of the board in place of the MAC address (EDK2)', 1, 16],
    ['InfiniBand, which has no MAC address', 32, 0],
  ])('%s is not answered, and an event says why', (_, htype, hlen) => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', pxe(7), { htype, hlen }))).toBeUndefined()
    const chaddr = hlen === 0 ? '' : '02000000000100000000000000000000'
    const why = `chaddr: hardware type ${htype} of ${hlen} bytes (${chaddr}) is not Ethernet`
    expect(events).toEqual([{ kind: 'malformed', from: '', why, odd: true }])
  })
  test('a packet without END, below 300 bytes or with rubbish behind END says what it says', () => {
    const whole = encodePacket(packet(1, 'discover', pxe(7)))
    const end = whole.indexOf(255, OPTIONS_AT)
    for (const bytes of [
      whole.subarray(0, end),
      whole.subarray(0, end + 1),
      Buffer.concat([whole, Buffer.alloc(99, 7)]),
    ])
      expect(decodePacket(bench().server.handle(bytes, SERVER)?.bytes ?? Buffer.alloc(0)).file).toBe(EFI_LOADER)
  })
  test('a DISCOVER that names an address as its own is given the address that is its own', () => {
    expect(offerTo(pxe(7), { ciaddr: '10.0.0.12' })?.packet.yiaddr).toBe('10.0.0.10')
    expect(offerTo(pxe(7), { ciaddr: '192.0.2.7' })?.packet.yiaddr).toBe('10.0.0.10')
  })
  test('after a new image the system asks for the address of before at once (INIT-REBOOT): it has it', () => {
    const { ask } = bench()
    const ip = ask(packet(1, 'discover'))?.packet.yiaddr ?? ''
    expect(ask(request(1, ip, []))?.packet.yiaddr).toBe(ip)
  })
  test.each([
    [28, 'RISC-V 64-bit UEFI HTTP'],
    [10, 'ARM 32-bit UEFI'],
    [4096, 'architecture 4096'],
  ])('architecture %i has an address and no file, and an event names it', (arch, name) => {
    const { ask, events } = bench()
    const options: [number, Buffer][] = [
      [OPTION.vendorClass, Buffer.from(arch === 28 ? 'HTTPClient' : 'PXEClient')],
      [OPTION.clientArch, u16(arch)],
    ]
    expect(ask(packet(1, 'discover', options))?.packet).toMatchObject({ yiaddr: '10.0.0.10', file: '' })
    expect(events).toContainEqual({ kind: 'trouble', mac: mac(1), why: `there is no boot file for ${name}` })
  })
  test('an option 93 of odd length, or empty, hides no architecture that stands whole in it', () => {
    const arch = (bytes: number[]): [number, Buffer][] => [
      [OPTION.vendorClass, Buffer.from('PXEClient')],
      [OPTION.clientArch, Buffer.from(bytes)],
    ]
    expect(offerTo(arch([0, 7, 9]))?.packet.file).toBe(EFI_LOADER)
    expect(offerTo(arch([]))?.packet.file).toBe(BIOS_LOADER)
  })
  test('each maker of Raspberry Pis is known by its cards, and none of them gets a BIOS loader', () => {
    for (const oui of ['b8:27:eb', 'dc:a6:32', 'e4:5f:01', '28:cd:c1', 'd8:3a:dd']) {
      const pi = `${oui}:00:00:01`
      const { ask } = bench({}, { macs: [pi] })
      expect(ask(ofMac(pi, packet(1, 'discover', pxe(0))))?.packet.file).toBe('')
      expect(ask(ofMac(pi, packet(1, 'discover', pxe(7))))?.packet.file).toBe(EFI_LOADER)
    }
  })
})

describe('what else asks on the wire of the servers', () => {
  test.each([
    ['NVIDIA/BF/OOB', 'the management port of a BlueField DPU'],
    ['NVIDIA/BF/BMC', 'the BMC of a BlueField DPU'],
    ['NVIDIA/BF', 'a BlueField DPU'],
    ['BF2Client', 'a BlueField DPU'],
    ['iDRAC', 'a Dell iDRAC'],
    ['CPQRIB3', 'an HPE iLO'],
  ])('%s is told as what it is, and is not answered', (vendor, controller) => {
    const { ask, events } = bench()
    expect(ask(packet(9, 'discover', [[OPTION.vendorClass, Buffer.from(vendor)]]))).toBeUndefined()
    expect(events).toEqual([{ kind: 'unknown', mac: mac(9), controller }])
  })
  test('any other class is told as an unknown card', () => {
    for (const vendor of ['', 'udhcp 1.36', 'PXEClient:iDRAC', 'xiDRAC']) {
      const { ask, events } = bench()
      ask(packet(9, 'discover', [[OPTION.vendorClass, Buffer.from(vendor)]]))
      expect(events).toHaveLength(1)
      expect(events[0]).not.toHaveProperty('controller')
    }
  })
})

describe('a switch port that forwards late (spanning tree, MAC authentication, LACP)', () => {
  const late = (secs: number, more: { options?: [number, Buffer][]; before?: number; ageMs?: number } = {}) => {
    const { ask, events, clock } = bench()
    clock.ms += more.ageMs ?? 600_000
    const options = more.options ?? pxe(7)
    if (more.before !== undefined) ask(packet(1, 'discover', options, { secs: 0 }))
    clock.ms += more.before ?? 0
    ask(packet(1, 'discover', options, { secs }))
    return events.flatMap((event) => (event.kind === 'late' ? [event] : []))
  }
  test('the first request that arrives says for how long others were lost', () => {
    expect(late(28)).toEqual([{ kind: 'late', mac: mac(1), netboot: 'firmware', seconds: 28 }])
    const ipxe: [number, Buffer][] = [...pxe(7), [OPTION.userClass, IPXE_CLASS]]
    expect(late(60, { options: ipxe })).toMatchObject([{ netboot: 'ipxe', seconds: 60 }])
  })
  test('requests that were heard all the while are not lost, nor are those of before our own start', () => {
    expect(late(28, { before: 28_000 })).toEqual([])
    expect(late(28, { ageMs: 20_000 })).toEqual([])
    expect(late(28, { before: 600_000 })).toHaveLength(1)
  })
  test('one repeated request, seconds in the wrong byte order, and systems on a disk say nothing', () => {
    for (const secs of [0, 4, 7, 181, 28 << 8, 65_535]) expect(late(secs)).toEqual([])
    expect(late(28, { options: [] })).toEqual([])
  })
})

describe('how firmware reads answers', () => {
  test('the boot file ends with NUL in option 67, for EDK2 writes one behind it, over the code of the next option', () => {
    for (const options of [pxe(0), pxe(7), http(16)]) {
      const offer = offerTo(options)
      const raw = rawOption(offer?.bytes ?? Buffer.alloc(0), OPTION.bootFile)
      expect(raw?.value.at(-1)).toBe(0)
      expect(raw?.value.indexOf(0)).toBe((raw?.value.length ?? 0) - 1)
    }
  })
  test('file and next server stand in the header as in the options: U-Boot and shim read the header alone', () => {
    const offer = offerTo(pxe(7))?.packet
    expect([offer?.file, offer?.siaddr]).toEqual([EFI_LOADER, SERVER])
    expect(offer?.options.get(OPTION.bootFile)?.toString()).toBe(`${EFI_LOADER}\0`)
    expect(offer?.options.get(OPTION.tftpServerName)?.toString()).toBe(SERVER)
  })
  test('the class PXEClient is not in our answers, or EDK2 asks port 4011 and fails', () => {
    for (const arch of [0, 7, 9, 11]) expect(offerTo(pxe(arch))?.packet.options.get(OPTION.vendorClass)).toBeUndefined()
  })
  test('iPXE is told not to wait for a proxy; nobody else is', () => {
    const ipxe = offerTo([...pxe(7), [OPTION.userClass, IPXE_CLASS]])
    expect(ipxe?.packet.options.get(OPTION.ipxe)).toEqual(Buffer.from([0xb0, 1, 1]))
    expect(offerTo(pxe(7))?.packet.options.get(OPTION.ipxe)).toBeUndefined()
  })
  test('the address of the ACK is that of the offer, for iPXE ignores another one', () => {
    const { ask } = bench()
    const offered = ask(packet(1, 'discover', pxe(7)))?.packet.yiaddr ?? ''
    ask(packet(2, 'discover', pxe(7)))
    expect(ask(request(1, offered))?.packet.yiaddr).toBe(offered)
  })
  test('firmware that boots by HTTP gets a URL with an address, and one slash before each name', () => {
    const { ask } = bench({}, { loaders: [...LOADERS, ARM64_LOADER] })
    const files = [16, 19].map((arch) => ask(packet(1, 'discover', http(arch)))?.packet.file ?? '')
    for (const file of files) expect(file).toMatch(/^http:\/\/10\.0\.0\.1\/loader\/[^/]+$/)
  })
  test('iPXE of before 2021 acts on no NAK, and until 2023 on that of any server: nobody gets one for what another server gave', () => {
    const { ask } = bench()
    const other: [number, Buffer] = [OPTION.serverId, Buffer.from([192, 0, 2, 9])]
    for (const ip of ['10.0.0.10', '192.0.2.50']) expect(ask(request(1, ip, [other]))).toBeUndefined()
    expect(ask(request(9, '192.0.2.50', []))).toBeUndefined()
  })
  test('every answer has the 300 bytes that BOOTP relays and old ROMs want', () => {
    const { ask } = bench()
    const offer = ask(packet(1, 'discover'))
    const ack = ask(request(1, offer?.packet.yiaddr ?? ''))
    const nak = ask(request(2, far.first))
    for (const answer of [offer, ack, nak]) expect(answer?.bytes.length).toBeGreaterThanOrEqual(300)
  })
})
