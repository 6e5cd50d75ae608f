/** `rackward rack ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

const FILE = ['-f, --file <path>', 'rack file, or a directory of *.yaml', 'rack.yaml'] as const

const EVENTS = [
  ['pause', 'begin nothing new; what a node is in the middle of goes on'],
  ['resume', 'go on with a roll-out that was paused, or that failures stopped'],
  ['cancel', 'give a roll-out up; what was done stays'],
] as const

export function rackCommands(program: Command): void {
  const rack = program.command('rack').description('a whole rack from one file: plan, apply, drift, export')
  const command = () => import('../rack/command.ts')
  const rollouts = () => import('../rack/apply.ts')

  onServer(
    rack
      .command('plan')
      .description(
        'compare a rack file with what was recorded and what is there; changes nothing; exit status 8: there are differences',
      )
      .option(...FILE)
      .option('--out <file>', 'write the plan as a file'),
  ).action(async (options) => (await command()).plan(options))
  onServer(
    rack
      .command('apply')
      .argument('[plan]', 'a plan that was written with --out; without one, a plan is made and asked about')
      .description('hand a plan to the conductor, which rolls it out: canaries first, and stops at failures')
      .option(...FILE)
      .option('--allow <kind=nodes...>', 'agree to what the plan ends, such as erase=r1-u[01-04]')
      .option('--wait [seconds]', 'until it is done (3600)'),
  ).action(async (plan: string | undefined, options) => (await rollouts()).apply(plan, options))
  onServer(
    rack
      .command('drift')
      .description(
        'what is not as the file says, beside what was recorded when it was applied and what is there; exit status 0: ' +
          'nothing, 1: there are differences, 2: it could not be told',
      )
      .option(...FILE)
      .option('--boot-device', 'ask the BMC of each active node for its boot device, too')
      .option('--json', 'the same as -o json'),
  ).action(async (options) => (await import('../rack/drift-command.ts')).drift(options))
  onServer(
    rack
      .command('export')
      .description(
        'write what a conductor has recorded as a rack file, whose plan changes nothing; secrets as references',
      )
      .option('--site <name>', 'of the file; needed where files of several sites were applied')
      .option('--to <program>', 'as an inventory of bifrost, metal3, tinkerbell or maas; tells what that cannot hold')
      .option('--out <path>', 'a file, or with a slash at its end a directory; without it, the file is printed'),
  ).action(async (options) => (await import('../rack/export-command.ts')).exportRack(options))
  onServer(rack.command('rollouts').description('list roll-outs')).action(async (options) =>
    (await rollouts()).rollouts(options),
  )
  onServer(
    rack.command('status').argument('<id>', 'of the roll-out').description('show a roll-out, node by node'),
  ).action(async (id: string, options) => (await rollouts()).status(id, options))
  for (const [event, says] of EVENTS)
    onServer(rack.command(event).argument('<id>', 'of the roll-out').description(says)).action(
      async (id: string, options) => (await rollouts()).change(id, event, options),
    )
  rack
    .command('import')
    .argument('<file>', 'inventory of Bifrost (JSON, YAML, CSV), BareMetalHost, Hardware, or machines of MAAS (JSON)')
    .description('convert the inventory of another program to a rack file; tells what was not carried; sends nothing')
    .requiredOption('--from <program>', 'bifrost, metal3, tinkerbell or maas')
    .option('--site <name>', 'of the rack file', 'imported')
    .option('--out <path>', 'a file, or with a slash at its end a directory; without it, the rack file is printed')
    .action(async (path: string, options) => (await import('../rack/import-command.ts')).importRack(path, options))
  rack
    .command('validate')
    .description('check a rack file, without asking a conductor')
    .option(...FILE)
    .action(async (options) => (await command()).validate(options))
  rack
    .command('why')
    .argument('<node>', 'name of a node of the file')
    .description('print every value of a node with the line and the profile that say it')
    .option(...FILE)
    .action(async (name: string, options) => (await command()).why(name, options))
  rack
    .command('schema')
    .description('print the JSON schema of rack files, for editors')
    .action(async () => (await command()).schema())
}
