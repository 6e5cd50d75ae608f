/** How a DHCP server here knows what `rackward doctor` and `rackward init` send when they look for other servers: it is
 *  no machine that was forgotten.
 *
 *  Two things must hold: the hardware address begins with PROBE_PREFIX, and the datagram comes from an address of this
 *  very machine, directly and not by a relay. The kernel drops a datagram from a wire that claims a local address
 *  (accept_local = 0), and firmware asks from 0.0.0.0; so a machine elsewhere that takes the prefix for its own is told
 *  as any other unknown card. Even where it could pass: it would be answered nothing, as all who are unknown. */
import { messageType } from './options.ts'
import { NO_ADDRESS, type Packet } from './packet.ts'

/** Locally administered (RFC 7042, section 2.1): no card comes with it. */
export const PROBE_PREFIX = Buffer.from([0x02, 0x52, 0x57])

export const probeAddress = (random: { bytes(count: number): Buffer }): Buffer =>
  Buffer.concat([PROBE_PREFIX, random.bytes(6 - PROBE_PREFIX.length)])

export const isOwnProbe = (request: Packet, fromIp: string, ownIps: readonly string[]): boolean =>
  request.chaddr.subarray(0, PROBE_PREFIX.length).equals(PROBE_PREFIX) &&
  request.giaddr === NO_ADDRESS &&
  messageType(request.options) === 'discover' &&
  ownIps.includes(fromIp)
