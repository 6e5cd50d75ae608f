/** The part of the configuration for access to BMCs: what nodes may choose, streams of events that the conductor reads,
 *  and pushes that it receives. */
import * as z from 'zod'
import { File, Ip, Port, Url } from './config-values.ts'

const BmcEvents = z.strictObject({
  streams: z
    .boolean()
    .default(true)
    .describe('Whether event streams (server-sent events) of BMCs that offer them are read.'),
  push: z
    .strictObject({
      address: Ip.describe('IPv4 address to listen on; BMCs must reach it.'),
      port: Port.describe('TCP port.'),
      url: Url.optional().describe('What BMCs reach this listener by, where that is another address.'),
      tls: z
        .strictObject({
          cert: File.describe('Certificate chain (PEM) that the BMCs trust.'),
          key: File.describe('Private key (PEM).'),
        })
        .optional()
        .describe('Absent: a self-signed certificate, which is made once and kept in the data directory.'),
    })
    .optional()
    .describe(
      'An HTTPS listener that BMCs without an event stream send their events to. Absent: nothing is subscribed to.',
    ),
})

/** The key `bmc`. */
export const BmcAccess = z.strictObject({
  ipmiClient: z
    .enum(['native', 'ipmitool'])
    .default('native')
    .describe(
      'What reads and sets power and boot device over IPMI: the client of the conductor itself, or ipmitool and ipmipower, for BMCs that understand those alone. Blades behind another controller, cipher suites other than 3 and 17, consoles and raw requests always take ipmitool.',
    ),
  allowCipherSuite0: z
    .boolean()
    .default(false)
    .describe('Whether nodes may choose cipher suite 0 of IPMI, which checks no password and encrypts nothing.'),
  readBootConsoles: z
    .boolean()
    .default(false)
    .describe(
      'Whether the conductor reads the serial console of a server (IPMI serial over LAN) while it boots the ramdisk, so that explain can quote what firmware, kernel and agent print there. Many BMCs allow one such session: it ends before a user gets the console through the same conductor; other conductors and other programs find it taken until the agent calls, or steal it.',
    ),
  events: BmcEvents.prefault({}).describe('Events of Redfish BMCs, each of which causes a read of power and health.'),
})
