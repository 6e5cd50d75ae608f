/** `npm run bench -- explain --only mesh`: faults of hosts, planes, BMCs and arbiters in a mesh of namespaces.
 *  `rackward mesh explain` must name the true cause of each first while it lasts, by its code, and the record of it
 *  must do so afterwards. Of a mesh that is well it must name none. */
import { systemClock, until } from '../../kit/clock.ts'
import { MeshLab, type LabNode } from '../mesh/lab.ts'
import { heard } from '../mesh/scenarios/shared.ts'
import { MESH_FAULTS, type MeshFault } from './explain-mesh-faults.ts'

const REACH_MS = 45_000
const AFTERWARDS_MS = 120_000
/** How long a fault lasts at least, and how long the true cause must then have been the first without a gap. */
const LASTS_MS = 10_000
const STANDS_MS = 5_000
const LOOK_MS = 500
/** No host resets itself before the fault has lasted for so long. */
const WATCHDOG_SECONDS = 16
export const LEAST_SHARE = 0.9

interface Told {
  readonly code: string
  readonly cause: string
}
interface EpisodeTold {
  readonly from: string
  readonly to: string | null
  readonly causes: readonly Told[]
}
interface MeshExplained {
  readonly state: string
  readonly causes: readonly Told[]
  readonly troubles: readonly EpisodeTold[]
  readonly mesh_troubles: readonly EpisodeTold[]
  readonly conditions: readonly { readonly message: string }[]
}
interface IncidentTold {
  readonly id: string
  readonly host: string
  readonly state: string
  readonly causes: readonly Told[]
}

/** What was named first, the rank of the truth (0: not named), and after how many seconds it was the first. */
export interface Look {
  readonly cause: string
  readonly rank: number
  readonly seconds: number
}

export interface MeshNamed {
  readonly name: string
  readonly during: Look
  readonly afterwards: Look
}

type Say = (line: string) => void

export async function benchExplainMesh(names: ReadonlySet<string>, say: Say): Promise<MeshNamed[]> {
  const lab = await MeshLab.up({ hosts: 7, arbiters: 3, racks: 3, watchdogSeconds: WATCHDOG_SECONDS, storage: true })
  const results: MeshNamed[] = []
  try {
    await lab.api('PUT', '/rackward/v1/mesh/policy', {
      armed: true,
      why: 'a benchmark',
      limits: { fenceShare: 1, fenceCap: 1_000, cooldownMs: 3_000, flaps: 1_000, hops: 1_000 },
    })
    const faults = MESH_FAULTS.filter(({ name }) => names.has(name))
    await well(lab)
    say(await control(lab))
    for (const [i, fault] of faults.entries()) {
      const host = lab.hosts[i % lab.hosts.length] as LabNode
      const named = await one(lab, { fault, host, say }).catch(async (error: Error) => {
        say(`${fault.name}: ${error.message}`)
        await lab.repair()
        const nothing = { cause: error.message, rank: 0, seconds: 0 }
        return { name: fault.name, during: nothing, afterwards: nothing }
      })
      results.push(named)
      say(meshLineOf(named))
    }
  } finally {
    await lab.down()
  }
  return results
}

/** As an operator asks, whichever arbiter is asked. */
const explained = async (lab: MeshLab, host: LabNode) =>
  JSON.parse(await lab.rackward(['mesh', 'explain', host.name, '-o', 'json'])) as MeshExplained
const incidentsOf = async (lab: MeshLab, host: LabNode) =>
  ((await lab.api('GET', '/rackward/v1/incidents')).incidents as IncidentTold[]).filter((one) => one.host === host.name)

/** Throws when a cause is named of a mesh that is well: a fault that is named by chance proves nothing. */
async function control(lab: MeshLab): Promise<string> {
  const named = await Promise.all(
    lab.hosts.map(async (host) => (await explained(lab, host)).causes.map(({ code }) => `${host.name}: ${code}`)),
  )
  if (named.flat().length > 0) throw new Error(`of a mesh that is well a cause is named: ${named.flat().join(', ')}`)
  return `control: of ${lab.hosts.length} hosts that are well no cause is named`
}

/** All hosts are well, and the leader has watched for long enough. */
async function well(lab: MeshLab): Promise<void> {
  const first = lab.hosts[0] as LabNode
  await until(
    async () => {
      const status = await lab.status()
      if (!status.leads || !status.hosts.every(({ state }: { state: string }) => state === 'healthy')) return false
      const { conditions, causes } = await explained(lab, first)
      return causes.length === 0 && !conditions.some(({ message }) => /still watches/.test(message))
    },
    { what: 'all hosts to be well', timeoutMs: AFTERWARDS_MS, everyMs: LOOK_MS },
  )
}

