/** `npm run lab`: the product's main job on a virtual rack. The conductor in it is the one that users run; only the
 *  rack around it is the lab's. */
import { existsSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { debianFor } from '../../cli/image-debian.ts'
import { defaultCache, loadersFor, meshExtras, ramdiskFor } from '../../cli/image.ts'
import { run } from '../../kit/run.ts'
import { chooseAccel } from './accel.ts'
import { readArgs, USAGE, type LabArgs } from './args.ts'
import { arbiterUrls } from './ha/arbiters.ts'
import { openHa, playOf, type Hosts } from './ha/open.ts'
import { killText, type Kill } from './ha/play.ts'
import { RackConductor, type ConductorOptions } from './conductor.ts'
import { handOver, handOverText, type HandOver } from './conductors/hand-over.ts'
import { BRIDGE_IP, type Machines } from './conductors/machines.ts'
import { openConductors } from './conductors/open.ts'
import type { ApiClient } from './client.ts'
import { expectation, expectedBuild, labKey, minutesText, remember, rememberBuild } from './duration.ts'
import { fixedAddress } from './media-nodes.ts'
import { travel, type Result, type Seen } from './journey.ts'
import { Rack, removeRack } from './rack.ts'
import type { Firmware, Server, ServerSpec } from './server.ts'
import { sh } from './shell.ts'
import { stepRows, stepsBefore, stepsOfServers, stepsText, type Steps } from './steps.ts'
import { next } from './next.ts'
import { newSeen, showLive, table, tpmText } from './show.ts'
import { apiOf, consoleText, killVerb, labDir, rackward, say, stateOf, status, type LabState } from './verbs.ts'
import { openDoor } from './web-door.ts'

/** Of the listener where BMCs fetch the boot ISO. */
const MEDIA_PORT = 8081
/** For each state of a server, where PostgreSQL and several conductors share the machine with it. */
const SHARED_MS = 60 * 60_000
const GIB = 1024 ** 3

/** Firmware, cards and disks differ, so that a rack of three tries most of what real racks have. */
function specs(args: LabArgs): ServerSpec[] {
  const kinds = [
    ['bios', 'virtio', 'virtio'],
    ['uefi', 'virtio', 'nvme'],
    ['bios', 'e1000e', 'ahci'],
  ] as const
  return Array.from({ length: args.nodes }, (_, i) => {
    const [firmware, card, diskKind] = kinds[i % kinds.length] as (typeof kinds)[number]
    const wanted: Firmware = args.secureBoot ? 'uefi' : args.firmware === 'mix' ? firmware : args.firmware
    const bmc = args.bmc === 'mixed' ? (i % 2 === 0 ? 'ipmi' : 'redfish') : args.bmc
    // As in the rack test of virtual media.
    const memoryMb = args.boot === 'media' ? 1536 : 1024
    // The option ROM of QEMU's e1000e is not signed.
    const boots = args.secureBoot ? 'virtio' : card
    return {
      name: `server-${i + 1}`,
      firmware: wanted,
      card: boots,
      diskKind,
      diskBytes: 6 * GIB,
      memoryMb,
      bmc,
      secureBoot: args.secureBoot,
      tpm: args.tpm,
    }
  })
}

async function runLab(args: LabArgs): Promise<boolean> {
  const dir = labDir(args.name)
  if (existsSync(dir))
    throw new Error(`a rack named "${args.name}" is up already: npm run lab -- status, or: npm run lab -- down`)
  let interrupted = false
  const stop = new Promise<never>((_, reject) => {
    // Not once: a terminal and whoever passes signals on may both send it, and the second must not end the cleaning up.
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
      process.on(signal, () => {
        interrupted = true
        reject(new Error(`stopped by ${signal}`))
      })
  })
  const before = stepsBefore(process.env.RACKWARD_SETUP, Date.now())
  say(await expectedBuild(defaultCache()))
  const buildMs = Date.now()
  const made = await Promise.race([stop, build(args.ha)])
  await rememberBuild(defaultCache(), (Date.now() - buildMs) / 1000)
  const built = { name: 'deploy ramdisk and image', endMs: Date.now() }
  const rack = new Rack(args.name, dir, made.accel)
  const kind = { ...args, accel: made.accel }
  say(await expectation(defaultCache(), kind))
  const startedMs = Date.now()
  try {
    const { results, over, seen, openMs } = await Promise.race([stop, work(rack, args, made)])
    const opened = { name: 'rack, conductor and web console', endMs: openMs }
    const steps = { ...before, steps: [...before.steps, built, opened, ...stepsOfServers(seen)] }
    const kills =
      args.ha && results.every(({ proof }) => proof !== null)
        ? await Promise.race([stop, playOf(rack, apiOf(rack, await stateOf(dir)), say).run()])
        : []
    const isGood = await report(results, args, { rack, kills, over, steps })
    const seconds = (Date.now() - startedMs) / 1000
    if (isGood) await remember(defaultCache(), labKey(kind), seconds)
    if (isGood) say(`(from blank servers to here: ${minutesText(seconds)})`)
    return isGood
  } catch (error) {
    if (!interrupted) await lastWords(dir, args)
    if (!args.keep) {
      say('taking the rack down (--keep would leave it)')
      await rack.down()
    }
    throw error
  }
}

interface Made {
  readonly imageStore: string
  readonly imageName: string
  readonly ramdisk: {
    readonly kernel: string
    readonly initrd: string
    readonly rescueInitrd: string
    readonly iso?: string
  }
  readonly loaders: string | undefined
  readonly accel: 'kvm' | 'tcg'
}

async function build(ha: boolean): Promise<Made> {
  const cache = defaultCache()
  const ramdisk = await ramdiskFor(cache, say)
  const loaders = await loadersFor(cache, say)
  const imageStore = join(cache, 'images')
  const extras = ha ? await meshExtras(cache, say) : undefined
  const image = await debianFor(imageStore, cache, { say, ...(extras ? { extras, name: 'debian-12-mesh' } : {}) })
  const accel = await chooseAccel(ramdisk.kernel)
  say(
    accel === 'kvm'
      ? 'virtual servers run on KVM'
      : 'virtual servers run in software emulation: no KVM guest proved that it runs here',
  )
  return { imageStore, imageName: image.id, ramdisk, loaders, accel }
}

interface Worked {
  readonly results: Result[]
  readonly over?: HandOver
  readonly seen: readonly Seen[]
  /** When the console could be opened. */
  readonly openMs: number
}

async function work(rack: Rack, args: LabArgs, made: Made): Promise<Worked> {
  say(
    `opening the rack: namespace ${rack.namespace}, ${args.nodes} blank server${args.nodes > 1 ? 's' : ''}, each with its BMC`,
  )
  await rack.up(args.conductors > 1 ? BRIDGE_IP : undefined)
  for (const spec of specs(args)) await rack.addServer(spec)
  await sh(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', 'rackward-lab', '-f', join(rack.dir, 'id_ed25519')])
  const options: ConductorOptions = {
    imageStore: made.imageStore,
    kernel: made.ramdisk.kernel,
    initrd: made.ramdisk.initrd,
    loaders: made.loaders,
    rescueInitrd: made.ramdisk.rescueInitrd,
    // Emulated servers share the processors of this machine: what one serves to another takes longer than it saves.
    swarm: made.accel === 'kvm',
    ...(args.ha ? { arbiters: arbiterUrls } : {}),
    ...(args.boot === 'media' && made.ramdisk.iso ? { iso: made.ramdisk.iso, mediaPort: MEDIA_PORT, dhcp: false } : {}),
  }
  const { api, password, start, machines } =
    args.conductors > 1 ? await several(rack, args.conductors, options) : await one(rack, options)
  const door = await openDoor(rack)
  const within = machines && { namespace: machines.all[0]?.namespace ?? '', dir: machines.all[0]?.dir ?? '' }
  const state: LabState = { password, servers: rack.servers, console: door, ...(within ? { within } : {}) }
  await writeFile(join(rack.dir, 'lab.json'), JSON.stringify(state), { mode: 0o600 })
  await writeFile(join(rack.dir, 'netrc'), `machine rack login admin password ${password}\n`, { mode: 0o600 })
  const hosts = args.ha ? await openHa(rack, password) : undefined
  await start()
  say(`to watch it in a browser:\n${consoleText(door, rack.dir)}`)
  const openMs = Date.now()
  const seen = new Map<string, Seen>(rack.servers.map((server) => [server.name, newSeen()]))
  const stopShowing = showLive(rack.servers, seen)
  try {
    const travels = Promise.all(
      rack.servers.map((server, index) =>
        travel({
          api,
          rack,
          server,
          image: made.imageName,
          seen: seen.get(server.name) as Seen,
          ...hostOf(hosts, server),
          ...(args.boot === 'media' ? { fixedIp: fixedAddress(index) } : {}),
          ...(machines ? { address: fixedAddress(index), timeoutMs: SHARED_MS } : {}),
        }),
      ),
    )
    const worked = { seen: [...seen.values()], openMs }
    if (!machines) return { results: await travels, ...worked }
    let areOver = false
    void travels.then(() => (areOver = true))
    const [results, over] = await Promise.all([travels, handOver({ api, machines, say, areOver: () => areOver })])
    return { results, over, ...worked }
  } finally {
    stopShowing()
  }
}

interface Conductors {
  readonly api: ApiClient
  readonly password: string
  readonly start: () => Promise<void>
  readonly machines?: Machines
}

async function one(rack: Rack, options: ConductorOptions): Promise<Conductors> {
  const conductor = await RackConductor.make(rack, options)
  return { api: conductor.api, password: conductor.password, start: () => conductor.start() }
}

async function several(rack: Rack, count: number, options: ConductorOptions): Promise<Conductors> {
  say(`starting PostgreSQL with a synchronous standby, and ${count} conductors, each in a namespace of its own`)
  const { machines, api, password } = await openConductors(rack, { count, options })
  return { api, password, start: () => machines.start(), machines }
}

/** What the conductors wrote last. */
async function lastWords(dir: string, { conductors }: LabArgs): Promise<void> {
  if (conductors < 2) return tail(join(dir, 'conductor.log'))
  for (let number = 1; number <= conductors; number += 1) await tail(join(dir, `conductor-${number}`, 'conductor.log'))
}

async function report(
  results: readonly Result[],
  args: LabArgs,
  about: { rack: Rack; kills: readonly Kill[]; over: HandOver | undefined; steps: Steps },
): Promise<boolean> {
  const { rack, kills, over, steps } = about
  const good = results.every((result) => result.proof !== null)
  if (args.json)
    process.stdout.write(
      `${JSON.stringify({ nodes: results, ...(args.ha ? { kills } : {}), ...(over ? { handOver: over } : {}), steps: stepRows(steps) })}\n`,
    )
  else
    process.stdout.write(
      `\n${[table(results), ...results.flatMap(tpmText), ...kills.map(killText), ...(over ? [handOverText(over)] : []), stepsText(steps)].join('\n\n')}\n`,
    )
  if (!good && !args.keep) {
    await lastWords(rack.dir, args)
    say('taking the rack down (--keep would leave it)')
    await rack.down()
  } else if (!args.json) {
    process.stdout.write(next(args, results, await stateOf(rack.dir)))
  }
  return good
}

const hostOf = (hosts: Hosts | undefined, server: Server) => {
  const host = hosts?.get(server.name)
  return host ? { host } : {}
}

async function down(args: LabArgs): Promise<boolean> {
  await removeRack(`rackward-${args.name}`, labDir(args.name))
  process.stdout.write('nothing of the rack is left\n')
  return true
}

async function tail(path: string): Promise<void> {
  const { stdout } = await run(['tail', '-n', '15', path], { timeoutMs: 5_000 })
  if (stdout) say(`the conductor's last words (${path}):\n${stdout}`)
}

async function main(): Promise<boolean> {
  const args = readArgs(process.argv.slice(2))
  if (process.getuid?.() !== 0 && args.verb !== 'help')
    throw new Error('the virtual rack needs root: network namespaces and tap devices are its parts')
  switch (args.verb) {
    case 'run':
      return runLab(args)
    case 'status':
      return status(args)
    case 'kill':
      return killVerb(args)
    case 'rackward':
      return rackward(args)
    case 'down':
      return down(args)
    case 'help':
      process.stdout.write(USAGE)
      return true
  }
}

main().then(
  (good) => process.exit(good ? 0 : process.exitCode || 1),
  (error: Error) => {
    say(`lab: ${error.message}`)
    process.exit(1)
  },
)
