/** `rackward init` */
import type { Command } from 'commander'
import type { InitOptions } from '../init.ts'

export function initCommand(program: Command): void {
  program
    .command('init')
    .description('ask five questions, and write the configuration of a conductor')
    .option('--yes', 'take what is usual on this machine for all that is not given')
    .option('--network <interface>', 'the interface, or its address, that leads to the servers')
    .option('--dhcp <mode>', 'who gives addresses: own (Rackward), proxy (the site), none (virtual media)')
    .option('--pool <first-last>', 'with --dhcp own: addresses that may be leased')
    .option('--bmc <driver,user,file>', 'how BMCs are reached: ipmi or redfish, user, file with the password; or none')
    .option('--user <name>', 'the first administrator')
    .option('--out <dir>', 'where the configuration goes', '/etc/rackward')
    .option('--data <dir>', 'where the conductor keeps its data', '/var/lib/rackward')
    .action(async (options: InitOptions) => (await import('../init.ts')).init(options))
}
