/** Options of every command that asks the API. */
import type { Command } from 'commander'

export const onServer = (command: Command) =>
  command
    .option('--server <url>', 'the API; otherwise RACKWARD_SERVER, OS_ENDPOINT, or clouds.yaml')
    .option('--cloud <name>', 'a cloud of clouds.yaml; otherwise OS_CLOUD')
    .option('-o, --output <format>', 'table, json or yaml')
