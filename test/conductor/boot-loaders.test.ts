/** A loader that falls silent, from the first packet to what the conductor hears: the next one is given, and what
 *  worked is told. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { readLoaders } from '../../conductor/boot/doors.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { BootLoaders, lenient } from '../../conductor/boot/loaders.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import type { BootEvent } from '../../conductor/boot/wire.ts'
import { silentLog } from '../../kit/log.ts'
import { OPTION } from '../../pxe/dhcp/options.ts'
import { EFI_DRIVER_LOADER, EFI_LOADER, GRUB_LOADER, LOADERS, SHIM_LOADER } from '../../pxe/firmware.ts'
import { LoaderPaths, type LoaderStore } from '../../pxe/loader-paths.ts'
import { bench, mac, packet, pxe, request } from '../pxe/dhcp-bench.ts'
import { client as plainClient } from './boot-clients.ts'

/** A DHCP server, the loaders and the observer, joined as in the boot services. */
function booting(more: Partial<BootClient> = {}) {
  const dhcp = bench({}, { loaders: [...LOADERS, EFI_DRIVER_LOADER] })
  const told: BootEvent[] = []
  const events = new BootEvents({
    perSecond: 1_000,
    clock: dhcp.clock,
    log: silentLog,
    emit: (event) => void told.push(event),
  })
  const client = (address: string): BootClient => ({ ...plainClient(address), ...more })
  const warned: string[] = []
  const store: LoaderStore = { load: () => [], save: () => undefined, remove: () => undefined }
  const paths = new LoaderPaths(lenient(store, (what) => void warned.push(what)))
  const loaders = new BootLoaders({ paths, clock: dhcp.clock, events, client })
  dhcp.owner.pickLoader = loaders.pick
  const observer = new Observer({ events, counters: new BootCounters(), leases: dhcp.leases, client, loaders })
  /** Firmware gets an address and fetches its loader, by TFTP or by HTTP. */
  const boot = (n: number, by: 'tftp' | 'http' = 'tftp') => {
    const ip = dhcp.ask(packet(n, 'discover', pxe(7)))?.packet.yiaddr ?? ''
    const file =
      dhcp.ask({ ...request(n, ip), options: new Map([...request(n, ip).options, ...pxe(7)]) })?.packet.file ?? ''
    if (by === 'tftp') observer.onTftp({ kind: 'sent', file, ip } as never)
    else observer.onFetched(`/loader/${file}`, ip)
    dhcp.clock.ms += 60_000
    return file
  }
  const choices = () => told.flatMap((event) => (event.kind === 'loader' ? [event] : []))
  /** The loader that was fetched takes an address. */
  const startsIpxe = (n: number) => {
    const isIpxe: [number, Buffer] = [OPTION.userClass, Buffer.from('iPXE')]
    const ip = dhcp.leases.leasesOf(mac(n))[0]?.ip ?? ''
    dhcp.ask({ ...request(n, ip), options: new Map([...request(n, ip).options, ...pxe(7), isIpxe]) })
    for (const event of dhcp.events.splice(0)) observer.onDhcp(event)
  }
  return {
    boot,
    choices,
    told,
    startsIpxe,
    store,
    warned,
    loaders,
    works: (n: number) => observer.onScript(client(mac(n)), 'ipxe'),
  }
}

test.each(['tftp', 'http'] as const)(
  'a boot that falls silent after its loader came by %s tries the next one',
  (by) => {
    const { boot, choices, works, told } = booting({ card: '0x8086:0x1593' })
    expect([boot(1, by), boot(1, by)]).toEqual([EFI_LOADER, EFI_DRIVER_LOADER])
    works(1)
    const about = { nodeUuid: `node of ${mac(1)}`, mac: mac(1), card: '0x8086:0x1593 arch 7', file: EFI_DRIVER_LOADER }
    expect(choices()).toMatchObject([
      { ...about, worked: false, silent: [EFI_LOADER] },
      { ...about, worked: true, silent: [EFI_LOADER] },
    ])
    expect(told.filter((event) => event.kind === 'seen' && event.step === 'loader')).toHaveLength(2)
    // Another server with that card begins with what worked.
    expect(boot(2, by)).toBe(EFI_DRIVER_LOADER)
  },
)

test('a script without a loader, as of a ROM that is iPXE, proves nothing about loaders', () => {
  const { boot, choices, works } = booting()
  works(1)
  expect([boot(1), choices()]).toEqual([EFI_LOADER, []])
})

test('a loader that took an address and got no script, as while HTTP does not answer, was not silent', () => {
  const { boot, choices, startsIpxe } = booting()
  const files = [1, 2, 3].map(() => {
    const file = boot(1)
    startsIpxe(1)
    return file
  })
  expect([files, choices()]).toEqual([[EFI_LOADER, EFI_LOADER, EFI_LOADER], []])
})

test('a disk that is full keeps nobody from its script: what worked is known until the next start, and a warning says why', () => {
  const { boot, choices, store, warned, works } = booting()
  store.save = () => {
    throw new Error('database or disk is full')
  }
  boot(1)
  works(1)
  expect(choices()).toMatchObject([{ file: EFI_LOADER, worked: true }])
  expect(warned).toEqual(['cannot save which loaders work: database or disk is full'])
})

test('a client that began a boot is found when all clients are gone through, also where it has no address from us', () => {
  const { loaders } = booting()
  loaders.pick(mac(1), { files: [EFI_LOADER], arch: 7, asksAnew: true })
  expect([...loaders.macs()]).toEqual([mac(1)])
  loaders.forget(mac(1))
  expect([...loaders.macs()]).toEqual([])
})

test('of a directory of loaders those are served that are there and hold something', async () => {
  const dir = await mkdtemp(join(tmpdir(), 'rackward-loaders-'))
  try {
    for (const name of [...LOADERS, GRUB_LOADER]) await writeFile(join(dir, name), name)
    await writeFile(join(dir, SHIM_LOADER), '')
    expect([...(await readLoaders(dir)).keys()].toSorted()).toEqual([...LOADERS, GRUB_LOADER].toSorted())
  } finally {
    await rm(dir, { recursive: true })
  }
})
