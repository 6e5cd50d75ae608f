/** `npm run bench -- media [--rounds N] [--firmware bios | uefi] [--secure-boot]`: one blank server with a Redfish BMC,
 *  deployed from the network and by virtual media in turn, in the same rack by the same conductor: seconds per phase of
 *  both, and their ratio. */
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { debianFor } from '../../cli/image-debian.ts'
import { defaultCache, loadersFor, ramdiskFor } from '../../cli/image.ts'
import { chooseAccel } from '../lab/accel.ts'
import { RackConductor } from '../lab/conductor.ts'
import { travel } from '../lab/journey.ts'
import { fixedAddress } from '../lab/media-nodes.ts'
import type { Rack } from '../lab/rack.ts'
import { makeServer, type Firmware, type Server } from '../lab/server.ts'
import { newSeen } from '../lab/show.ts'
import { sh } from '../lab/shell.ts'
import { inRack } from './in-rack.ts'

const GIB = 1024 ** 3
const MEDIA_PORT = 8081
/** What a deploy by virtual media may take of the time of one from the network. */
const RATIO_TO_REACH = 1.3
const LEGS = ['network', 'media'] as const
const say = (line: string) => void process.stderr.write(`${line}\n`)

export type Leg = (typeof LEGS)[number]

/** Seconds. `total`: from the enrolment to a login. */
export interface Trip {
  readonly leg: Leg
  readonly phases: Readonly<Record<string, number>>
  readonly total: number
}

export interface Row {
  readonly phase: string
  readonly network: number
  readonly media: number
  /** Null where the network took no time that could be measured. */
  readonly ratio: number | null
}

export interface MediaOptions {
  readonly rounds: number
  readonly firmware: Firmware
  readonly secureBoot: boolean
  readonly json: boolean
}

export async function benchMedia({ rounds, firmware, secureBoot, json }: MediaOptions): Promise<void> {
  if (!Number.isInteger(rounds) || rounds < 1) throw new Error('--rounds: a whole number from 1 on')
  if (secureBoot && firmware === 'bios') throw new Error('--secure-boot: it is part of UEFI')
  const cache = defaultCache()
  const imageStore = join(cache, 'images')
  const ramdisk = await ramdiskFor(cache, say)
  const loaders = await loadersFor(cache, say)
  const image = await debianFor(imageStore, cache, { say })
  const accel = await chooseAccel(ramdisk.kernel)
  const trips = await inRack('media', accel, async (rack) => {
    await sh(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(rack.dir, 'id_ed25519')])
    const spec = { name: 'bench-1', firmware, secureBoot, card: 'virtio', diskKind: 'virtio', bmc: 'redfish' } as const
    const server = await rack.addServer({ ...spec, diskBytes: 6 * GIB, memoryMb: 1536 })
    const { kernel, initrd, iso } = ramdisk
    if (iso === undefined) throw new Error('there is no boot ISO for servers of this architecture')
    const conductor = await RackConductor.make(rack, {
      imageStore,
      kernel,
      initrd,
      iso,
      loaders,
      mediaPort: MEDIA_PORT,
    })
    await conductor.start()
    const done: Trip[] = []
    for (const leg of order(rounds)) {
      say(`deploying ${server.name} ${leg === 'media' ? 'by virtual media' : 'from the network'}`)
      done.push(await trip({ rack, conductor, server, image: image.id }, leg))
      await blank({ rack, conductor, server }, accel)
    }
    return done
  })
  const rows = compare(trips)
  const ratio = rows.find(({ phase }) => phase === 'total')?.ratio
  const report = { firmware, secureBoot, accel, rounds, trips, rows, ratio }
  if (!json) say(tableOf(rows, { firmware, secureBoot, accel, rounds }))
  process.stdout.write(`${JSON.stringify(report)}\n`)
}

/** Each round begins with the other leg, so that neither profits from what the one before has warmed up. */
const order = (rounds: number): Leg[] =>
  Array.from({ length: rounds }, (_, round) => (round % 2 === 0 ? LEGS : LEGS.toReversed())).flat()

interface Parts {
  readonly rack: Rack
  readonly conductor: RackConductor
  readonly server: Server
}

async function trip({ rack, conductor, server, image }: Parts & { image: string }, leg: Leg): Promise<Trip> {
  const startMs = Date.now()
  const fixed = leg === 'media' ? { fixedIp: fixedAddress(0) } : {}
  const result = await travel({ api: conductor.api, rack, server, image, seen: newSeen(), ...fixed })
  if (result.error) throw new Error(`${leg}: ${result.error}`)
  return { leg, phases: result.phases, total: Math.round((Date.now() - startMs) / 100) / 10 }
}

/** The server as it was at first, with nothing on its disk and nothing in its firmware, and no node. */
async function blank({ rack, conductor, server }: Parts, accel: 'kvm' | 'tcg'): Promise<void> {
  await conductor.api.ok('PUT', `/v1/nodes/${server.name}/maintenance`, { reason: 'the next leg' })
  await conductor.api.ok('DELETE', `/v1/nodes/${server.name}`)
  await rack.cutPower(server)
  for (const file of [server.diskFile, join(server.dir, 'keys')]) await rm(file, { force: true })
  await makeServer(server, accel)
}

/** The median of the rounds, per phase. */
export function compare(trips: readonly Trip[]): Row[] {
  const phases = [...new Set(trips.flatMap((one) => Object.keys(one.phases)))]
  const secondsOf = (leg: Leg, of: (one: Trip) => number | undefined) =>
    median(trips.filter((one) => one.leg === leg).map((one) => of(one) ?? 0))
  const row = (phase: string, of: (one: Trip) => number | undefined): Row => {
    const [network, media] = [secondsOf('network', of), secondsOf('media', of)]
    return { phase, network, media, ratio: network > 0 ? Math.round((media / network) * 100) / 100 : null }
  }
  const total = row('total', (one) => one.total)
  if (total.ratio === null || !(total.media > 0)) throw new Error('a deploy that took no time was not measured')
  return [...phases.map((phase) => row(phase, (one) => one.phases[phase])), total]
}

function median(values: readonly number[]): number {
  if (values.length === 0) throw new Error('one of the two deploys was not measured')
  const sorted = [...values].sort((one, other) => one - other)
  const middle = sorted.length >> 1
  const upper = sorted[middle] ?? 0
  return sorted.length % 2 === 1 ? upper : Math.round(((sorted[middle - 1] ?? 0) + upper) * 5) / 10
}

function tableOf(rows: readonly Row[], about: Omit<MediaOptions, 'json'> & { accel: string }): string {
  const seconds = (value: number) => `${value.toFixed(1).padStart(8)} s`
  return [
    `${about.firmware}${about.secureBoot ? ' with Secure Boot' : ''}, ${about.accel}, ${about.rounds} of each, the median`,
    `${'phase'.padEnd(12)} ${'network'.padStart(10)} ${'media'.padStart(10)}  ratio`,
    ...rows.map(({ phase, network, media, ratio }) =>
      `${phase.padEnd(12)} ${seconds(network)} ${seconds(media)}  ${ratio === null ? '-' : ratio.toFixed(2)}`.trimEnd(),
    ),
    `media / network, total: to reach: ${RATIO_TO_REACH.toFixed(2)}; prepare, write, readback and finish are parts of deploy`,
  ].join('\n')
}
