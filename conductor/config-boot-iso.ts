/** The part of the configuration that boots by virtual media need: the boot ISO, and where BMCs fetch it. */
import * as z from 'zod'
import { File, Ip, Port, Seconds, Url } from './config-values.ts'

/** Keys of `boot`. */
export const BOOT_ISO = {
  iso: File.optional().describe(
    'Both as an ISO image, for boots by virtual media. Absent: no node boots by virtual media.',
  ),
  media: z
    .strictObject({
      address: Ip.describe('IPv4 address to listen on.'),
      port: Port.describe('TCP port.'),
      tls: z
        .strictObject({
          cert: File.describe('Certificate chain (PEM) that the BMCs trust.'),
          key: File.describe('Private key (PEM).'),
        })
        .optional()
        .describe('HTTPS instead of HTTP. Many BMCs take HTTP alone.'),
      url: Url.optional().describe('What BMCs reach this listener by, where that is another address.'),
    })
    .optional()
    .describe('A listener of its own where BMCs fetch the boot ISO. Absent: they fetch it at boot.http.'),
  mediaSeconds: Seconds.default(60).describe('How long after power-on a BMC may take until it asks for the boot ISO.'),
}
