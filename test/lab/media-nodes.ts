/** Nodes of the rack that boot by virtual media: what they are enrolled with, and the addresses that they have without
 *  DHCP. Pure. */
import type { Server } from './server.ts'

/** Below those that the rack's DHCP server leases. */
const FIRST_HOST = 50

/** Of the server with this number in the rack, from 0 on. */
export const fixedAddress = (index: number): string => `10.77.0.${FIRST_HOST + index}`

/** One card with one address, as Nova writes network_data.json: for the ramdisk, and for the system that is
 *  deployed. */
export const fixedNetwork = (mac: string, ip: string) => ({
  links: [{ id: 'boot', type: 'phy', ethernet_mac_address: mac }],
  networks: [
    {
      id: 'boot4',
      type: 'ipv4',
      link: 'boot',
      ip_address: ip,
      netmask: '255.255.255.0',
      routes: [],
      network_id: 'rack',
    },
  ],
  services: [],
})

export const mediaNode = ({ mac }: Pick<Server, 'mac'>, ip: string) => ({
  boot_interface: 'redfish-virtual-media',
  network_data: fixedNetwork(mac, ip),
})
