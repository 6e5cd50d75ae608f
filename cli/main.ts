#!/usr/bin/env node
/** rackward <noun> <verb>. Each command lives in its own file and is loaded when it is asked for. */
import { Command, CommanderError } from 'commander'
import { STATUSES, Trouble } from './trouble.ts'

const program = new Command('rackward').description('Bare-metal provisioning and node-level high availability').exitOverride()

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

program
  .command('agent')
  .description('run the agent of a host or an arbiter of the mesh')
  .requiredOption('--config <file>', 'configuration file (YAML)')
  .option('--check-config', 'say whether the file is acceptable, and end')
  .action(async (options: { config: string; checkConfig?: boolean }) => (await import('./agent.ts')).runAgent(options))

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

const node = program.command('node').description('servers: enroll, deploy, power, explain')
const onServer = (command: Command) =>
  command
    .option('--server <url>', 'the API; otherwise RACKWARD_SERVER, OS_ENDPOINT, or clouds.yaml')
    .option('--cloud <name>', 'a cloud of clouds.yaml; otherwise OS_CLOUD')
    .option('-o, --output <format>', 'table, json or yaml')
const nodes = () => import('./nodes.ts')

onServer(
  node
    .command('list')
    .description('list nodes')
    .option('--state <state>', 'in this provision state')
    .option('--class <name>', 'of this resource class')
    .option('--failed', 'that need somebody'),
).action(async (options) => (await nodes()).list(options))
onServer(node.command('show').argument('<node>', 'name or UUID').description('show a node')).action(async (ident: string, options) =>
  (await nodes()).showNode(ident, options),
)
onServer(node.command('explain').argument('<node>', 'name or UUID').description('what it waits for, since when, and what is likely wrong')).action(
  async (ident: string, options) => (await nodes()).explain(ident, options),
)
onServer(node.command('watch').argument('[node]', 'name or UUID; all without one').description('everything that happens, as it happens')).action(
  async (ident: string | undefined, options) => (await nodes()).watch(ident, options),
)
onServer(
  node
    .command('enroll')
    .argument('[name]')
    .description('enroll a node, or all that a file names; run again, only differences are applied')
    .option('-f, --file <file>', 'YAML or CSV')
    .option('--diff', 'show the differences, change nothing')
    .option('--secrets', 'set passwords again, which cannot be compared')
    .option('--driver <name>', 'ipmi or fake-hardware')
    .option('--bmc <address>')
    .option('--user <name>', 'user of the BMC; its password comes from RACKWARD_BMC_PASSWORD')
    .option('--mac <address...>', 'cards that it boots from'),
).action(async (name: string | undefined, options) => (await import('./enroll.ts')).enroll(name, options))

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
for (const [name, target, says] of VERBS) {
  const command = onServer(node.command(name).argument('<node...>', 'names or UUIDs').description(says).option('--wait [seconds]', 'until it is done (3600)'))
  if (target === 'active' || target === 'rebuild')
    command
      .option('--image <source>', 'name in the store, or URL')
      .option('--checksum <hex>', 'of an image from a URL')
      .option('--configdrive <value>', 'JSON or YAML, or @FILE')
  if (target === 'clean' || target === 'service') command.option('--steps <value>', 'JSON or YAML, or @FILE').option('--runbook <name>')
  command.action(async (idents: string[], options) => (await nodes()).verb(target, idents, options))
}
onServer(
  node
    .command('power')
    .argument('<wish>', 'on, off, reboot, soft-off or soft-reboot')
    .argument('<node...>')
    .description('switch the power')
    .option('--wait [seconds]', 'until it is proven (3600)'),
).action(async (wish: string, idents: string[], options) => (await nodes()).power(wish, idents, options))
onServer(
  node
    .command('maintenance')
    .argument('<wish>', 'on or off')
    .argument('<node>')
    .description('take it out of service, or put it back')
    .option('--reason <text>'),
).action(async (wish: string, ident: string, options) => (await nodes()).maintenance(wish, ident, options))
onServer(node.command('delete').argument('<node...>').description('forget nodes')).action(async (idents: string[], options) =>
  (await nodes()).remove(idents, options),
)

