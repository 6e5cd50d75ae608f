/** A loader that falls silent, from the first packet to what the conductor hears: the next one is given, and what worked is told. */
import { expect, test } from 'vitest'
import { BootCounters } from '../../conductor/boot/counters.ts'
import { BootEvents } from '../../conductor/boot/events.ts'
import { BootLoaders } from '../../conductor/boot/loaders.ts'
import { Observer } from '../../conductor/boot/observe.ts'
import type { BootClient } from '../../conductor/boot/orders.ts'
import type { BootEvent } from '../../conductor/boot/wire.ts'
import { silentLog } from '../../kit/log.ts'
import { EFI_DRIVER_LOADER, EFI_LOADER, LOADERS } from '../../pxe/firmware.ts'
import { LoaderPaths } from '../../pxe/loader-paths.ts'
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
  const paths = new LoaderPaths({ load: () => [], save: () => undefined, remove: () => undefined })
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
  return { boot, choices, told, works: (n: number) => observer.onScript(client(mac(n)), 'ipxe') }
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
