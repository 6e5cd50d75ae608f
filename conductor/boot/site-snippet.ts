/** What the DHCP server of a site is told, so that its servers boot from this conductor: from the configuration and the
 *  loaders that are there. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { LOADER_TABLE } from '../../pxe/firmware.ts'
import { snippet, type SiteServer, type SnippetParts } from '../../pxe/snippets.ts'
import type { BootConfig } from '../config.ts'

export { SITE_SERVERS, type SiteServer } from '../../pxe/snippets.ts'

export const siteSnippet = (server: SiteServer, boot: BootConfig): string => snippet(server, snippetParts(boot))

export function snippetParts({ tftp, http, loaders, subnets }: BootConfig): SnippetParts {
  const there = LOADER_TABLE.map(({ file }) => file).filter((file) => existsSync(join(loaders, file)))
  return {
    tftp,
    http: `http://${http.address}:${http.port}`,
    loaders: new Set(there),
    networks: subnets.map(({ cidr }) => cidr.split('/')[0] ?? cidr),
  }
}
