/** `rackward boot snippets`: configuration for the DHCP server of a site. */
import { siteSnippet, type SiteServer } from '../conductor/boot/site-snippet.ts'
import { loadConfig } from '../conductor/config.ts'
import { Fault } from '../kit/fault.ts'
import { print } from './show.ts'

export async function bootSnippets(options: { readonly config: string; readonly for: SiteServer }): Promise<void> {
  const { boot } = await loadConfig(options.config)
  if (!boot) throw new Fault('config.invalid', `${options.config}: there is no boot section`)
  print(siteSnippet(options.for, boot).trimEnd())
}
