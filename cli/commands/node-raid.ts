/** `rackward node raid` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

export const raidCommand = (node: Command): void =>
  void onServer(
    node
      .command('raid')
      .argument('<node>', 'name or UUID')
      .argument('[action]', 'create or delete; without one, the volumes are shown')
      .description('its RAID volumes: show, create, delete')
      .option('--config <value>', 'target_raid_config to create: JSON or YAML, or @FILE; otherwise the one that is set')
      .option('--replace', 'create: remove the volumes that are there first')
      .option('--wait [seconds]', 'until it is done (3600)'),
  ).action(async (ident: string, action: string | undefined, options) =>
    (await import('../raid.ts')).raid(ident, action, options),
  )
