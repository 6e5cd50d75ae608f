/** Which hosts an image may be fetched from when a tenant names them: none that is this machine, or that only this
 *  machine reaches. Networks of racks (10.0.0.0/8 and the like) are what images live in, and stay allowed. */
import { lookup as systemLookup, type LookupAddress, type LookupOptions } from 'node:dns'
import { BlockList, isIP } from 'node:net'
import { networkInterfaces } from 'node:os'
import { Fault } from '../kit/fault.ts'

const CLOSED = new BlockList()
for (const [network, bits] of [
  ['0.0.0.0', 8],
  ['127.0.0.0', 8],
  // Metadata services of clouds: link-local, and Alibaba's.
  ['169.254.0.0', 16],
  ['100.100.100.200', 32],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
] as const)
  CLOSED.addSubnet(network, bits, 'ipv4')
// Unspecified, loopback and the IPv4-compatible form; NAT64, 6to4 and Teredo, which carry an IPv4 address that is not
// looked at; the metadata service of AWS; link-local; multicast.
for (const [network, bits] of [
  ['::', 96],
  ['64:ff9b::', 96],
  ['64:ff9b:1::', 48],
  ['2001::', 32],
  ['2002::', 16],
  ['fd00:ec2::254', 128],
  ['fe80::', 10],
  ['ff00::', 8],
] as const)
  CLOSED.addSubnet(network, bits, 'ipv6')

const bare = (address: string): string => address.split('%', 1)[0] as string

/** True for loopback, link-local, unspecified, multicast and reserved addresses, and those that `own` names. IPv4
 *  inside IPv6 counts as IPv4. */
export function isClosed(address: string, own: readonly string[]): boolean {
  const ip = bare(address)
  const family = isIP(ip)
  if (family === 0) return true
  const kind = family === 4 ? 'ipv4' : 'ipv6'
  const ours = new BlockList()
  for (const one of own) ours.addAddress(bare(one), isIP(bare(one)) === 4 ? 'ipv4' : 'ipv6')
  return CLOSED.check(ip, kind) || ours.check(ip, kind)
}

export type Lookup = typeof systemLookup

export interface AddressGuard {
  /** Hosts that are allowed whatever their address is, as they stand in URLs. */
  readonly allowedHosts: readonly string[]
  readonly ownAddresses?: () => readonly string[]
  readonly lookup?: Lookup
  /** Words of a refusal, where it is not about an image. */
  readonly refused?: () => Fault
}

const ownAddresses = () =>
  Object.values(networkInterfaces()).flatMap((cards) => (cards ?? []).map(({ address }) => address))

/** Checks an address that stands in a URL, and answers the look-up for a host name: the connection goes to an address
 *  that was checked, whatever the name means a moment later. Throws `input.invalid`. */
export function guarded(
  url: URL,
  guard: AddressGuard,
): { lookup?: (host: string, options: LookupOptions, done: (...found: any[]) => void) => void } {
  const host = url.hostname.replace(/^\[|\]$/g, '')
  if (guard.allowedHosts.some((allowed) => allowed.toLowerCase().replace(/^\[|\]$/g, '') === host)) return {}
  const own = (guard.ownAddresses ?? ownAddresses)()
  const refusal = () =>
    guard.refused?.() ??
    new Fault(
      'input.invalid',
      `instance_info/image_source: ${url.host} is on this machine or on a link-local address; images.allowedHosts can allow it`,
    )
  if (isIP(host) !== 0) {
    if (isClosed(host, own)) throw refusal()
    return {}
  }
  return {
    lookup: (name, options, done) =>
      (guard.lookup ?? systemLookup)(name, { ...options, all: true }, (error, found: LookupAddress[]) => {
        if (error) return done(error)
        if (found.length === 0 || found.some(({ address }) => isClosed(address, own))) return done(refusal())
        return options.all ? done(null, found) : done(null, found[0]?.address, found[0]?.family)
      }),
  }
}
