/** `rackward mesh ...` and `rackward incident ...` */
import type { Command } from 'commander'
import type { ServerOptions } from '../server.ts'
import { onServer } from './server-options.ts'

const openServer = async (options: ServerOptions) => {
  const { findPlace, openApi } = await import('../server.ts')
  const { currentSpelling } = await import('../../conductor/mesh/spelling.ts')
  const api = openApi(await findPlace(options, process.env))
  return {
    ...api,
    ask: async (...request: Parameters<typeof api.ask>) => currentSpelling(await api.ask(...request)),
  }
}
const meshApi = async (options: ServerOptions) => {
  const { MeshCommands } = await import('../mesh.ts')
  return new MeshCommands(await openServer(options))
}
const incidentApi = async (options: ServerOptions) => {
  const { IncidentCommands } = await import('../incidents.ts')
  return new IncidentCommands(await openServer(options))
}

export function meshCommands(program: Command): void {
  const mesh = program.command('mesh').description('the mesh of hosts that look after each other')
  setupCommands(mesh)
  viewCommands(mesh)
  policyCommands(mesh)
  hostCommands(mesh)
  incidentCommands(program.command('incident').description('hosts that died, and what was done'))
}

function setupCommands(mesh: Command): void {
  const onMachine = (command: Command) =>
    command
      .option(
        '--directory <dir>',
        'where the Consul of this node has its configuration, keys and data',
        '/var/lib/rackward-agent/consul',
      )
      .option('--consul <program>', 'the Consul program', 'consul')
      .option('--url <url>', 'the local Consul agent', 'http://127.0.0.1:8500')
  const setup = () => import('../mesh-setup.ts')
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
}

function viewCommands(mesh: Command): void {
  onServer(mesh.command('status').description('hosts, arbiters, leader, policy, and what is not protected')).action(
    async (options) => (await meshApi(options)).status(options),
  )
  onServer(
    mesh
      .command('explain')
      .argument('<host>')
      .description('what is wrong with a host: the likely causes, and every condition of the verdict on it'),
  ).action(async (host: string, options) => (await meshApi(options)).explain(host, options))
}

function policyCommands(mesh: Command): void {
  onServer(
    mesh
      .command('arm')
      .description('let the mesh fence hosts')
      .option('--dry-run', 'it only says what it would do')
      .option('--why <text>', 'for the record', 'armed'),
  ).action(async (options) =>
    (await meshApi(options)).arm({ armed: true, dry_run: options.dryRun === true, why: options.why }, options),
  )
  onServer(
    mesh.command('disarm').description('let the mesh fence nobody').requiredOption('--why <text>', 'for the record'),
  ).action(async (options) => (await meshApi(options)).arm({ armed: false, why: options.why }, options))
  onServer(
    mesh
      .command('policy')
      .description('what the mesh may do by itself; without options, as it stands')
      .option('--levels <list>', 'ways to fence that may be used, such as L0,L1,L3,L5')
      .option('--agent-lost <what>', 'a host whose machine answers and whose agent does not: page or fence')
      .option('--isolated <what>', 'a host that answers on its storage plane alone: page or fence')
      .option('--tenant-lost <what>', 'a host whose guests run and cannot be reached: page or drain')
      .option('--limit <name=value...>', 'change a limit (docs/mesh.md); name= restores the default')
      .option('--why <text>', 'for the record'),
  ).action(async (options) => (await meshApi(options)).policy(options))
}

const REPLACE = 'also when the host is held for another reason, which ends'

function hostCommands(mesh: Command): void {
  onServer(
    mesh
      .command('maintenance')
      .argument('<state>', 'on or off')
      .argument('<host>')
      .option('--why <text>', 'for the record; with off, the reason of the hold that is to end')
      .option('--for <time>', 'such as 30m or 2h; without it, until it is ended')
      .option('--replace', REPLACE)
      .option('--any', 'with off: whatever hold there is, also that of a deploy')
      .description('a host that is worked on is not fenced'),
  ).action(async (state: string, host: string, options) => (await meshApi(options)).maintenance(state, host, options))
  onServer(
    mesh
      .command('drain')
      .argument('<host>')
      .option('--why <text>', 'for the record')
      .option('--wait [seconds]', 'until it is empty (3600)')
      .option('--replace', REPLACE)
      .description('move the instances of a living host elsewhere, then maintenance'),
  ).action(async (host: string, options) => (await meshApi(options)).drain(host, options))
  mesh
    .command('kill')
    .argument('<host>')
    .option('--freeze', 'it neither dies nor lives')
    .description('game day, in the lab (npm run lab -- --ha): kill a host, and see what the mesh does about it')
    .action(async (host: string, options: { freeze?: boolean }) =>
      (await import('../lab.ts')).lab(['kill', host, ...(options.freeze ? ['--freeze'] : [])]),
    )
  onServer(
    mesh
      .command('fence')
      .argument('<host>')
      .option('--confirm <host>', 'its name, typed again')
      .description('switch a host off by order, and move its instances'),
  ).action(async (host: string, options) => (await meshApi(options)).fence(host, options))
  onServer(
    mesh
      .command('remove')
      .argument('<host>')
      .option('--confirm <host>', 'its name, typed again')
      .description('remove a node from the mesh'),
  ).action(async (host: string, options) => (await meshApi(options)).remove(host, options))
}

function incidentCommands(incident: Command): void {
  onServer(incident.command('list').description('incidents, the newest first')).action(async (options) =>
    (await incidentApi(options)).list(options),
  )
  onServer(incident.command('show').argument('<incident>').description('an incident with its time line')).action(
    async (id: string, options) => (await incidentApi(options)).show(id, options),
  )
  for (const [kind, description] of [
    ['attest', 'attest that the host is off: its instances are moved'],
    ['retry', 'retry the instances that could not be moved'],
    ['close', 'close an incident'],
  ] as const)
    onServer(
      incident
        .command(kind)
        .argument('<incident>')
        .option('--confirm <host>', 'the name of the host, typed')
        .description(description),
    ).action(async (id: string, options) => (await incidentApi(options)).request(kind, id, options))
}
