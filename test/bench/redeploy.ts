/** `npm run bench -- redeploy`, and a part of the plain one: a parked server is deployed again and again, cold and by a
 *  jump into its image (kexec), beside the floor of the same run; and what the conductor estimated meanwhile, beside
 *  what it took. */
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { whileReporting } from '../../host-agent/deploy/reporting.ts'
import { systemClock } from '../../kit/clock.ts'
import { RackConductor } from '../lab/conductor.ts'
import { configDrive, enroll, provision } from '../lab/journey.ts'
import type { Rack } from '../lab/rack.ts'
import type { Firmware, Server } from '../lab/server.ts'
import { sh } from '../lab/shell.ts'
import { benchServer, guestCpu, seconds, sshAnswers, type Made } from './debian-rack.ts'
import { inRack } from './in-rack.ts'
import { measureRedeployFloor, type RedeployFloor } from './redeploy-floor.ts'
import { medianOf } from './redeploy-table.ts'

/** What the conductor said was left of a deploy, and what was. Seconds. */
export interface Estimate {
  readonly at: number
  readonly said: number
  readonly left: number
}

export interface Redeploy {
  readonly how: 'cold' | 'kexec'
  readonly phases: Readonly<Record<string, number>>
  /** Until the conductor says active. */
  readonly active: number
  /** Until SSH answers. */
  readonly total: number
  /** Seconds of a core that the guest took; null: it was switched off meanwhile. */
  readonly cpu: number | null
  readonly estimates: readonly Estimate[]
}

export interface RedeployReport {
  readonly firmware: Firmware
  readonly floors: readonly RedeployFloor[]
  readonly redeploys: readonly Redeploy[]
  readonly ratios: { readonly cold: number | null; readonly kexec: number | null }
  /** By kexec, of what the guests took of the cores. */
  readonly cpuRatio: number | null
}

interface Told {
  readonly at: string
  readonly kind: string
  readonly detail: Readonly<Record<string, unknown>>
}

const LOOK_MS = 1_000

export async function benchRedeploy(
  made: Made,
  { firmware, rounds, say }: { firmware: Firmware; rounds: number; say: (line: string) => void },
): Promise<RedeployReport> {
  const floor = async () => {
    say(`${firmware}: the floor of a redeploy: dd, and one start of the kernel`)
    return measureRedeployFloor(made, firmware)
  }
  const before = await floor()
  const redeploys = await measureRedeploys(made, { firmware, rounds, say })
  const floors = [before, await floor()]
  const cost = medianOf(redeploys.flatMap(({ cpu }) => cpu ?? []))
  const cpuRatio = cost === null ? null : cost / (medianOf(floors.map(({ cpu }) => cpu)) ?? 0)
  return { firmware, floors, redeploys, ratios: ratiosOf(floors, redeploys), cpuRatio }
}

/** Medians: one that fell into a busy moment of the machine says nothing. */
export function ratiosOf(
  floors: readonly Pick<RedeployFloor, 'total'>[],
  redeploys: readonly Pick<Redeploy, 'how' | 'total'>[],
): RedeployReport['ratios'] {
  const base = medianOf(floors.map(({ total }) => total))
  if (base === null || base < 1) throw new Error(`a floor of ${base} s cannot be true`)
  const ratio = (how: Redeploy['how']) => {
    const took = medianOf(redeploys.filter((one) => one.how === how).map(({ total }) => total))
    return took === null ? null : Math.round((took / base) * 100) / 100
  }
  return { cold: ratio('cold'), kexec: ratio('kexec') }
}

