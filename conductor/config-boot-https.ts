/** The part of the configuration for firmware that fetches its loader over HTTPS. */
import * as z from 'zod'
import { File, Ip, Port } from './config-values.ts'

/** As long as a boot file of DHCP leaves room for the path behind it (option 67, RFC 2132, 9.5). */
const MAX_ORIGIN = 200
const isOrigin = (text: string): boolean => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  return url?.protocol === 'https:' && url.pathname === '/' && !/[?#@]/.test(text)
}
const Origin = z.string().max(MAX_ORIGIN).refine(isOrigin, 'is not an address such as https://boot.example:8443')

/** A key of `boot`. */
export const BOOT_HTTPS = {
  https: z
    .strictObject({
      address: Ip.describe('IPv4 address to listen on.'),
      port: Port.default(443).describe('TCP port. Some firmware takes 443 alone.'),
      cert: File.describe(
        'Certificate chain (PEM) of an authority that the firmware of the servers trusts, for the address or the name ' +
          'in the URL.',
      ),
      key: File.describe('Private key (PEM).'),
      url: Origin.optional().describe(
        'What servers reach this listener by, such as https://boot.example. Absent: the address and the port.',
      ),
    })
    .optional()
    .describe(
      'A listener with TLS that DHCP names to servers that boot by HTTP (UEFI). Absent: they fetch the loader at ' +
        'boot.http. iPXE that came by it fetches script, kernel and ramdisk there as well; GRUB fetches them at boot.http.',
    ),
}
