/** Which boot file a client gets, by what it says of itself. */
import { describe, expect, test } from 'vitest'
import { LoaderPaths } from '../../pxe/loader-paths.ts'
import { OPTION, u16 } from '../../pxe/dhcp/options.ts'
import {
  ARM64_LOADER,
  EFI_DRIVER_LOADER,
  BIOS_LOADER,
  EFI_LOADER,
  GRUB_LOADER,
  isGrubConfig,
  isOptionalName,
  LOADERS,
  SHIM_LOADER,
  UKI_LOADER,
} from '../../pxe/firmware.ts'
import { SERVER, script, bench, mac, packet, pxe, http, ofMac } from './dhcp-bench.ts'

describe('the boot file', () => {
  const fileOf = (options: [number, Buffer][]) => bench().ask(packet(1, 'discover', options))?.packet.file
  test.each([
    [0, BIOS_LOADER],
    [7, EFI_LOADER],
    [9, EFI_LOADER],
  ])('for architecture %i is %s', (arch, file) => expect(fileOf(pxe(arch))).toBe(file))
  test('for iPXE is the script of the node, by user class as by its own options', () => {
    expect(fileOf([...pxe(0), [OPTION.userClass, Buffer.from('iPXE')]])).toBe(script(mac(1)))
    expect(fileOf([...pxe(7), [OPTION.ipxe, Buffer.from([1, 1, 1])]])).toBe(script(mac(1)))
  })
  test('for UEFI HTTP boot is the loader by its whole URL, in an answer of its class', () => {
    const offer = bench().ask(
      packet(1, 'discover', [
        [OPTION.vendorClass, Buffer.from('HTTPClient:Arch:00016')],
        [OPTION.clientArch, u16(16)],
      ]),
    )
    expect([offer?.packet.file, offer?.packet.options.get(OPTION.vendorClass)?.toString()]).toEqual([
      `http://${SERVER}/loader/${EFI_LOADER}`,
      'HTTPClient',
    ])
  })
  test('for a client that boots nothing is none', () => expect(fileOf([])).toBe(''))
  test('for an architecture without a loader is none, and an event says so', () => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', pxe(11)))?.packet.file).toBe('')
    expect(events).toContainEqual({
      kind: 'trouble',
      mac: mac(1),
      why: 'there is no boot file for ARM 64-bit UEFI: ipxe-arm64.efi is not among the loaders',
    })
  })
  describe('where the signed ramdisk of the site is there', () => {
    const fileWith = (options: [number, Buffer][], uki: boolean) => {
      const { ask, owner } = bench({}, { loaders: [...LOADERS, ARM64_LOADER, UKI_LOADER] })
      const { client } = owner
      owner.client = (one) => {
        const known = client(one)
        return known && { ...known, uki }
      }
      return ask(packet(1, 'discover', options))?.packet.file
    }
    test.each([
      [pxe(7), UKI_LOADER],
      [http(16), `http://${SERVER}/loader/${UKI_LOADER}`],
      [pxe(0), BIOS_LOADER],
      [pxe(11), ARM64_LOADER],
      [[...pxe(7), [OPTION.userClass, Buffer.from('iPXE')] as [number, Buffer]], script(mac(1))],
    ])('a node that boots it gets what its firmware can start', (options, file) =>
      expect(fileWith(options, true)).toBe(file),
    )
    test('no other node gets it', () => expect(fileWith(pxe(7), false)).toBe(EFI_LOADER))
  })
  test.each([
    [11, ARM64_LOADER],
    [19, `http://${SERVER}/loader/${ARM64_LOADER}`],
  ])('for architecture %i is the arm64 loader where it is there', (arch, file) => {
    const options = arch === 11 ? pxe(arch) : http(arch)
    expect(bench({}, { loaders: [...LOADERS, ARM64_LOADER] }).ask(packet(1, 'discover', options))?.packet.file).toBe(
      file,
    )
  })
  test.each([
    [15, 'x86 UEFI HTTP'],
    [18, 'ARM 32-bit UEFI HTTP'],
    [20, 'x86 BIOS HTTP'],
    [27, 'RISC-V 64-bit UEFI'],
    [6, 'x86 UEFI'],
  ])('for architecture %i is none, and the event names it', (arch, name) => {
    const { ask, events } = bench()
    expect(ask(packet(1, 'discover', [15, 18, 20].includes(arch) ? http(arch) : pxe(arch)))?.packet.file).toBe('')
    expect(events).toContainEqual({ kind: 'trouble', mac: mac(1), why: `there is no boot file for ${name}` })
  })
  test('is that of the first architecture that has one', () => {
    expect(
      fileOf([
        [OPTION.vendorClass, Buffer.from('PXEClient')],
        [OPTION.clientArch, Buffer.from([0, 0xff, 0, 7])],
      ]),
    ).toBe(EFI_LOADER)
    expect(
      fileOf([
        [OPTION.vendorClass, Buffer.from('PXEClient')],
        [OPTION.clientArch, Buffer.from([0, 6, 0, 7])],
      ]),
    ).toBe(EFI_LOADER)
  })
  test('is found by the vendor class when option 93 is missing', () => {
    expect(fileOf([[OPTION.vendorClass, Buffer.from('PXEClient:Arch:00007:UNDI:003016')]])).toBe(EFI_LOADER)
    expect(fileOf([[OPTION.vendorClass, Buffer.from('PXEClient')]])).toBe(BIOS_LOADER)
  })
  test.each([
    [7, SHIM_LOADER],
    [9, SHIM_LOADER],
    [16, `http://${SERVER}/loader/${SHIM_LOADER}`],
    // Secure Boot is part of UEFI; and what runs iPXE has been let in.
    [0, BIOS_LOADER],
  ])('with Secure Boot for architecture %i is %s', (arch, file) => {
    const { ask, events } = bench({}, { loaders: [...LOADERS, SHIM_LOADER, GRUB_LOADER], signed: true })
    expect(ask(packet(1, 'discover', arch === 16 ? http(arch) : pxe(arch)))?.packet.file).toBe(file)
    expect(ask(packet(1, 'discover', [...pxe(7), [OPTION.userClass, Buffer.from('iPXE')]]))?.packet.file).toBe(
      script(mac(1)),
    )
    expect(events.filter(({ kind }) => kind !== 'reply')).toEqual([])
  })
  test('where nothing is known of Secure Boot is shim after iPXE fell silent, which firmware that refuses it does', () => {
    const loaders = [...LOADERS, SHIM_LOADER, GRUB_LOADER, EFI_DRIVER_LOADER]
    const offered: string[][] = []
    const { ask, owner } = bench({}, { loaders })
    owner.pickLoader = (_, { files }) => {
      offered.push([...files])
      return files[0]
    }
    ask(packet(1, 'discover', pxe(7)))
    expect(offered).toEqual([[EFI_LOADER, SHIM_LOADER, EFI_DRIVER_LOADER]])
  })
  test('with Secure Boot and without shim is the unsigned one, and an event says what is missing', () => {
    const { ask, events } = bench({}, { signed: true })
    expect(ask(packet(1, 'discover', pxe(7)))?.packet.file).toBe(EFI_LOADER)
    expect(events).toContainEqual({
      kind: 'trouble',
      mac: mac(1),
      why: 'Secure Boot refuses snponly.efi: bootx64.efi is not among the loaders of boot.loaders',
    })
  })
  test('is not shim where the GRUB that it loads is missing, and with Secure Boot an event says so', () => {
    const loaders = [...LOADERS, SHIM_LOADER]
    const offered: string[][] = []
    const { ask, events, owner } = bench({}, { loaders, signed: true })
    owner.pickLoader = (_, { files }) => {
      offered.push([...files])
      return files[0]
    }
    expect(ask(packet(1, 'discover', pxe(7)))?.packet.file).toBe(EFI_LOADER)
    expect(offered).toEqual([[EFI_LOADER]])
    expect(events).toContainEqual({
      kind: 'trouble',
      mac: mac(1),
      why: 'Secure Boot refuses snponly.efi: grubx64.efi is not among the loaders of boot.loaders',
    })
  })
  test('for a Raspberry Pi, which says that it is an x86 BIOS, is none', () => {
    const pi = 'b8:27:eb:00:00:01'
    const { ask, events } = bench({}, { macs: [pi] })
    expect(ask(ofMac(pi, packet(1, 'discover', pxe(0))))?.packet.file).toBe('')
    expect(events).toContainEqual({ kind: 'trouble', mac: pi, why: 'there is no boot file for Raspberry Pi' })
  })
})