const mesh = program.command('mesh').description('the mesh of hosts that look after each other')
const onMachine = (command: Command) =>
  command
    .option('--directory <dir>', 'where the Consul of this node has its configuration, keys and data', '/var/lib/rackward-agent/consul')
    .option('--consul <program>', 'the Consul program', 'consul')
    .option('--url <url>', 'the local Consul agent', 'http://127.0.0.1:8500')
const setup = () => import('./mesh-setup.ts')
onMachine(
  mesh
    .command('init')
    .argument('<name>', 'of this node, the first arbiter')
    .option('--address <ip>', 'where the other nodes reach its Consul')
    .option('--finish', 'when its agent runs: makes its token')
    .description('begin a mesh on its first arbiter'),
).action(async (name: string, options) => (await setup()).init(name, options))
onMachine(
  mesh
    .command('invite')
    .argument('<name>', 'of the node that shall come in')
    .option('--arbiter', 'it shall be an arbiter')
    .option('--out <file>', 'where the bundle goes; standard output otherwise')
    .description('on the first arbiter: a bundle that lets one more node in'),
).action(async (name: string, options) => (await setup()).inviteOne(name, options))
onMachine(
  mesh
    .command('join')
    .argument('<bundle>', 'file, or -')
    .requiredOption('--address <ip>', 'where the other nodes reach the Consul of this one')
    .description('on an invited node: configure its Consul'),
).action(async (bundle: string, options) => (await setup()).join(bundle, options))

const meshApi = async (options: { server?: string; cloud?: string }) => {
  const [{ meshCommands }, { findPlace, openApi }] = await Promise.all([import('./mesh.ts'), import('./server.ts')])
  return meshCommands(openApi(await findPlace(options, process.env)))
}
onServer(mesh.command('status').description('hosts, arbiters, leader, policy, and what is not protected')).action(async (options) =>
  (await meshApi(options)).status(options),
)
onServer(mesh.command('explain').argument('<host>').description('every condition of the verdict on a host: why, or why not')).action(
  async (host: string, options) => (await meshApi(options)).explain(host, options),
)
onServer(
  mesh
    .command('arm')
    .description('let the mesh fence hosts')
    .option('--dry-run', 'it only says what it would do')
    .option('--why <text>', 'for the record', 'armed'),
).action(async (options) => (await meshApi(options)).policy({ armed: true, dry_run: options.dryRun === true, why: options.why }, options))
onServer(mesh.command('disarm').description('let the mesh fence nobody').requiredOption('--why <text>', 'for the record')).action(async (options) =>
  (await meshApi(options)).policy({ armed: false, why: options.why }, options),
)
onServer(
  mesh
    .command('maintenance')
    .argument('<wish>', 'on or off')
    .argument('<host>')
    .option('--why <text>')
    .option('--for <time>', 'such as 30m or 2h; without it, until it is ended')
    .description('a host that is worked on is not fenced'),
).action(async (wish: string, host: string, options) => (await meshApi(options)).maintenance(wish, host, options))
onServer(
  mesh
    .command('fence')
    .argument('<host>')
    .option('--confirm <host>', 'its name, typed again')
    .description('switch a host off by order, and move its instances'),
).action(async (host: string, options) => (await meshApi(options)).fence(host, options))
onServer(mesh.command('remove').argument('<host>').option('--confirm <host>', 'its name, typed again').description('remove a node from the mesh')).action(
  async (host: string, options) => (await meshApi(options)).remove(host, options),
)

const incident = program.command('incident').description('hosts that died, and what was done')
onServer(incident.command('list').description('incidents, the newest first')).action(async (options) => (await meshApi(options)).incidents(options))
onServer(incident.command('show').argument('<incident>').description('an incident with its time line')).action(async (id: string, options) =>
  (await meshApi(options)).incident(id, options),
)
for (const [kind, says] of [
  ['attest', 'attest that the host is off: its instances are moved'],
  ['retry', 'try the instances again that could not be moved'],
  ['close', 'close an incident'],
] as const)
  onServer(incident.command(kind).argument('<incident>').option('--confirm <host>', 'the name of the host, typed').description(says)).action(
    async (id: string, options) => (await meshApi(options)).act(kind, id, options),
  )

program.parseAsync().catch((error: Error) => {
  // It printed what it had to say; its status is 0 after --help.
  if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? 0 : STATUSES.usage
    return
  }
  process.stderr.write(`rackward: ${error.message}\n`)
  process.exitCode = error instanceof Trouble ? STATUSES[error.kind] : STATUSES.failed
})
