/** `rackward node ...` */
import type { Command } from 'commander'
import { mediaCommands } from './node-media.ts'
import { raidCommand } from './node-raid.ts'
import { tpmCommand } from './node-tpm.ts'
import { onServer } from './server-options.ts'

/** Verbs by the word that people say, with the target that the API wants. */
const VERBS: readonly (readonly [name: string, target: string, says: string])[] = [
  ['manage', 'manage', 'try the BMC, and take the node under management'],
  ['inspect', 'inspect', 'look at its hardware'],
  ['provide', 'provide', 'clean it and make it available'],
  ['deploy', 'active', 'write an image and start it'],
  ['rebuild', 'rebuild', 'write the image anew'],
  ['undeploy', 'deleted', 'take the instance away and clean'],
  ['clean', 'clean', 'carry out clean steps'],
  ['adopt', 'adopt', 'take over a server that runs already'],
  ['rescue', 'rescue', 'open a rescue login; its password comes from RACKWARD_RESCUE_PASSWORD'],
  ['unrescue', 'unrescue', 'start the instance again'],
  ['service', 'service', 'carry out steps on a server in use'],
  ['abort', 'abort', 'stop what is being waited for'],
  ['unhold', 'unhold', 'let a held node go on'],
]

export function nodeCommands(program: Command): void {
  const node = program.command('node').description('servers: enroll, deploy, power, explain')
  const nodes = () => import('../nodes.ts')
  const deployAll = () => import('../deploy-all.ts')

  onServer(
    node
      .command('list')
      .description('list nodes')
      .option('--state <state>', 'in this provision state')
      .option('--class <name>', 'of this resource class')
      .option('--failed', 'that need attention')
      .option('--images', 'with the image that each runs, and whether it is behind its channel'),
  ).action(async (options) => (await import('../node-list.ts')).list(options))
  onServer(node.command('show').argument('<node>', 'name or UUID').description('show a node')).action(
    async (ident: string, options) => (await nodes()).showNode(ident, options),
  )
  onServer(
    node
      .command('explain')
      .argument('<node>', 'name or UUID')
      .description('what it waits for, since when, and what is likely wrong'),
  ).action(async (ident: string, options) => (await import('../explain.ts')).explain(ident, options))
  onServer(
    node
      .command('watch')
      .argument('[node]', 'name or UUID; all without one')
      .description('everything that happens, as it happens'),
  ).action(async (ident: string | undefined, options) => (await import('../explain.ts')).watch(ident, options))
  onServer(
    node
      .command('enroll')
      .argument('[name]')
      .description('enroll a node, or all that a file names; run again, only differences are applied')
      .option('-f, --file <file>', 'YAML or CSV')
      .option('--diff', 'show the differences, change nothing')
      .option('--secrets', 'set passwords again, which cannot be compared')
      .option('--driver <name>', 'ipmi, redfish, idrac or fake-hardware')
      .option('--bmc <address>', 'of its BMC; for redfish and idrac also a URL such as https://192.0.2.57:8443')
      .option('--user <name>', 'user of the BMC; its password comes from --password-file or RACKWARD_BMC_PASSWORD')
      .option('--password-file <file>', 'file of mode 0600 with the password of the BMC')
      .option('--mac <address...>', 'cards that it boots from'),
  ).action(async (name: string | undefined, options) => (await import('../enroll.ts')).enroll(name, options))

  for (const [name, target, says] of VERBS) {
    const command = onServer(
      node
        .command(name)
        .argument(target === 'active' ? '[node...]' : '<node...>', 'names or UUIDs')
        .description(says)
        .option('--wait [seconds]', 'until it is done (3600)'),
    )
    if (target === 'active' || target === 'rebuild')
      command
        .option('--image <source>', 'name in the store, or URL')
        .option('--checksum <hex>', 'of an image from a URL')
        .option('--configdrive <value>', 'JSON or YAML, or @FILE')
    if (target === 'active')
      command
        .option('--all', 'every available node, as one roll-out')
        .option(
          '--behind',
          'of --all: instead rebuild active nodes whose channel is at another image (rackward image status)',
        )
        .option('--class <name>', 'of --all: nodes of this resource class')
        .option('--canary <number>', 'of --all: so many first, of different racks (a number, or a share such as 1%)')
        .option('--stop-on <failures>', 'of --all: stop when so many failed (a number, or a share such as 5%)')
        .option('--yes', 'of --all: do not ask')
    if (target === 'clean' || target === 'service')
      command
        .option('--steps <value>', 'JSON or YAML, or @FILE')
        .option('--runbook <name>', 'runbook that names the steps')
    command.action(async (idents: string[], options) =>
      options.all ? (await deployAll()).deployAll(idents, options) : (await nodes()).verb(target, idents, options),
    )
  }
  onServer(
    node.command('queue').description('nodes that wait until there is room for one more, and how many begin at once'),
  ).action(async (options) => (await deployAll()).queue(options))
  onServer(
    node
      .command('power')
      .argument('<action>', 'on, off, reboot, soft-off or soft-reboot')
      .argument('<node...>')
      .description('switch the power')
      .option('--wait [seconds]', 'until it is proven (3600)'),
  ).action(async (action: string, idents: string[], options) => (await nodes()).power(action, idents, options))
  raidCommand(node)
  tpmCommand(node)
  onServer(
    node
      .command('maintenance')
      .argument('<state>', 'on or off')
      .argument('<node>')
      .description('take it out of service, or put it back')
      .option('--reason <text>', 'for the record'),
  ).action(async (state: string, ident: string, options) => (await nodes()).maintenance(state, ident, options))
  onServer(node.command('delete').argument('<node...>').description('forget nodes')).action(
    async (idents: string[], options) => (await nodes()).remove(idents, options),
  )
  onServer(
    node
      .command('console')
      .argument('<node>', 'name or UUID')
      .option('--steal', 'end the session of another first')
      .description('its serial console, by its BMC, through the conductor; ~. ends it'),
  ).action(async (ident: string, options) => (await import('../console.ts')).openConsole(ident, options))
  onServer(
    node
      .command('health')
      .argument('<node>', 'name or UUID')
      .description('health, sensors and Secure Boot, read from its BMC now'),
  ).action(async (ident: string, options) => (await import('../health.ts')).health(ident, options))
  onServer(
    node
      .command('secure-boot')
      .argument('<node>', 'name or UUID')
      .argument('[wish]', 'on, off, or reset to the keys of the manufacturer; shown without one')
      .description('Secure Boot of a server')
      .option('--wait [seconds]', 'until it is proven (3600)'),
  ).action(async (ident: string, wish: string | undefined, options) =>
    (await import('../secure-boot.ts')).secureBoot(ident, wish, options),
  )
  onServer(
    node
      .command('bios')
      .argument('<node>', 'name or UUID')
      .argument('[action]', 'set or reset; shown without one')
      .argument('[setting...]', 'NAME=VALUE')
      .description('BIOS settings of a server')
      .option('--wait [seconds]', 'until they are read back (3600)'),
  ).action(async (ident: string, ...given) => {
    const [action, settings = [], options = {}] = given as [string?, string[]?, object?]
    return (await import('../bios.ts')).bios(ident, { action, settings }, options)
  })
  onServer(
    node
      .command('firmware')
      .argument('<node>', 'name or UUID')
      .argument('[action]', 'update; shown without one')
      .argument('[component]', 'bios, bmc or nic:SERIAL')
      .argument('[url]', 'of the file, below a prefix of firmware.sources')
      .description('firmware of a server')
      .option('--checksum <hex>', 'of the file: sha256:HEX')
      .option('--wait [seconds]', 'until the version is read back (3600)'),
  ).action(async (ident: string, ...given) => {
    const [action, component, url, options] = given as [string?, string?, string?, object?]
    return (await import('../firmware.ts')).firmware(ident, { action, component, url }, options ?? {})
  })
  onServer(
    node
      .command('wait')
      .argument('<state>', 'provision state, such as active')
      .argument('<node...>', 'names or UUIDs')
      .description('wait until nodes are in a state')
      .option('--for <seconds>', 'at most so long', '3600'),
  ).action(async (state: string, idents: string[], options) => (await nodes()).waitFor(state, idents, options))
  mediaCommands(node)
}
