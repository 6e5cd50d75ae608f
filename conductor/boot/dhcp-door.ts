/** The DHCP server of the boot services: what it answers comes from the clients that they keep. */
import type { Clock } from '../../kit/clock.ts'
import type { LeaseBook } from '../../pxe/dhcp/leases.ts'
import type { KnownClient } from '../../pxe/dhcp/owner.ts'
import { DhcpServer } from '../../pxe/dhcp/server.ts'
import type { BootClients } from './clients.ts'
import type { BootLoaders } from './loaders.ts'
import type { Observer } from './observe.ts'
import type { BootClient } from './orders.ts'
import { loaderUrl, scriptUrl } from './ramdisk-order.ts'
import type { ServiceConfig } from './render.ts'

export interface DhcpDoors {
  readonly config: {
    readonly boot: Pick<ServiceConfig['boot'], 'subnets' | 'http' | 'https' | 'tftp' | 'interfaces'>
    readonly agent: Pick<ServiceConfig['agent'], 'address'>
  }
  readonly clients: BootClients
  readonly leases: LeaseBook
  /** By name; what is in them is not asked here. */
  readonly loaders: { keys(): Iterable<string> }
  readonly paths: Pick<BootLoaders, 'pick'>
  readonly observer: Pick<Observer, 'onDhcp'>
  readonly clock: Clock
}

/** Nothing is open yet. */
export function dhcpServer(doors: DhcpDoors): DhcpServer {
  const { boot, agent } = doors.config
  const { clients, leases, clock, observer } = doors
  const known = (mac: string): KnownClient | undefined => {
    const client = clients.get(mac)
    return client && new AskedOf(doors, client)
  }
  return new DhcpServer({
    subnets: boot.subnets,
    ownIps: [boot.http.address, boot.tftp, agent.address, ...boot.interfaces.map(({ address }) => address)],
    loaders: new Set(doors.loaders.keys()),
    owner: {
      client: known,
      isFixed: clients.isFixed,
      pickLoader: doors.paths.pick,
      event: (event) => observer.onDhcp(event),
    },
    leases,
    clock,
  })
}

/** What DHCP asks of a client, worked out when it is asked for: that is for every packet. */
class AskedOf implements KnownClient {
  private readonly doors: DhcpDoors
  private readonly client: BootClient

  constructor(doors: DhcpDoors, client: BootClient) {
    this.doors = doors
    this.client = client
  }

  get scriptUrl(): string {
    return scriptUrl(this.doors.config.boot, this.client.mac)
  }

  get loaderUrl(): string {
    return loaderUrl(this.doors.config.boot)
  }

  get signed(): boolean {
    return this.client.signed ?? false
  }

  get uki(): boolean {
    const { uki, order } = this.client
    return uki === true && order.kind === 'ramdisk' && !order.rescue
  }

  get fixedIp(): string | undefined {
    return this.client.fixedIp ?? undefined
  }

  get refusal(): string | undefined {
    return this.client.refusal
  }

  get hostName(): string | undefined {
    return this.client.hostName ?? undefined
  }
}