async function one(
  lab: MeshLab,
  { fault, host, say }: { fault: MeshFault; host: LabNode; say: Say },
): Promise<MeshNamed> {
  const { name } = fault
  const before = new Set((await incidentsOf(lab, host)).map(({ id }) => id))
  const beganAt = new Date(Date.now()).toISOString()
  await fault.inject(lab, host)
  const named = await whileItLasts(lab, { fault, host, say })
  const during = fault.record === 'incident' ? await untilProven(lab, { fault, host, named }) : named
  await fault.heal(lab, host)
  const afterwards = await onceItIsOver(lab, { fault, host, before, beganAt })
  await heard(lab, host)
  await well(lab)
  await control(lab)
  return { name, during, afterwards }
}

async function whileItLasts(
  lab: MeshLab,
  { fault, host, say }: { fault: MeshFault; host: LabNode; say: Say },
): Promise<Look> {
  const beganMs = performance.now()
  const elapsedMs = () => performance.now() - beganMs
  let firstMs: number | undefined
  let last: MeshExplained | undefined
  const rank = () => (last?.causes.findIndex(({ code }) => code === fault.truth) ?? -1) + 1
  for (;;) {
    last = await explained(lab, host).catch(() => undefined)
    // Taken back: it must be named anew.
    firstMs = rank() === 1 ? (firstMs ?? elapsedMs()) : undefined
    const stands = firstMs !== undefined && elapsedMs() - firstMs >= STANDS_MS
    if ((stands && elapsedMs() >= LASTS_MS) || (firstMs === undefined && elapsedMs() > REACH_MS)) break
    await systemClock.sleep(LOOK_MS)
  }
  if (rank() !== 1) say(`${fault.name}: ${JSON.stringify(last)}`)
  return lookOf(last?.causes ?? [], fault.truth, firstMs ?? elapsedMs())
}

/** Whoever repairs a host before it is proven to be down has it switched off under his hands. The cause must be the
 *  first to the end. */
async function untilProven(
  lab: MeshLab,
  { fault, host, named }: { fault: MeshFault; host: LabNode; named: Look },
): Promise<Look> {
  await until(async () => (await explained(lab, host)).state === 'evacuated', {
    what: `${host.name} to be proven down and evacuated`,
    timeoutMs: AFTERWARDS_MS,
    everyMs: LOOK_MS,
  })
  const last = await explained(lab, host)
  return lookOf(last.causes, fault.truth, named.seconds * 1000)
}

async function onceItIsOver(
  lab: MeshLab,
  about: { fault: MeshFault; host: LabNode; before: ReadonlySet<string>; beganAt: string },
): Promise<Look> {
  const healedMs = performance.now()
  const { fault, host, before, beganAt } = about
  let causes: readonly Told[] = []
  const isTold = async () => {
    if (fault.record === 'incident') {
      const [incident] = (await incidentsOf(lab, host)).filter(({ id }) => !before.has(id))
      causes = incident?.causes ?? []
      return incident?.state === 'recovered' || incident?.state === 'cancelled'
    }
    const { troubles, mesh_troubles: ofMesh } = await explained(lab, host)
    const [episode] = (fault.record === 'host' ? troubles : ofMesh).filter(({ from }) => from >= beganAt)
    causes = episode?.causes ?? []
    return episode !== undefined && episode.to !== null
  }
  await until(() => isTold().catch(() => false), {
    what: `the end of ${fault.name} to be recorded`,
    timeoutMs: AFTERWARDS_MS,
    everyMs: LOOK_MS,
  }).catch(() => undefined)
  return lookOf(causes, fault.truth, performance.now() - healedMs)
}

const lookOf = (causes: readonly Told[], truth: string, ms: number): Look => ({
  cause: causes[0]?.cause ?? 'none',
  rank: causes.findIndex(({ code }) => code === truth) + 1,
  seconds: Math.round(ms / 100) / 10,
})

export const isNamed = ({ during, afterwards }: MeshNamed): boolean => during.rank === 1 && afterwards.rank === 1

export function meshLineOf(named: MeshNamed): string {
  const { name, during, afterwards } = named
  const text = ({ rank, seconds, cause }: Look) => `rank ${rank || '-'} ${seconds.toFixed(1).padStart(5)} s  ${cause}`
  return `${isNamed(named) ? 'ok ' : 'NOT'} ${name.padEnd(24)} while it lasts: ${text(during)}\n${' '.repeat(29)}afterwards:     ${text(afterwards)}`
}