/** A cold one, then `rounds` by kexec. */
async function measureRedeploys(
  made: Made,
  { firmware, rounds, say }: { firmware: Firmware; rounds: number; say: (line: string) => void },
): Promise<Redeploy[]> {
  return inRack('bench', made.accel, async (rack) => {
    const server = await rack.addServer(benchServer(firmware))
    await sh(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', join(rack.dir, 'id_ed25519')])
    const { imageStore, ramdisk } = made
    const { kernel, initrd } = ramdisk
    const conductor = await RackConductor.make(rack, { imageStore, kernel, initrd })
    await conductor.start()
    const { api } = conductor
    const node = await enroll(api, server)
    await provision(api, node, { target: 'manage' }, { to: 'manageable' })
    await provision(api, node, { target: 'inspect' }, { to: 'manageable' })
    await provision(api, node, { target: 'provide' }, { to: 'available' })
    const redeploys: Redeploy[] = []
    for (let round = 0; round <= rounds; round += 1) {
      const how = round === 0 ? 'cold' : 'kexec'
      if (round > 0) await provision(api, node, { target: 'deleted' }, { to: 'available' })
      say(`${firmware}: redeploy ${round + 1} of ${rounds + 1}, ${how}`)
      const done = await redeploy({ rack, server, conductor, node }, made.image.id, how)
      say(`  ${line(done)}`)
      redeploys.push(done)
    }
    return redeploys
  })
}

interface Place {
  readonly rack: Rack
  readonly server: Server
  readonly conductor: RackConductor
  readonly node: string
}

async function redeploy(place: Place, image: string, how: Redeploy['how']): Promise<Redeploy> {
  const { rack, server, node } = place
  const { api } = place.conductor
  const info = { image_source: image, reboot: how }
  await api.ok('PATCH', `/v1/nodes/${node}`, [{ op: 'replace', path: '/instance_info', value: info }])
  const publicKey = (await readFile(join(rack.dir, 'id_ed25519.pub'), 'utf8')).trim()
  const before = await guestCpu(server)
  const startMs = Date.now()
  const notes: { atMs: number; saidS: number }[] = []
  const look = async () => {
    const { left_seconds: left } = await api.ok('GET', `/rackward/v1/nodes/${node}/explain`)
    if (typeof left === 'number') notes.push({ atMs: Date.now(), saidS: left })
  }
  const target = { target: 'active', configdrive: configDrive(server, publicKey) }
  const active = await whileReporting(provision(api, node, target, { to: 'active' }), {
    clock: systemClock,
    everyMs: LOOK_MS,
    say: look,
  })
  const activeMs = Date.now()
  const upMs = await sshAnswers(rack)
  const phases = { ...active.driver_internal_info.rackward.timings, ...(await afterwards(place, { startMs, how })) }
  return {
    how,
    phases: { ...phases, ssh: seconds(activeMs, upMs) },
    active: seconds(startMs, activeMs),
    total: seconds(startMs, upMs),
    cpu: how === 'cold' ? null : (await guestCpu(server)) - before,
    estimates: notes
      .filter(({ atMs }) => atMs <= activeMs)
      .map(({ atMs, saidS }) => ({
        at: seconds(startMs, atMs),
        said: saidS,
        left: seconds(atMs, activeMs),
      })),
  }
}

/** How long it was in each state, from the journal. Throws when it did not end as it was to. */
async function afterwards(
  { conductor: { api }, node }: Place,
  { startMs, how }: { startMs: number; how: Redeploy['how'] },
): Promise<Record<string, number>> {
  const { events } = (await api.ok(
    'GET',
    `/rackward/v1/events?node=${node}&kinds=state,jump,reboot&limit=100`,
  )) as unknown as { events: readonly Told[] }
  const mine = events.filter(({ at }) => Date.parse(at) >= startMs)
  const jumps = mine.filter(({ kind }) => kind === 'jump')
  const jumped = jumps.length === 1 && jumps[0]?.detail.ok === true
  if (jumped !== (how === 'kexec')) throw new Error(`it did not end by ${how}: ${JSON.stringify(mine)}`)
  return Object.fromEntries(
    mine
      .filter(({ kind, detail }) => kind === 'state' && typeof detail.work === 'string')
      .map(({ detail }) => [`${String(detail.from)} (${String(detail.work)})`, Number(detail.tookMs) / 1000]),
  )
}

const line = ({ phases, active, total, cpu }: Redeploy): string =>
  [...Object.entries(phases), ['active', active] as const, ['total', total] as const, ['cpu', cpu ?? 0] as const]
    .map(([name, took]) => `${name} ${took.toFixed(1)}`)
    .join(', ')
