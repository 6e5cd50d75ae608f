/** `rackward image ...` */
import type { Command } from 'commander'
import { onServer } from './server-options.ts'

export function imageCommands(program: Command): void {
  const image = program.command('image').description('images and the store they are kept in')
  image
    .command('build')
    .argument(
      '<recipe>',
      'debian-12, debian-13, ramdisk, uki (the ramdisk as one signed program of UEFI), loaders (iPXE), deb or vagrant-box',
    )
    .option('--store <dir>', 'image store')
    .option('--cache <dir>', 'where built things are kept')
    .option('--force', 'build it again')
    .option(
      '--link <path>',
      'of ramdisk: a symbolic link that is pointed at it, for a configuration that stays as it is',
    )
    .option('--arch <arch>', 'of ramdisk and debian-*: amd64 or arm64', 'amd64')
    .option('--packages <names>', 'of debian-*: packages beside the usual ones, with commas')
    .option('--hardened', 'of debian-*: with the hardened profile (docs/images.md)')
    .option('--mesh', 'of debian-*: with the agent of the mesh and Consul')
    .option('--name <name>', 'of debian-*: of the image in the store')
    .option('--sign-key <file>', 'of debian-*: the Ed25519 key that signs the image, in PEM')
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
    .command('sbom')
    .argument('<name>', 'name or id')
    .option('--store <dir>', 'image store')
    .description('print what is in an image that was built here, as CycloneDX (JSON)')
    .action(async (name: string, options: { store?: string }) =>
      (await import('../image-gc.ts')).printSbom(name, options),
    )
  image
    .command('sign')
    .argument('<name...>', 'names or ids')
    .requiredOption('--sign-key <file>', 'the Ed25519 key that signs, in PEM')
    .option('--store <dir>', 'image store')
    .description('prove every piece of images of the store, and sign them in place of the signatures that they have')
    .action(async (names: string[], options: { store?: string; signKey: string }) =>
      (await import('../image-sign.ts')).sign(names, options),
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
  seriesCommands(image)
  image
    .command('verify')
    .argument('[name...]', 'names or ids; all images without one')
    .option('--store <dir>', 'image store')
    .option('--public-key <file...>', 'they must be signed by one of these Ed25519 keys, in PEM')
    .description('read and prove every piece of images of the store; exit status 1: one is damaged, or not signed')
    .action(async (names: string[], options: { store?: string; publicKey?: string[] }) =>
      (await import('../image-gc.ts')).verify(names, options),
    )
}

const series = () => import('../image-series.ts')

function seriesCommands(image: Command): void {
  onServer(
    image
      .command('release')
      .argument('<name>', 'of the series, as image_source NAME:VERSION has it')
      .argument('<version>', 'such as 2026.1')
      .option('--image <image>', 'name or id of an image of the store; otherwise the name of the series')
      .option('--channel <channel>', 'promotes it to this channel as well')
      .description('release an image as a version, which names it for ever'),
  ).action(async (name: string, version: string, options) => (await series()).release(name, version, options))
  onServer(
    image
      .command('promote')
      .argument('<name>', 'of the series')
      .argument('<channel>', 'such as candidate or stable')
      .option('--from <channel>', 'the version that this channel is at')
      .option('--version <version>', 'this version')
      .description('point a channel at a version; nodes that follow it are behind until they are rebuilt'),
  ).action(async (name: string, channel: string, options) => (await series()).promote(name, channel, options))
  onServer(
    image
      .command('rollback')
      .argument('<name>', 'of the series')
      .argument('<channel>', 'such as stable')
      .description('take a channel back to the version before'),
  ).action(async (name: string, channel: string, options) => (await series()).rollback(name, channel, options))
  onServer(
    image
      .command('withdraw')
      .argument('<name>', 'of the series')
      .argument('<version>', 'that no channel needs')
      .description('forget a version'),
  ).action(async (name: string, version: string, options) => (await series()).withdraw(name, version, options))
  onServer(
    image.command('channels').argument('[name]', 'of one series').description('versions of images, and their channels'),
  ).action(async (name: string | undefined, options) => (await series()).channels(name, options))
  onServer(
    image
      .command('status')
      .option('--behind', 'only nodes that are behind their channel')
      .description('which image and version each node was deployed with, and whether it is behind its channel'),
  ).action(async (options) => (await series()).status(options))
}
