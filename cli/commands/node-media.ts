/** `rackward node media ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

export function mediaCommands(node: Command): void {
  const media = node.command('media').description('virtual drives of the BMC')
  const parts = () => import('../media.ts')

  onServer(media.command('list').argument('<node>', 'name or UUID').description('what is in them')).action(
    async (ident: string, options) => (await parts()).listMedia(ident, options),
  )
  onServer(
    media
      .command('attach')
      .argument('<node>', 'name or UUID')
      .argument('<url>', 'of an image that the BMC can reach, below a prefix of provision.mediaUrls')
      .option('--device <type>', 'cdrom, disk or floppy (cdrom)')
      .description('have the BMC insert an image'),
  ).action(async (ident: string, url: string, options) => (await parts()).attachMedia(ident, url, options))
  onServer(
    media
      .command('detach')
      .argument('<node>', 'name or UUID')
      .option('--device <type>', 'cdrom, disk or floppy (all)')
      .description('eject what is inserted'),
  ).action(async (ident: string, options) => (await parts()).detachMedia(ident, options))
}
