/** `rackward image ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

export function imageCommands(program: Command): void {
  const image = program.command('image').description('images and the store they are kept in')
  image
    .command('build')
    .argument(
      '<recipe>',
      'debian-12, debian-12-mesh, ramdisk, uki (the ramdisk as one signed program of UEFI), loaders (iPXE), deb or vagrant-box',
    )
    .option('--store <dir>', 'image store')
    .option('--cache <dir>', 'where built things are kept')
    .option('--force', 'build it again')
    .option(
      '--link <path>',
      'of ramdisk: a symbolic link that is pointed at it, for a configuration that stays as it is',
    )
    .option('--arch <arch>', 'of ramdisk and debian-12: amd64 or arm64', 'amd64')
    .option('--config <file>', 'of uki: the configuration of the conductor, whose address and pin go inside')
    .option(
      '--key <file>',
      'of uki: the key that signs, in PEM; otherwise one that is made once, beside the other keys of the conductor',
    )
    .option('--cert <file>', 'of uki: its certificate, in PEM')
    .option('--out <dir>', 'of deb and vagrant-box: where they go', '.')
    .description('build an image from Debian packages')
    .action(async (recipe: string, options: Parameters<(typeof import('../image.ts'))['build']>[1]) =>
      (await import('../image.ts')).build(recipe, options),
    )
  image
    .command('import')
    .argument('<source>', 'file or URL of a raw or qcow2 disk image')
    .requiredOption('--name <name>', 'of the image in the store')
    .option('--checksum <digest>', 'sha256:HEX or sha512:HEX')
    .option('--format <format>', 'raw or qcow2; refused when the image is something else')
    .option('--store <dir>', 'image store')
    .description('check an image and take it into the store')
    .action(async (source: string, options: { name: string; checksum?: string; format?: string; store?: string }) =>
      (await import('../image.ts')).importOne(source, options),
    )
  image
    .command('list')
    .option('--store <dir>', 'image store')
    .option('--json', 'one JSON document')
    .description('list the images of the store')
    .action(async (options: { store?: string; json?: boolean }) => (await import('../image.ts')).list(options))

  image
    .command('show')
    .argument('<name>', 'name or id')
    .option('--store <dir>', 'image store')
    .option('-o, --output <format>', 'table, json or yaml')
    .description('show an image')
    .action(async (name: string, options: { store?: string; output?: string }) =>
      (await import('../image.ts')).showImage(name, options),
    )
  image
    .command('rm')
    .argument('<name...>', 'names or ids')
    .option('--store <dir>', 'image store')
    .description('remove images from the store')
    .action(async (names: string[], options: { store?: string }) =>
      (await import('../image.ts')).removeImages(names, options),
    )
  onServer(
    image
      .command('gc')
      .description(
        'remove images from the store of a conductor that no node, roll-out or request needs and that nobody named',
      )
      .option('--dry-run', 'only show what would be removed, and why the others stay')
      .option('--unused-hours <hours>', 'that were not used for so long; otherwise images.gc.keepUnusedHours'),
  ).action(async (options) => (await import('../image-gc.ts')).collect(options))
  image
    .command('verify')
    .argument('[name...]', 'names or ids; all images without one')
    .option('--store <dir>', 'image store')
    .description('read and prove every piece of images of the store; exit status 1: one is damaged')
    .action(async (names: string[], options: { store?: string }) =>
      (await import('../image-gc.ts')).verify(names, options),
    )
}
