#!/usr/bin/env node
/** rackward <noun> <verb>. Each command lives in its own file and is loaded when it is asked for. */
import { Command } from 'commander'

const program = new Command('rackward').description('Bare-metal provisioning and node-level high availability')

program
  .command('conductor')
  .description('run the conductor: API, power, network boot, imaging')
  .option('--config <file>', 'configuration file (YAML)')
  .option('--dev', 'fake hardware on 127.0.0.1, without authentication and without DHCP, to try the API')
  .option('--port <number>', 'with --dev: port of the API', '6385')
  .option('--data <dir>', 'with --dev: where the database goes')
  .action(async (options: { config?: string; dev?: boolean; port: string; data?: string }) => (await import('./conductor.ts')).runConductor(options))

program
  .command('boot', { hidden: true })
  .description('the boot services; the conductor starts them')
  .requiredOption('--config <file>')
  .action(async (options: { config: string }) => (await import('./boot.ts')).runBoot(options.config))

const image = program.command('image').description('images and the store they are kept in')
image
  .command('build')
  .argument('<recipe>', 'debian-12 or ramdisk')
  .option('--store <dir>', 'image store')
  .option('--cache <dir>', 'where built things are kept')
  .option('--force', 'build it again')
  .description('build an image from Debian packages')
  .action(async (recipe: string, options: { store?: string; cache?: string; force?: boolean }) => (await import('./image.ts')).build(recipe, options))
image
  .command('import')
  .argument('<source>', 'file or URL of a raw or qcow2 disk image')
  .requiredOption('--name <name>')
  .option('--checksum <digest>', 'sha256:HEX or sha512:HEX')
  .option('--format <format>', 'raw or qcow2; refused when the image is something else')
  .option('--store <dir>', 'image store')
  .description('check an image and take it into the store')
  .action(async (source: string, options: { name: string; checksum?: string; format?: string; store?: string }) =>
    (await import('./image.ts')).importOne(source, options),
  )
image
  .command('list')
  .option('--store <dir>', 'image store')
  .option('--json')
  .description('list the images of the store')
  .action(async (options: { store?: string; json?: boolean }) => (await import('./image.ts')).list(options))

program.parseAsync().catch((error: Error) => {
  process.stderr.write(`rackward: ${error.message}\n`)
  process.exitCode = 1
})
