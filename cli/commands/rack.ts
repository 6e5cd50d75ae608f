/** `rackward rack ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

const FILE = ['-f, --file <path>', 'rack file, or a directory of *.yaml', 'rack.yaml'] as const

export function rackCommands(program: Command): void {
  const rack = program.command('rack').description('a whole rack from one file: plan, and see why')
  const command = () => import('../rack/command.ts')

  onServer(
    rack
      .command('plan')
      .description(
        'compare a rack file with what was recorded and what is there; changes nothing; exit status 8: there are differences',
      )
      .option(...FILE)
      .option('--out <file>', 'write the plan as a file'),
  ).action(async (options) => (await command()).plan(options))
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
