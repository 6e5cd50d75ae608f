/** What the DHCP server of a site is told, so that its servers boot from this conductor: from the configuration and the
 *  loaders that are there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LOADER_TABLE } from '../../pxe/firmware.ts'
import { snippet, type SiteServer } from '../../pxe/snippets.ts'
import type { BootConfig } from '../config.ts'

export { SITE_SERVERS, type SiteServer } from '../../pxe/snippets.ts'

export function siteSnippet(server: SiteServer, { tftp, http, loaders, subnets }: BootConfig): string {
  const there = LOADER_TABLE.map(({ file }) => file).filter((file) => existsSync(join(loaders, file)))
  return snippet(server, {
    tftp,
    http: `http://${http.address}:${http.port}`,
    loaders: new Set(there),
    networks: subnets.map(({ cidr }) => cidr.split('/')[0] ?? cidr),
  })
}