test('the identifier of a network-boot client comes back when it has its right length', () => {
  const uuid = Buffer.from([0, ...Array.from({ length: 16 }, (_, i) => i)])
  const reply = (value: Buffer) =>
    bench()
      .ask(packet(1, 'discover', [...pxe(7), [OPTION.clientUuid, value]]))
      ?.packet.options.get(OPTION.clientUuid)
  expect([reply(uuid), reply(uuid.subarray(1))]).toEqual([uuid, undefined])
})

test('what loaders do without is known by name', () => {
  expect(
    ['revocations_sbat.efi', 'shim_certificate_0.efi', 'boot/autoexec.ipxe', 'grub/x86_64-efi/fs.lst'].every(
      isOptionalName,
    ),
  ).toBe(true)
  expect(['snponly.efi', 'autoexec.ipxe.bak', 'grub.cfg'].some(isOptionalName)).toBe(false)
})

test('the configurations that GRUB looks for are known by name', () => {
  expect(
    ['grub/grub.cfg', 'grub/x86_64-efi/grub.cfg', 'grub/grub.cfg-01-52-54-00-88-00-01', 'grub/grub.cfg-0A5800'].every(
      isGrubConfig,
    ),
  ).toBe(true)
  expect(['grub.cfg', 'grub/grub.cfg.bak', 'x/grub/grub.cfg', 'grub/x86_64-efi/http.mod'].some(isGrubConfig)).toBe(
    false,
  )
})

test('a server whose Secure Boot nobody knew of boots shim after its first loader fell silent, and that is kept for its card model', () => {
  const { ask, clock, owner } = bench({}, { loaders: [...LOADERS, SHIM_LOADER, GRUB_LOADER] })
  const paths = new LoaderPaths({ load: () => [], save: () => undefined, remove: () => undefined })
  owner.pickLoader = (address, from) => paths.pick(address, { card: 'x710', nowMs: clock.ms, ...from })?.file
  const boots = (n: number) => ask(packet(n, 'discover', pxe(7)))?.packet.file
  expect(boots(1)).toBe(EFI_LOADER)
  paths.fetched(mac(1), EFI_LOADER, clock.ms)
  clock.ms += 60_000
  expect(boots(1)).toBe(SHIM_LOADER)
  paths.fetched(mac(1), SHIM_LOADER, clock.ms)
  paths.worked(mac(1))
  expect(boots(2)).toBe(SHIM_LOADER)
})
