/** Configuration of a subnet that servers boot from: who gives its addresses, and which. */
import { isIPv4 } from 'node:net'
import * as z from 'zod'
import { Ip } from './config-values.ts'

const Relay = z
  .string()
  .refine((text) => isIPv4(text.split('/')[0] ?? '') && /^[^/]+(\/([0-9]|[12][0-9]|30))?$/.test(text), {
    message: 'is neither an IPv4 address nor a subnet such as 10.0.0.0/24',
  })

/** What is said of a subnet, whoever serves it. */
export const SUBNET = {
  cidr: z
    .string()
    .regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'is not a subnet such as 10.0.0.0/24')
    .describe('The subnet, such as 10.0.0.0/24.'),
  router: Ip.optional().describe('Default gateway that nodes are given.'),
  dns: z.array(Ip).default([]).describe('Name servers that nodes are given.'),
  mtu: z.number().int().min(576).max(9216).optional().describe('Interface MTU that nodes are given.'),
  leaseSeconds: z
    .number()
    .int()
    .min(60)
    .max(86_400 * 30)
    .default(3600)
    .describe('Duration of a DHCP lease.'),
  firstChoice: z
    .boolean()
    .default(false)
    .describe(
      'Answers to firmware carry what makes it prefer them when another PXE server answers on the same network (options 60 and 43).',
    ),
  relays: z
    .array(Relay)
    .min(1)
    .optional()
    .describe(
      'Relays that may ask for this subnet: values of giaddr, as addresses or subnets. Packets of others are refused and reported. Absent: any relay.',
    ),
}

export const Subnet = z
  .strictObject({
    cidr: SUBNET.cidr,
    mode: z
      .enum(['own', 'proxy', 'listen'])
      .default('own')
      .describe(
        '`own`: DHCP of Rackward gives the addresses. `proxy`: another DHCP server gives them, and Rackward tells known cards alone what to boot (proxyDHCP, ports 67 and 4011). `listen`: the other server does both (`rackward boot snippets`), and Rackward watches.',
      ),
    first: Ip.optional().describe('First address that is leased. Wanted where `mode` is `own`.'),
    last: Ip.optional().describe('Last address that is leased. Wanted where `mode` is `own`.'),
    serverIp: Ip.describe('Address of this machine that nodes of the subnet boot from.'),
    router: SUBNET.router,
    dns: SUBNET.dns,
    mtu: SUBNET.mtu,
    leaseSeconds: SUBNET.leaseSeconds,
    firstChoice: SUBNET.firstChoice,
    sharedNetwork: z
      .string()
      .min(1)
      .max(64)
      .optional()
      .describe(
        'Subnets with the same name here are on one link: a client gets its address in any of them (shared networks of Kea and ISC dhcpd).',
      ),
    relays: SUBNET.relays,
  })
  .refine(
    ({ mode, first, last }) => mode !== 'own' || (first !== undefined && last !== undefined),
    'mode is own, and first and last name no addresses to lease',
  )

/** One server gives the addresses of a link. */
export const Subnets = z.array(Subnet).refine(
  (subnets) => {
    const modes = new Map<string, string>()
    return subnets.every(({ sharedNetwork, mode }) => {
      if (sharedNetwork === undefined) return true
      const other = modes.get(sharedNetwork) ?? mode
      modes.set(sharedNetwork, other)
      return other === mode
    })
  },
  { message: 'subnets of one sharedNetwork have one mode' },
)
