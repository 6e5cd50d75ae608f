/** Which addresses a port may fix with extra/ipv4_address: inside a boot network, and nobody's that the network itself
 *  needs. */
import { Fault } from '../../../kit/fault.ts'
import { inSubnet, ipToNumber, numberToIp, parseSubnet, type Subnet } from '../../../pxe/addresses.ts'
import type { Config } from '../../config.ts'

export interface AddressPlan {
  readonly subnets: readonly Subnet[]
  /** Addresses that no port may have, with what has them. */
  readonly reserved: ReadonlyMap<string, string>
}

export function addressPlan({ boot, agent, api }: Pick<Config, 'boot' | 'agent' | 'api'>): AddressPlan {
  const subnets = (boot?.subnets ?? []).map(({ cidr }) => parseSubnet(cidr))
  const reserved = new Map<string, string>()
  for (const { address } of api.listen) reserved.set(address, 'of the conductor')
  if (agent) reserved.set(agent.address, 'of the conductor')
  if (boot)
    for (const address of [boot.http.address, boot.tftp, ...boot.interfaces.map((one) => one.address)])
      reserved.set(address, 'of the boot services')
  for (const { dns, router, serverIp } of boot?.subnets ?? []) {
    for (const address of dns) reserved.set(address, 'of a DNS server')
    if (router !== undefined) reserved.set(router, 'of the router')
    reserved.set(serverIp, 'of the boot services')
  }
  for (const { network, mask } of subnets) {
    reserved.set(numberToIp(network), 'of the network itself')
    reserved.set(numberToIp((network | ~mask) >>> 0), 'the broadcast address')
  }
  return { subnets, reserved }
}

/** Throws `input.invalid` for an address that DHCP must not give. Without boot networks nothing is given, and
 *  `anywhere` tells whether that is accepted. */
export function checkFixedAddress(ip: string, plan: AddressPlan, anywhere: boolean): void {
  const refuse = (why: string) => new Fault('input.invalid', `extra/ipv4_address: ${ip} ${why}`)
  const what = plan.reserved.get(numberToIp(ipToNumber(ip)))
  if (what !== undefined) throw refuse(`is ${what.startsWith('of') ? `the address ${what}` : what}`)
  if (plan.subnets.length === 0 && anywhere) return
  if (!plan.subnets.some((subnet) => inSubnet(ip, subnet))) throw refuse('is in none of the networks of boot.subnets')
}
