/** `rackward store ...` */
import { Option, type Command } from 'commander'
import { onServer } from './server-options.ts'

const STORES = ['sqlite', 'postgres']

export function storeCommands(program: Command): void {
  const store = program.command('store').description('the store that a conductor keeps its records in')
  store
    .command('migrate')
    .addOption(new Option('--from <store>', 'where the records are').choices(STORES).makeOptionMandatory())
    .addOption(new Option('--to <store>', 'where they go; it must be empty').choices(STORES).makeOptionMandatory())
    .option('--config <file>', 'of the conductor, with store.postgres', '/etc/rackward/conductor.yaml')
    .description('move all records between SQLite and PostgreSQL, while the conductor is stopped')
    .action(async (options: { from: string; to: string; config: string }) =>
      (await import('../store.ts')).migrateStore(options),
    )
  onServer(
    store
      .command('doubt')
      .description(
        'show whether the database is older than what boot rooms and conductors know, and which nodes it is wrong about',
      ),
  ).action(async (options) => (await import('../store-doubt.ts')).showDoubt(options))
  onServer(
    store
      .command('accept')
      .description(
        'go on with a database that is older than what boot rooms or conductors know; they forget what they knew',
      ),
  ).action(async (options) => (await import('../store-doubt.ts')).acceptStore(options))
}
