/** Configuration of boot rooms: where they reach this conductor, and the segments that they serve. */
import * as z from 'zod'
import { SUBNET } from './config-subnets.ts'
import { Ip, Port } from './config-values.ts'

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
