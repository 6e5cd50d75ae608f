/** `rackward simulate` */
import { Option, type Command } from 'commander'
import type { SimulateOptions } from '../simulate.ts'

export function simulateCommand(program: Command): void {
  program
    .command('simulate')
    .description('servers that speak IPMI, Redfish, DHCP, TFTP, HTTP and the protocol of the agent, to try a conductor')
    .requiredOption('--nodes <number>', 'how many servers')
    .option('--conductor <url>', 'a conductor on this machine; without it one with a temporary store is started')
    .option('--config <file>', 'YAML that is laid over the configuration of the conductor that is started')
    .option('--deploy', 'deploy them all at once; otherwise they are made available')
    .option('--image <name>', 'what is deployed; wanted with --conductor')
    .addOption(
      new Option('--driver <name>', 'what the BMCs speak').choices(['ipmi', 'redfish', 'both']).default('ipmi'),
    )
    .option('--speed <factor>', 'times of servers are divided by it', '1')
    .option('--rate <MB/s>', 'what a server downloads and writes', '200')
    .option('--faults <list>', 'such as dead=1%,slow=2%,wrong-password=1,stuck=1,no-boot=1,silent=1,bad-disk=1', '')
    .option('--seed <number>', 'the same seed gives the same servers and faults', '1')
    .option('--prefix <name>', 'of the names of the nodes', 'sim')
    .option('--bmc-address <address>', 'of the first BMC; each has one of its own', '127.96.0.1')
    .option('--bmc-ports', 'one address for all BMCs, and a port each')
    .option('--ipmi-port <number>', 'UDP port of the BMCs; with --bmc-ports the first one', '623')
    .option('--redfish-port <number>', 'TCP port of the BMCs', '443')
    .option('--relay <address>', 'of the DHCP relay that the servers are behind, on this machine', '127.32.0.1')
    .option('--dhcp <address>', 'of the DHCP server; otherwise that of the conductor')
    .option('--timeout <seconds>', 'until all must have arrived', '7200')
    .option('--stay', 'go on when all have arrived, until interrupted')
    .option('--keep-nodes', 'with --conductor: leave the nodes enrolled, which are removed at the end otherwise')
    .option('-o, --output <format>', 'of the summary: table, json or yaml')
    .action(async (options: SimulateOptions) => (await import('../simulate.ts')).simulate(options))
}
