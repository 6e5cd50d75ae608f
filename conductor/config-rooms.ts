/** Configuration of boot rooms: where they reach this conductor, and the segments that they serve. */
import * as z from 'zod'
import { inSubnet, ipToNumber, parseSubnet } from '../pxe/addresses.ts'
import { SUBNET } from './config-subnets.ts'
import { Ip, Port } from './config-values.ts'

/** What is wrong with it; undefined: nothing. */
function faultOf({ cidr, first, last }: { cidr: string; first: string; last: string }): string | undefined {
  let subnet: ReturnType<typeof parseSubnet>
  try {
    subnet = parseSubnet(cidr)
  } catch {
    return `cidr: ${cidr} is not a subnet such as 10.0.0.0/24`
  }
  const odd = [first, last].find((ip) => !inSubnet(ip, subnet))
  if (odd !== undefined) return `first and last: ${odd} is not in ${cidr}`
  if (ipToNumber(first) > ipToNumber(last)) return `first and last: ${first} comes after ${last}`
  return undefined
}

const Segment = z
  .strictObject({
    name: z
      .string()
      .regex(/^[A-Za-z0-9_.-]{1,64}$/, 'is not a name of letters, digits, dot, dash and underscore')
      .describe('Name of the segment: physical_network of the ports in it.'),
    ...SUBNET,
    first: Ip.describe('First address that is allotted.'),
    last: Ip.describe('Last address that is allotted.'),
  })
  .superRefine((segment, context) => {
    const message = faultOf(segment)
    if (message !== undefined) context.addIssue({ code: 'custom', message })
  })
  .describe('A network segment, and its subnet.')

export const Rooms = z.strictObject({
  listen: z
    .strictObject({
      address: Ip.describe('IPv4 address to listen on.'),
      port: Port.describe('TCP port; 0: any free port.'),
    })
    .describe('The TLS port that boot rooms dial.'),
  segments: z
    .array(Segment)
    .max(10_000)
    .refine((all) => new Set(all.map(({ name }) => name)).size === all.length, 'two segments have one name')
    .describe('Segments that boot rooms serve. Each port with physical_network of that name has an address of it.'),
})

export type RoomSegment = z.infer<typeof Segment>
