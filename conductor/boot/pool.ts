/** Address pools of a subnet that this machine stands in: which one is usual, and what is wrong with a given one. */
import { isIPv4 } from 'node:net'
import { inSubnet, ipToNumber, numberToIp, parseSubnet } from '../../pxe/addresses.ts'

export interface Pool {
  readonly first: string
  readonly last: string
}

/** At most so many addresses are proposed. */
const USUAL_SIZE = 100

/** `192.0.2.1/24` -> `192.0.2.0/24`. */
export function networkOf(address: string, prefix: number): string {
  return `${numberToIp(parseSubnet(`${address}/${prefix}`).network)}/${prefix}`
}

const boundsOf = (cidr: string): { low: number; high: number } => {
  const { network, mask } = parseSubnet(cidr)
  // Neither the address of the network nor its broadcast address.
  return { low: network + 1, high: network + (~mask >>> 0) - 1 }
}

/** The larger side of this machine's own address, upper half of the subnet preferred, and no more than a hundred. */
export function usualPool(cidr: string, own: string): Pool {
  const { low, high } = boundsOf(cidr)
  const self = ipToNumber(own)
  const [from, to] = high - self >= self - low ? [self + 1, high] : [low, self - 1]
  const middle = from + Math.floor((to - from + 1) / 2)
  // The first hundred addresses of a /24 are often given by hand.
  const first = to - from + 1 > 2 * USUAL_SIZE ? Math.max(from, low + USUAL_SIZE - 1) : to - from > 8 ? middle : from
  return { first: numberToIp(first), last: numberToIp(Math.min(to, first + USUAL_SIZE - 1)) }
}

/** Why these addresses cannot be leased; undefined: they can. */
export function poolProblem({ first, last }: Pool, at: { cidr: string; own: string }): string | undefined {
  const strange = [first, last].find((address) => !isIPv4(address))
  if (strange !== undefined) return `${JSON.stringify(strange)} is not an IPv4 address`
  const subnet = parseSubnet(at.cidr)
  const outside = [first, last].find((address) => !inSubnet(address, subnet))
  if (outside !== undefined) return `${outside} is outside of ${at.cidr}`
  const { low, high } = boundsOf(at.cidr)
  const [from, to, own] = [ipToNumber(first), ipToNumber(last), ipToNumber(at.own)]
  if (from > to) return `${first} comes after ${last}`
  if (from < low || to > high) return `the first and the last address of ${at.cidr} are the network's own`
  if (own >= from && own <= to) return `${at.own} is this machine's own address`
  return undefined
}
