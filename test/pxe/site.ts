/** A DHCP server of ours on the wire of a site, which knows one card. */
import type { DhcpEvent } from '../../pxe/dhcp/events.ts'
import { LeaseBook } from '../../pxe/dhcp/leases.ts'
import type { DhcpSubnet } from '../../pxe/dhcp/place.ts'
import { DhcpServer } from '../../pxe/dhcp/server.ts'
import { LOADERS } from '../../pxe/firmware.ts'
import { systemClock } from '../../kit/clock.ts'
import { mac, Memory, script } from './dhcp-bench.ts'
import { Wire } from './wire.ts'

export interface Site {
  readonly wire: Wire
  readonly events: DhcpEvent[]
  readonly leases: LeaseBook
  close(): Promise<void>
}

export async function listening(at: {
  isRouted: boolean
  subnets: (wire: Wire) => readonly DhcpSubnet[]
}): Promise<Site> {
  const wire = new Wire()
  await wire.open({ isRouted: at.isRouted })
  const events: DhcpEvent[] = []
  const leases = new LeaseBook(new Memory(), { declinesPerMac: 3 })
  const server = new DhcpServer({
    subnets: at.subnets(wire),
    ownIps: [],
    loaders: new Set(LOADERS),
    owner: {
      client: (address) =>
        address === mac(1) ? { scriptUrl: script(address), loaderUrl: 'http://10.0.0.1/loader/' } : undefined,
      isFixed: () => false,
      pickLoader: (_, { files }) => files[0],
      event: (event) => void events.push(event),
    },
    leases,
    clock: systemClock,
  })
  await server.listen({ interface: wire.own, localIp: wire.at(0, 1) })
  return {
    wire,
    events,
    leases,
    close: async () => {
      server.stop()
      await wire.close()
    },
  }
}
