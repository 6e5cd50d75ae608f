/** Configuration of a subnet that servers boot from: who gives its addresses, and which. */
import * as z from 'zod'
import { Ip } from './config-values.ts'

export const Subnet = z
  .strictObject({
    cidr: z
      .string()
      .regex(/^\d+\.\d+\.\d+\.\d+\/\d+$/, 'is not a subnet such as 10.0.0.0/24')
      .describe('The subnet, such as 10.0.0.0/24.'),
    mode: z
      .enum(['own', 'proxy', 'listen'])
      .default('own')
      .describe(
        '`own`: DHCP of Rackward gives the addresses. `proxy`: another DHCP server gives them, and Rackward tells known cards alone what to boot (proxyDHCP, ports 67 and 4011). `listen`: the other server does both (`rackward boot snippets`), and Rackward watches.',
      ),
    first: Ip.optional().describe('First address that is leased. Wanted where `mode` is `own`.'),
    last: Ip.optional().describe('Last address that is leased. Wanted where `mode` is `own`.'),
    serverIp: Ip.describe('Address of this machine that nodes of the subnet boot from.'),
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
  })
  .refine(
    ({ mode, first, last }) => mode !== 'own' || (first !== undefined && last !== undefined),
    'mode is own, and first and last name no addresses to lease',
  )
