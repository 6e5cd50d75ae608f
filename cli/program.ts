/** Every command of rackward with its options and descriptions: what the command line parses, what a shell completes,
 *  and what the man pages are made of. The file of a command is loaded when it is asked for. */
import { Command, Option } from 'commander'
import { SITE_SERVERS } from '../conductor/boot/site-snippet.ts'
import type { RoomOptions } from './boot-room.ts'
import { CliError } from './error.ts'
import { imageCommands } from './commands/image.ts'
import { initCommand } from './commands/init.ts'
import { meshCommands } from './commands/mesh.ts'
import { nodeCommands } from './commands/node.ts'
import { rackCommands } from './commands/rack.ts'
import { roomCommands } from './commands/room.ts'
import { onServer } from './commands/server-options.ts'
import { simulateCommand } from './commands/simulate.ts'
import { storeCommands } from './commands/store.ts'

export function makeProgram(): Command {
  const program = new Command('rackward')
    .description('Bare-metal provisioning and node-level high availability')
    .exitOverride()
  initCommand(program)
  daemonCommands(program)
  nodeCommands(program)
  rackCommands(program)
  roomCommands(program)
  imageCommands(program)
  meshCommands(program)
  toolCommands(program)
  shellCommands(program)
  return program
}

function daemonCommands(program: Command): void {
  program
    .command('conductor')
    .description('run the conductor: API, power, network boot, imaging')
    .option('--config <file>', 'configuration file (YAML)')
    .option('--dev', 'fake hardware on 127.0.0.1, without authentication and without DHCP, to try the API')
    .option('--port <number>', 'with --dev: port of the API', '6385')
    .option('--data <dir>', 'with --dev: where the database goes')
    .option('--check-config', 'say whether the file is acceptable, and end')
    .action(async (options: { config?: string; dev?: boolean; port: string; data?: string; checkConfig?: boolean }) =>
      (await import('./conductor.ts')).runConductor(options),
    )

  const boot = program
    .command('boot')
    .description('the boot services, which the conductor starts; or, with --room, those of one rack')
    .option('--config <file>', 'of the conductor')
    .option('--room <name>', 'run as this boot room, for conductors elsewhere')
    .option('--conductor <url...>', 'with --room: where conductors listen for boot rooms (rooms.listen)')
    .option('--bundle <file>', 'with --room: what rackward room add wrote (default: room.json in --data)')
    .option('--data <dir>', 'with --room: what it keeps', '/var/lib/rackward-room')
    .option('--interface <name=address...>', 'with --room: networks of its nodes; they reach it at the first address')
    .option('--http-port <port>', 'with --room: where its nodes load files', '8080')
    .option('--loaders <dir>', 'with --room: of the boot loaders', '/usr/lib/ipxe')
    .option('--cache-gib <number>', 'with --room: how much it keeps of what it serves', '20')
    .option('--status <address:port>', 'with --room: where it answers /readyz and /metrics')
    .action(async (options: Partial<RoomOptions> & { config?: string }) => {
      if (options.room !== undefined) return (await import('./boot-room.ts')).runRoom(options as RoomOptions)
      if (options.config === undefined) throw new CliError('usage', '--config: name the file of the conductor')
      return (await import('./boot.ts')).runBoot(options.config)
    })
  boot
    .command('snippets')
    .description('what another DHCP server is told, so that its servers boot from this conductor')
    .addOption(new Option('--for <server>', 'the DHCP server').choices(SITE_SERVERS).makeOptionMandatory())
    .action(async (_, command: Command) => (await import('./boot-snippets.ts')).bootSnippets(command.optsWithGlobals()))

  program
    .command('boot-files', { hidden: true })
    .description('the process that sends files to nodes that boot; the boot services start it')
    .action(async () => (await import('./boot-files.ts')).runBootFiles())

  program
    .command('agent')
    .description('run the agent of a host or an arbiter of the mesh')
    .requiredOption('--config <file>', 'configuration file (YAML)')
    .option('--check-config', 'say whether the file is acceptable, and end')
    .action(async (options: { config: string; checkConfig?: boolean }) =>
      (await import('./agent.ts')).runAgent(options),
    )
}

function toolCommands(program: Command): void {
  storeCommands(program)

  onServer(
    program
      .command('doctor')
      .description('find what will hurt, and how to mend it')
      .option('--config <file>', 'of the conductor', '/etc/rackward/conductor.yaml')
      .option('--agent-config <file>', 'of the agent', '/etc/rackward/agent.yaml'),
  ).action(async (options) => (await import('./doctor.ts')).doctor(options))
  program
    .command('fence-agent')
    .argument('[options...]')
    .allowUnknownOption()
    .helpOption(false)
    .description('fence_rackward: a fence agent for Pacemaker and others; options as name=value on standard input')
    .action(async (words: string[]) => (await import('./fence-agent/main.ts')).runFenceAgent(words))
  program
    .command('backup')
    .requiredOption('--out <dir>', 'a directory that is not there yet')
    .option('--config <file>', 'of the conductor', '/etc/rackward/conductor.yaml')
    .description('copy what a conductor knows, while it runs')
    .action(async (options: { config: string; out: string }) => (await import('./backup.ts')).backup(options))
  program
    .command('user')
    .description('users of the API')
    .command('set')
    .argument('<name>')
    .requiredOption('--file <file>', 'htpasswd file')
    .option('--random', 'make a password up, and print it')
    .description('add a user, or change a password; it is read from the standard input')
    .action(async (name: string, options: { file: string; random?: boolean }) =>
      (await import('./user.ts')).setUser(name, options),
    )
}

function shellCommands(program: Command): void {
  simulateCommand(program)
  program
    .command('lab')
    .argument('[words...]')
    .allowUnknownOption()
    .helpOption(false)
    .description('the virtual rack; from a checkout of the source')
    .action(async (words: string[]) => (await import('./lab.ts')).lab(words))
  program
    .command('completion')
    .argument('<shell>', 'bash, zsh or fish')
    .description('print what makes a shell complete: source <(rackward completion bash)')
    .action(
      async (shell: string) => void process.stdout.write((await import('./completion.ts')).completionScript(shell)),
    )
  program
    .command('man', { hidden: true })
    .argument('<dir>', 'where the pages go')
    .description('write the man pages; the build does')
    .action(async (dir: string) => (await import('./man.ts')).writePages(program, dir))
  program
    .command('complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const found = await (
        await import('./completion.ts')
      ).candidates(program, words, async () => (await import('./nodes.ts')).nodeNames())
      process.stdout.write(`${found.join('\n')}\n`)
    })
}
